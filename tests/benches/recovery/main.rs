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
use tests::bench::rows::{self, Order, ROWS};
use tests::bench::setting::StoreArgs;
use tests::bench::{in_turn, measure, median};
use tests::client;
use tests::leash::Leashed;

const PATIENCE: Duration = Duration::from_secs(900);

#[derive(Parser)]
struct Args {
    /// Rows of 16 bytes to restore into an empty disk; they fit the cache up to about 530 000. Several, as
    /// 450000,10000000, come back in turn, each on a broker of its own.
    #[arg(long, default_values_t = [500_000], value_delimiter = ',')]
    rows: Vec<u64>,
    /// The rows were written in no order of their keys, and come back so.
    #[arg(long)]
    shuffled: bool,
    /// State of the worker that is killed, in MiB of rows of 1000 bytes.
    #[arg(long, default_value_t = 100)]
    state_mib: u64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    stores: StoreArgs,
    #[command(flatten)]
    bed: BedArgs,
}

/// Rows to restore, where they are, and the store that they are to come into.
#[derive(Clone, Copy)]
struct Restore<'a> {
    rows: u64,
    bed: &'a Bed,
    store: Option<&'a str>,
}

/// What a restore took: rows a second, CPU in ns a row, peak memory in MiB.
type Cost = (f64, f64, u64);

fn main() -> Result<()> {
    let args = Args::parse();
    let mut beds = args.bed.make_all(args.rows.len())?;
    empty_disk(&args, &beds).context("an empty disk")?;
    beds.truncate(1);
    let bed = beds.first().context("a broker")?;
    client::delete_topics(&bed.bootstrap, &[ROWS])?;
    for store in args.stores.all() {
        killed(&args, bed, store).context("after SIGKILL")?;
    }
    Ok(())
}

const EMPTY: &str = "bench_empty";

fn empty_disk(args: &Args, beds: &[Bed]) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let stores = args.stores.all();
    let mut all = Vec::new();
    for (rows, bed) in args.rows.iter().copied().zip(beds) {
        rows::send(&bed.bootstrap, rows, 16, Order::of(args.shuffled))?;
        let restore = |store| Restore { rows, bed, store };
        // The changelog is the same for every store.
        let filled = dir.path().join(format!("filled-{rows}"));
        fill(&restore(stores[0]), EMPTY, &filled, None)?.kill();
        forget(bed, EMPTY)?;
        all.extend(stores.iter().map(|store| restore(*store)));
    }
    let about = |restore: &Restore<'_>| -> String {
        let rows = (args.rows.len() > 1).then(|| format!(" {} rows", restore.rows));
        let store = restore.store.filter(|_| stores.len() > 1);
        let store = store.map(|store| format!(" {store}"));
        rows.unwrap_or_default() + &store.unwrap_or_default()
    };
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); all.len()];
    for round in 1..=args.rounds {
        for (number, restore) in in_turn(round, all.iter().enumerate()) {
            let data = dir.path().join(format!("{round}-{number}"));
            let cost = come_back(restore, &data)?;
            let (rate, ns, peak) = cost;
            println!(
                "{round:>6}  empty disk{} {rate:>9.0} rows/s {ns:>6.0} ns CPU/row {peak:>5} MiB",
                about(restore)
            );
            costs[number].push(cost);
        }
    }
    for (restore, costs) in all.iter().zip(&costs) {
        println!(
            "median  empty disk{} {:>9.0} rows/s {:>6.0} ns CPU/row; aim 1000000 rows/s",
            about(restore),
            median(costs.iter().map(|cost| cost.0).collect()),
            median(costs.iter().map(|cost| cost.1).collect())
        );
    }
    for (restore, of) in all.iter().zip(&costs).skip(1) {
        let ratio = |figure: fn(&Cost) -> f64| {
            let pairs = of.iter().zip(&costs[0]);
            median(pairs.map(|(a, b)| figure(a) / figure(b)).collect())
        };
        println!(
            "empty disk,{} to{}: rate {:.2}, CPU {:.2}",
            about(restore),
            about(&all[0]),
            ratio(|cost| cost.0),
            ratio(|cost| cost.1)
        );
    }
    Ok(())
}

/// A worker without files of its own, until all its partitions run.
fn come_back(restore: &Restore<'_>, data: &Path) -> Result<Cost> {
    let Restore { rows, bed, store } = *restore;
    let command = rows::worker(EMPTY, bed, data, store);
    let mut process = Leashed::start(&command, data.with_extension("log"))?;
    let began = rows::until_running(&mut process, PATIENCE)?;
    let cpu = measure::cpu_seconds(process.pid())?;
    if began.read < rows {
        bail!("only {} of {rows} rows were read", began.read);
    }
    let peak = measure::peak_memory_mib(process.pid()).unwrap_or(0);
    process.signal("TERM")?;
    process.wait(PATIENCE)?;
    let rate = rows as f64 / began.seconds();
    Ok((rate, cpu / rows as f64 * 1e9, peak))
}

fn killed(args: &Args, bed: &Bed, store: Option<&str>) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let rows = args.state_mib * 1024 * 1024 / 1000;
    if client::partitions(&bed.bootstrap, ROWS)? == 0 {
        rows::send(&bed.bootstrap, rows, 1000, Order::of(args.shuffled))?;
    }
    let restore = Restore { rows, bed, store };
    let about = store.map_or_else(String::new, |store| format!("{store} "));
    for instance in [None, Some("bench")] {
        let how = if instance.is_some() {
            "with instance_id"
        } else {
            "without instance_id"
        };
        let app = format!("bench_killed_{about}{how}").replace(' ', "_");
        let data = dir.path().join(&app);
        let mut process = fill(&restore, &app, &data, instance)?;
        wait_for_store(&data)?;
        let (mut since_assigned, mut since_start) = (Vec::new(), Vec::new());
        for round in 1..=args.rounds {
            process.kill();
            let started = Utc::now();
            process = start(&restore, &app, &data, instance)?;
            let began = rows::until_running(&mut process, PATIENCE)?;
            let (a, b) = (began.seconds(), rows::seconds(started, began.running));
            println!(
                "{round:>6}  SIGKILL {about}with {} MiB {how}: {a:.2} s from assignment, {b:.2} s from process start, {} changelog records read",
                args.state_mib, began.read
            );
            since_assigned.push(a);
            since_start.push(b);
            // Killed with its store written, as after a while of work.
            wait_for_store(&data)?;
        }
        println!(
            "median  SIGKILL {about}with {} MiB {how}: {:.2} s from assignment (aim 1 s), {:.2} s from process start",
            args.state_mib,
            median(since_assigned),
            median(since_start)
        );
        process.kill();
        forget(bed, &app)?;
    }
    Ok(())
}

fn start(restore: &Restore<'_>, app: &str, data: &Path, instance: Option<&str>) -> Result<Leashed> {
    let mut command = rows::worker(app, restore.bed, data, restore.store);
    if let Some(instance) = instance {
        command.args(["--instance-id", instance]);
    }
    Leashed::start(&command, data.with_extension("log"))
}

/// A worker that has taken all rows.
fn fill(restore: &Restore<'_>, app: &str, data: &Path, instance: Option<&str>) -> Result<Leashed> {
    let Restore { rows, bed, .. } = *restore;
    let began = Instant::now();
    let mut process = start(restore, app, data, instance)?;
    rows::until_running(&mut process, PATIENCE)?;
    rows::until_committed(&mut process, bed, app, ROWS, rows, PATIENCE)?;
    println!(
        "filled with {rows} rows in {:.1} s",
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
