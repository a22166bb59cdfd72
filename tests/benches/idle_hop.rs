//! Measures a hop while little comes: the CPU of a worker whose readings are grouped through a repartition topic of
//! many partitions, without input, and with one record a second in each partition.
//!
//! `cargo bench -p tests --bench idle_hop -- --partitions 100 --rounds 3 --against DIRECTORY`, where the directory
//! holds the programs of another build, such as the last one without watermarks.

use anyhow::Result;
use clap::Parser;
use std::path::Path;
use tests::bench::bed::{AgainstArgs, BedArgs};
use tests::bench::idle::{self, Idle};
use tests::bench::median;

#[derive(Parser)]
struct Args {
    /// Of the input, and so of the repartition topic.
    #[arg(long, default_value_t = 100)]
    partitions: i32,
    /// Seconds for which the CPU is measured, without input and with.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    against: AgainstArgs,
    #[command(flatten)]
    bed: BedArgs,
}

/// Shares of a core, in percent: without input, and with a record a second in each partition.
type Shares = (f64, f64);

fn main() -> Result<()> {
    let args = Args::parse();
    let bed = args.bed.make()?;
    idle::make_topics(&bed.bootstrap, args.partitions)?;
    let mut builds: Vec<Option<&Path>> = vec![None];
    builds.extend(args.against.against.iter().copied().map(Some));
    let mut shares: Vec<Vec<Shares>> = vec![Vec::new(); builds.len()];
    for round in 1..=args.rounds {
        for (number, programs) in builds.iter().enumerate() {
            let app = format!("bench_idle_{number}_{round}");
            let (idle, busy) = one(&args, &bed.bootstrap, *programs, &app)?;
            println!(
                "{round:>3}  build {number}  idle {idle:>6.2} %  a record a second {busy:>6.2} %"
            );
            shares[number].push((idle, busy));
        }
    }
    for (number, shares) in shares.iter().enumerate() {
        let middle = |of: fn(&Shares) -> f64| median(shares.iter().map(of).collect());
        let (idle, busy) = (middle(|share| share.0), middle(|share| share.1));
        println!("median  build {number}  idle {idle:>6.2} %  a record a second {busy:>6.2} %");
    }
    Ok(())
}

fn one(args: &Args, bootstrap: &str, programs: Option<&Path>, app: &str) -> Result<Shares> {
    let worker = Idle::start(programs, "hop_app", app, bootstrap, args.partitions, |_| {})?;
    let idle = worker.without_input(args.seconds)?;
    let busy = worker.with_one_a_second(args.seconds)?;
    worker.end()?;
    Ok((idle, busy))
}
