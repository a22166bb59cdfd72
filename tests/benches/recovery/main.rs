//! How fast tables come back: rows a second from the changelog into an empty disk, and how soon partitions run again
//! after a worker with much state was killed.
//!
//! `cargo bench -p tests --bench recovery -- --rows 2000000 --state-mib 1024 --rounds 3`

use anyhow::{Context, Result, bail};
use chrono::Utc;
use clap::Parser;
use std::path::Path;
use std::time::{Duration, Instant};
use tests::bench::bed::{Bed, BedArgs};
use tests::bench::rows::{self, ROWS};
use tests::bench::{measure, median};
use tests::client;
use tests::leash::Leashed;

const PATIENCE: Duration = Duration::from_secs(900);

#[derive(Parser)]
struct Args {
    /// Rows of 16 bytes to restore into an empty disk; they fit the cache up to about 530 000.
    #[arg(long, default_value_t = 500_000)]
    rows: u64,
    /// State of the worker that is killed, in MiB of rows of 1000 bytes.
    #[arg(long, default_value_t = 100)]
    state_mib: u64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    bed: BedArgs,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let bed = args.bed.make()?;
    empty_disk(&args, &bed).context("an empty disk")?;
    client::delete_topics(&bed.bootstrap, &[ROWS])?;
    killed(&args, &bed).context("after SIGKILL")
}

fn empty_disk(args: &Args, bed: &Bed) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let app = "bench_empty";
    rows::send(&bed.bootstrap, 0, args.rows, 16)?;
    fill(bed, app, &dir.path().join("filled"), args.rows, None)?.kill();
    forget(bed, app)?;
    let (mut rates, mut cpus) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        let data = dir.path().join(round.to_string());
        let mut process =
            Leashed::start(&rows::worker(app, bed, &data), data.with_extension("log"))?;
        let began = rows::until_running(&mut process, PATIENCE)?;
        let cpu = measure::cpu_seconds(process.pid())?;
        if began.read < args.rows {
            bail!("only {} of {} rows were read", began.read, args.rows);
        }
        let rate = args.rows as f64 / began.seconds();
        let ns = cpu / args.rows as f64 * 1e9;
        let peak = measure::peak_memory_mib(process.pid()).unwrap_or(0);
        println!("{round:>6}  empty disk {rate:>9.0} rows/s {ns:>6.0} ns CPU/row {peak:>5} MiB");
        rates.push(rate);
        cpus.push(ns);
        process.signal("TERM")?;
        process.wait(PATIENCE)?;
    }
    println!(
        "median  empty disk {:>9.0} rows/s {:>6.0} ns CPU/row; aim 1000000 rows/s",
        median(rates),
        median(cpus)
    );
    Ok(())
}

fn killed(args: &Args, bed: &Bed) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let count = args.state_mib * 1024 * 1024 / 1000;
    rows::send(&bed.bootstrap, 0, count, 1000)?;
    for instance in [None, Some("bench")] {
        let how = if instance.is_some() {
            "with instance_id"
        } else {
            "without instance_id"
        };
        let app = format!("bench_killed_{}", how.replace(' ', "_"));
        let data = dir.path().join(&app);
        let mut process = fill(bed, &app, &data, count, instance)?;
        wait_for_store(&data)?;
        let (mut since_assigned, mut since_start) = (Vec::new(), Vec::new());
        for round in 1..=args.rounds {
            process.kill();
            let started = Utc::now();
            process = start(bed, &app, &data, instance)?;
            let began = rows::until_running(&mut process, PATIENCE)?;
            let (a, b) = (began.seconds(), rows::seconds(started, began.running));
            println!(
                "{round:>6}  SIGKILL with {} MiB {how}: {a:.2} s from assignment, {b:.2} s from process start, {} changelog records read",
                args.state_mib, began.read
            );
            since_assigned.push(a);
            since_start.push(b);
            // Killed with its store written, as after a while of work.
            wait_for_store(&data)?;
        }
        println!(
            "median  SIGKILL with {} MiB {how}: {:.2} s from assignment (aim 1 s), {:.2} s from process start",
            args.state_mib,
            median(since_assigned),
            median(since_start)
        );
        process.kill();
        forget(bed, &app)?;
    }
    Ok(())
}

fn start(bed: &Bed, app: &str, data: &Path, instance: Option<&str>) -> Result<Leashed> {
    let mut command = rows::worker(app, bed, data);
    if let Some(instance) = instance {
        command.args(["--instance-id", instance]);
    }
    Leashed::start(&command, data.with_extension("log"))
}

/// A worker that has taken `count` rows.
fn fill(bed: &Bed, app: &str, data: &Path, count: u64, instance: Option<&str>) -> Result<Leashed> {
    let began = Instant::now();
    let mut process = start(bed, app, data, instance)?;
    rows::until_running(&mut process, PATIENCE)?;
    rows::until_committed(&mut process, bed, app, ROWS, count, PATIENCE)?;
    println!(
        "filled with {count} rows in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    Ok(process)
}

/// Waits until the group has forgotten the members that were killed.
fn forget(bed: &Bed, app: &str) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(30);
    while client::group(&bed.bootstrap, app)?.1 > 0 {
        if Instant::now() > until {
            bail!("the group {app} keeps members that are gone");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Waits until the store has not grown for two of its rounds. It is written all the time: sled moves what is left of
/// old pages about.
fn wait_for_store(data: &Path) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    let (mut last, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_secs(11) {
        let size = size(data)?;
        if size != last {
            (last, since) = (size, Instant::now());
        }
        if Instant::now() > until {
            bail!("the store does not come to rest");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Bytes of the files under `dir`.
fn size(dir: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // Files come and go while we look.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        size += if metadata.is_dir() {
            self::size(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(size)
}
