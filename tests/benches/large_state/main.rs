//! More state than memory: many keys in a bounded cache, and many windows that close at once, in bounded memory and
//! bounded transactions.
//!
//! `cargo bench -p tests --bench large_state -- --keys 10000000 --windows 1000000`

use anyhow::{Context, Result, bail};
use clap::Parser;
use std::time::Duration;
use tests::bench::bed::{Bed, BedArgs, PARTITIONS};
use tests::bench::race::READINGS;
use tests::bench::rows::{self, Order, ROWS};
use tests::bench::setting::{StoreArgs, with_store};
use tests::bench::{in_turn, median, worker};
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
    /// Keys of the plain table; several numbers, as 400000,10000000, in turn.
    #[arg(long, default_values_t = [1_000_000], value_delimiter = ',')]
    keys: Vec<u64>,
    /// Bytes of each of its rows.
    #[arg(long, default_value_t = 16)]
    row_bytes: usize,
    /// The keys come in no order.
    #[arg(long)]
    shuffled: bool,
    /// Windows that close at once; several numbers in turn.
    #[arg(long, default_values_t = [200_000], value_delimiter = ',')]
    windows: Vec<u64>,
    /// How often everything is run.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    #[command(flatten)]
    stores: StoreArgs,
    #[command(flatten)]
    bed: BedArgs,
}

impl Args {
    /// Each number with each store.
    fn each<'a>(&'a self, numbers: &[u64]) -> Vec<Case<'a>> {
        let stores = self.stores.all();
        let of = |number: &u64| {
            let number = *number;
            stores
                .clone()
                .into_iter()
                .map(move |store| Case { number, store })
        };
        numbers.iter().flat_map(of).collect()
    }
}

/// One of those that run in turn: how many keys or windows, and in which store.
#[derive(Clone, Copy)]
struct Case<'a> {
    number: u64,
    store: Option<&'a str>,
}

impl Case<'_> {
    /// What a line about it begins with, if a store was asked for.
    fn about(&self) -> String {
        self.store
            .map_or_else(String::new, |store| format!("{store}: "))
    }
}

/// What one run came to: its rate, of keys also that of the way back from the changelog, and the largest resident size.
#[derive(Clone, Copy)]
struct Seen {
    rate: f64,
    cpu_ns: f64,
    back: Option<f64>,
    peak_mib: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let bed = args.bed.make()?;
    let all = args.each(&args.keys);
    in_rounds(&args, "keys", &all, |case, app| {
        keys(&args, &bed, case, app).context("keys")
    })?;
    let all = args.each(&args.windows);
    in_rounds(&args, "windows", &all, |case, app| {
        windows(&bed, case, app).context("windows")
    })
}

/// Runs all in turn, and says what they came to, if that is more than was said of the runs.
fn in_rounds(
    args: &Args,
    what: &str,
    all: &[Case<'_>],
    mut one: impl FnMut(&Case<'_>, &str) -> Result<Seen>,
) -> Result<()> {
    let mut seen: Vec<Vec<Seen>> = vec![Vec::new(); all.len()];
    for round in 1..=args.rounds as usize {
        for (number, case) in in_turn(round, all.iter().enumerate()) {
            // The first run has the name that it always had.
            let app = match (round, number) {
                (1, 0) => format!("bench_{what}"),
                _ => format!("bench_{what}_{round}_{number}"),
            };
            seen[number].push(one(case, &app)?);
        }
    }
    if args.rounds > 1 || all.len() > 1 {
        for (number, case) in all.iter().enumerate() {
            tell(what, case, &seen[number], &seen[0]);
        }
    }
    Ok(())
}

/// The medians of the rounds, and of the ratios to the first case within them.
fn tell(what: &str, case: &Case<'_>, seen: &[Seen], first: &[Seen]) {
    let middle = |of: &dyn Fn(&Seen) -> f64| median(seen.iter().map(of).collect());
    let ratio = |of: &dyn Fn(&Seen) -> f64| {
        let pairs = seen.iter().zip(first);
        median(pairs.map(|(seen, first)| of(seen) / of(first)).collect())
    };
    let back = |seen: &Seen| seen.back.unwrap_or(f64::NAN);
    let back = match seen.iter().all(|seen| seen.back.is_some()) {
        true => format!("back {:.0} rows/s ({:.2}), ", middle(&back), ratio(&back)),
        false => String::new(),
    };
    println!(
        "median  {}{} {what}: {:.0}/s (to the first {:.2}), {:.0} ns CPU ({:.2}), {back}{:.0} MiB peak",
        case.about(),
        case.number,
        middle(&|seen| seen.rate),
        ratio(&|seen| seen.rate),
        middle(&|seen| seen.cpu_ns),
        ratio(&|seen| seen.cpu_ns),
        middle(&|seen| seen.peak_mib as f64)
    );
}

/// Topics of an earlier run go, and what its app has made too.
fn clear(bed: &Bed, inputs: &[&str]) -> Result<()> {
    let left: Vec<String> = client::topics(&bed.bootstrap)?
        .into_iter()
        .filter(|topic| inputs.contains(&topic.as_str()) || topic.ends_with("-changelog"))
        .collect();
    let left: Vec<&str> = left.iter().map(String::as_str).collect();
    client::delete_topics(&bed.bootstrap, &left)
}

fn keys(args: &Args, bed: &Bed, case: &Case<'_>, app: &str) -> Result<Seen> {
    let (dir, keys, about) = (tempfile::tempdir()?, case.number, case.about());
    let order = Order::of(args.shuffled);
    clear(bed, &[ROWS])?;
    rows::send(&bed.bootstrap, keys, args.row_bytes, order)?;
    // Once more over old keys: these are read from the store.
    let again = keys.min(100_000);
    rows::send(&bed.bootstrap, again, args.row_bytes, order)?;
    let command = rows::worker(app, bed, &dir.path().join("data"), case.store);
    let mut process = Leashed::start(&command, dir.path().join("log"))?;
    let all = keys + again;
    let used = rows::until_committed(&mut process, bed, app, ROWS, all, PATIENCE)?;
    let (rate, cpu_ns) = used.of(all);
    println!(
        "{about}{keys} keys of {} bytes: {rate:.0} records/s, {cpu_ns:.0} ns CPU/record, {} MiB peak; aim {MEMORY} MiB",
        args.row_bytes, used.peak_mib
    );
    process.signal("TERM")?;
    process.wait(PATIENCE)?;
    let began = chrono::Utc::now();
    let command = rows::worker(app, bed, &dir.path().join("empty"), case.store);
    let mut process = Leashed::start(&command, dir.path().join("log2"))?;
    let came_back = rows::until_running(&mut process, PATIENCE)?;
    let peak = tests::bench::measure::peak_memory_mib(process.pid()).unwrap_or(0);
    let back = keys as f64 / came_back.seconds();
    println!(
        "{about}{keys} keys into an empty disk: {back:.0} rows/s, {:.1} s from process start, {peak} MiB peak; aim {MEMORY} MiB",
        rows::seconds(began, came_back.running)
    );
    Ok(Seen {
        rate,
        cpu_ns,
        back: Some(back),
        peak_mib: used.peak_mib.max(peak),
    })
}

fn windows(bed: &Bed, case: &Case<'_>, app: &str) -> Result<Seen> {
    let (dir, windows) = (tempfile::tempdir()?, case.number);
    clear(bed, &[READINGS, MEANS])?;
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
    for meter in 0..windows {
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
    with_store(&mut command, case.store);
    let mut process = Leashed::start(&command, dir.path().join("log"))?;
    let used = rows::until_ended(&mut process, PATIENCE)?;
    let outputs = client::read_all(&bed.bootstrap, MEANS, Isolation::Committed)?;
    if outputs.len() as u64 != windows {
        bail!("{} of {windows} windows closed", outputs.len());
    }
    let largest = largest_transaction(&outputs);
    let (rate, cpu_ns) = used.of(windows);
    println!(
        "{}{windows} windows closed at once: {rate:.0} windows/s, {} MiB peak (aim {MEMORY}), at most {largest} outputs a transaction and partition (bound {COMMIT})",
        case.about(),
        used.peak_mib
    );
    if largest > COMMIT {
        bail!("a transaction of {largest} outputs");
    }
    Ok(Seen {
        rate,
        cpu_ns,
        back: None,
        peak_mib: used.peak_mib,
    })
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
