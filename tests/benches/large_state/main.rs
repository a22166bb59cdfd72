//! More state than memory: many keys in a bounded cache, and many windows that close at once, in bounded memory and
//! bounded transactions.
//!
//! `cargo bench -p tests --bench large_state -- --keys 10000000 --windows 1000000`

use anyhow::{Context, Result, bail};
use clap::Parser;
use std::time::Duration;
use tests::bench::bed::{Bed, BedArgs, PARTITIONS};
use tests::bench::race::READINGS;
use tests::bench::rows::{self, ROWS};
use tests::bench::worker;
use tests::client::{self, Isolation, Record, Sender};
use tests::leash::Leashed;

const MEANS: &str = "bench_means";
const PATIENCE: Duration = Duration::from_secs(1800);
/// The aim, in MiB resident.
const MEMORY: u64 = 512;
/// The largest commit, in changed rows; each of a worker's partitions may bring as many.
const COMMIT: u64 = 10_000;

#[derive(Parser)]
struct Args {
    /// Keys of the plain table.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Bytes of each of its rows.
    #[arg(long, default_value_t = 16)]
    row_bytes: usize,
    /// Windows that close at once.
    #[arg(long, default_value_t = 200_000)]
    windows: u64,
    #[command(flatten)]
    bed: BedArgs,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let bed = args.bed.make()?;
    keys(&args, &bed).context("keys")?;
    windows(&args, &bed).context("windows")
}

fn keys(args: &Args, bed: &Bed) -> Result<()> {
    let (dir, app) = (tempfile::tempdir()?, "bench_keys");
    rows::send(&bed.bootstrap, 0, args.keys, args.row_bytes)?;
    // Once more over old keys: these are read from the store.
    let again = args.keys.min(100_000);
    rows::send(&bed.bootstrap, 0, again, args.row_bytes)?;
    let command = rows::worker(app, bed, &dir.path().join("data"));
    let mut process = Leashed::start(&command, dir.path().join("log"))?;
    let all = args.keys + again;
    let used = rows::until_committed(&mut process, bed, app, ROWS, all, PATIENCE)?;
    println!(
        "{} keys of {} bytes: {:.0} records/s, {:.0} ns CPU/record, {} MiB peak; aim {MEMORY} MiB",
        args.keys,
        args.row_bytes,
        all as f64 / used.seconds,
        used.cpu_seconds / all as f64 * 1e9,
        used.peak_mib
    );
    process.signal("TERM")?;
    process.wait(PATIENCE)?;
    let began = chrono::Utc::now();
    let command = rows::worker(app, bed, &dir.path().join("empty"));
    let mut process = Leashed::start(&command, dir.path().join("log2"))?;
    let came_back = rows::until_running(&mut process, PATIENCE)?;
    let peak = tests::bench::measure::peak_memory_mib(process.pid()).unwrap_or(0);
    println!(
        "{} keys into an empty disk: {:.0} rows/s, {:.1} s from process start, {peak} MiB peak; aim {MEMORY} MiB",
        args.keys,
        args.keys as f64 / came_back.seconds(),
        rows::seconds(began, came_back.running)
    );
    Ok(())
}

fn windows(args: &Args, bed: &Bed) -> Result<()> {
    let (dir, app) = (tempfile::tempdir()?, "bench_windows");
    client::create_topic(
        &bed.bootstrap,
        READINGS,
        PARTITIONS,
        &[("retention.ms", "-1")],
    )?;
    client::create_topic(&bed.bootstrap, MEANS, PARTITIONS, &[])?;
    let reading = |time: &str| format!("{{\"datetime\":\"{time}\",\"voltage\":230.5}}");
    let sender = Sender::new(&bed.bootstrap)?;
    let value = reading("2026-01-01T00:30:00Z");
    for meter in 0..args.windows {
        let key = format!("meter-{meter}");
        sender.send(READINGS, Some(key.as_bytes()), Some(value.as_bytes()), None)?;
    }
    // One in each partition is past them all.
    let value = reading("2026-01-01T05:00:00Z");
    for partition in 0..PARTITIONS {
        sender.send(
            READINGS,
            Some(b"last"),
            Some(value.as_bytes()),
            Some(partition),
        )?;
    }
    sender.finish()?;
    let mut command = worker::command(
        None,
        "hourly_app",
        app,
        &bed.bootstrap,
        &dir.path().join("data"),
    );
    command.arg("--until-caught-up");
    let mut process = Leashed::start(&command, dir.path().join("log"))?;
    let used = rows::until_ended(&mut process, PATIENCE)?;
    let outputs = client::read_all(&bed.bootstrap, MEANS, Isolation::Committed)?;
    if outputs.len() as u64 != args.windows {
        bail!("{} of {} windows closed", outputs.len(), args.windows);
    }
    let largest = largest_transaction(&outputs);
    println!(
        "{} windows closed at once: {:.0} windows/s, {} MiB peak (aim {MEMORY}), at most {largest} outputs a transaction and partition (bound {COMMIT})",
        args.windows,
        args.windows as f64 / used.seconds,
        used.peak_mib
    );
    if largest > COMMIT {
        bail!("a transaction of {largest} outputs");
    }
    Ok(())
}

/// The longest run of offsets without a gap: each transaction ends with a marker that has an offset of its own.
fn largest_transaction(outputs: &[Record]) -> u64 {
    let (mut largest, mut run) = (0, 0);
    let mut last = None;
    for record in outputs {
        let follows = last == Some((record.partition, record.offset - 1));
        run = if follows { run + 1 } else { 1 };
        largest = largest.max(run);
        last = Some((record.partition, record.offset));
    }
    largest
}
