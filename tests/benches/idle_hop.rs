//! Measures a hop while little comes: the CPU of a worker whose readings are grouped through a repartition topic of
//! many partitions, without input, and with one record a second in each partition.
//!
//! `cargo bench -p tests --bench idle_hop -- --partitions 100 --rounds 3 --against DIRECTORY`, where the directory
//! holds the programs of another build, such as the last one without watermarks.

use anyhow::Result;
use clap::Parser;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tests::bench::bed::{AgainstArgs, BedArgs};
use tests::bench::measure::cpu_seconds;
use tests::bench::race::READINGS;
use tests::bench::{median, worker};
use tests::client::{self, Committed, Sender};
use tests::leash::Leashed;

const MEANS: &str = "bench_means";
/// Time that a worker may take for its first records, and to end.
const MINUTES: Duration = Duration::from_secs(180);
/// Until what a start and first records bring is over.
const SETTLE: Duration = Duration::from_secs(15);

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
    let topic = [("retention.ms", "-1")];
    client::create_topic(&bed.bootstrap, READINGS, args.partitions, &topic)?;
    client::create_topic(&bed.bootstrap, MEANS, args.partitions, &[])?;
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
    let dir = tempfile::tempdir()?;
    let command = worker::command(
        programs,
        "hop_app",
        app,
        bootstrap,
        &dir.path().join("data"),
    );
    let mut process = Leashed::start(&command, dir.path().join("log"))?;
    let sender = Sender::new(bootstrap)?;
    let until = Instant::now() + MINUTES;
    let committed = loop {
        // The group is there once the worker is.
        if let Ok(committed) = Committed::of(bootstrap, app, READINGS) {
            break committed;
        }
        anyhow::ensure!(Instant::now() < until, "no group:\n{}", process.output());
        std::thread::sleep(Duration::from_millis(200));
    };
    let before = client::end_offsets(bootstrap, READINGS, client::Isolation::Uncommitted)?;
    let all = before.iter().sum::<i64>() + i64::from(args.partitions);
    one_each(&sender, args.partitions)?;
    while committed.total()? < all {
        anyhow::ensure!(Instant::now() < until, "not read:\n{}", process.output());
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(SETTLE);
    let share = |process: &Leashed, work: &dyn Fn() -> Result<()>| -> Result<f64> {
        let (began, cpu) = (Instant::now(), cpu_seconds(process.pid())?);
        work()?;
        let spent = cpu_seconds(process.pid())? - cpu;
        Ok(spent / began.elapsed().as_secs_f64() * 100.0)
    };
    let idle = share(&process, &|| {
        std::thread::sleep(Duration::from_secs(args.seconds));
        Ok(())
    })?;
    let busy = share(&process, &|| {
        let began = Instant::now();
        for second in 1..=args.seconds {
            one_each(&sender, args.partitions)?;
            let next = Duration::from_secs(second);
            std::thread::sleep(next.saturating_sub(began.elapsed()));
        }
        Ok(())
    })?;
    process.signal("TERM")?;
    process.wait(MINUTES)?;
    sender.finish()?;
    Ok((idle, busy))
}

/// Sends a reading of now to each partition.
fn one_each(sender: &Sender, partitions: i32) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    for partition in 0..partitions {
        let value = format!("{{\"datetime\":{now},\"voltage\":{}.5}}", 200 + partition);
        let key = format!("meter-{partition}");
        sender.send(
            READINGS,
            Some(key.as_bytes()),
            Some(value.as_bytes()),
            Some(partition),
        )?;
    }
    Ok(())
}
