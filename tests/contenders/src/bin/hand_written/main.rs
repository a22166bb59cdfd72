//! What the framework is measured with, as one would write it by hand on rdkafka: threads, poll, outputs, a commit
//! every 100 ms, at-least-once or exactly-once. It does not recover; it is here to be measured.

mod hourly_mean;
mod stateless;
mod table;
mod thread;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use contenders::mark;
use std::sync::atomic::AtomicU64;
use std::thread::ScopedJoinHandle;

#[derive(Parser)]
struct Args {
    #[arg(value_enum)]
    work: Kind,
    #[arg(long)]
    broker: String,
    /// Input topic.
    #[arg(long)]
    topic: String,
    #[arg(long)]
    partitions: usize,
    /// Group, and prefix of the transactional ids.
    #[arg(long)]
    group: String,
    #[arg(long)]
    changelog: String,
    /// Output topic.
    #[arg(long)]
    sink: String,
    /// Ends when so many were processed and committed.
    #[arg(long)]
    records: u64,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[arg(long, value_enum)]
    guarantee: Guarantee,
    #[arg(long, default_value_t = 100)]
    commit_ms: u64,
    #[arg(long, default_value_t = 5)]
    linger_ms: u64,
    /// The readings of the hourly mean have 30 fields, of which three are of interest.
    #[arg(long)]
    wide: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Kind {
    /// A windowed map with a compacted changelog, an output an hour and meter.
    HourlyMean,
    /// Filter and map.
    Stateless,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Guarantee {
    #[value(name = "exactly_once")]
    ExactlyOnce,
    #[value(name = "at_least_once")]
    AtLeastOnce,
}

fn main() -> Result<()> {
    let args = Args::parse();
    match args.work {
        Kind::HourlyMean => run::<hourly_mean::HourlyMean>(&args),
        Kind::Stateless => run::<stateless::Stateless>(&args),
    }
}

fn run<W: thread::Work + Send>(args: &Args) -> Result<()> {
    let processed = AtomicU64::new(0);
    let threads = std::thread::scope(|scope| {
        let processed = &processed;
        let start = |ix| scope.spawn(move || thread::run::<W>(ix, args, processed));
        let threads: Vec<_> = (0..args.threads).map(start).collect();
        let join =
            |thread: ScopedJoinHandle<'_, _>| thread.join().expect("a stream thread panicked");
        threads.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    mark("done");
    drop(threads);
    Ok(())
}
