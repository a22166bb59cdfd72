//! The end-to-end verifier: `verify --minutes 10 --seed 1`. With a command (`verify worker`) it is its own app.

mod app;

use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tests::broker::Broker;
use tests::cluster::Cluster;
use tests::embedded::Embedded;
use tests::verifier::{self, At, Guarantee, Kind, Part, Setup};

/// Feeds an app, does faults at random moments, and compares every output with a replay of the input.
///
/// It starts an embedded broker unless told otherwise. The last line is the verdict; the exit code is 0 for `ok`.
#[derive(Parser)]
struct Args {
    /// How long input comes and faults happen
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// The same seed gives the same faults at the same times [default: of the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// A broker that runs, as HOST:PORT; the verifier's own topics there are deleted, and it is not restarted
    #[arg(long, conflicts_with = "apache")]
    broker: Option<String>,
    /// Start an Apache Kafka, and restart it as a fault
    #[arg(long)]
    apache: bool,
    /// Start three nodes of Apache Kafka with three copies of everything, and kill, freeze and restart them; a tail,
    /// lookups of rows and a sender run beside, and must live through it
    #[arg(long, conflicts_with_all = ["broker", "apache"])]
    cluster: bool,
    /// Workers at any time; one more comes and goes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=20))]
    workers: u16,
    /// What is promised about every record
    #[arg(long, default_value = "exactly-once")]
    guarantee: Promise,
    /// Records a second
    #[arg(long, default_value_t = 1200, value_parser = clap::value_parser!(u64).range(100..))]
    rate: u64,
    /// Only these faults: kill, freeze, amid, join of workers; broker of a single one; with --cluster also node-kill,
    /// node-pause, node-freeze, rolling, leader, coordinator, transactions, two, cut, slow [default: all that apply;
    /// at-least-once: without freeze, amid, cut, slow and transactions]
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
    /// Another build of this program, such as the last release's: every second life of a worker runs it
    #[arg(long, value_name = "PROGRAM")]
    other: Option<PathBuf>,
    /// With --cluster: what is found of these is printed and does not fail the run, of tail, lookup, send and silence
    #[arg(long, value_delimiter = ',')]
    forgive: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Promise {
    #[value(alias = "exactly_once")]
    ExactlyOnce,
    #[value(alias = "at_least_once")]
    AtLeastOnce,
}

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    if command.is_some_and(|word| !word.starts_with('-')) {
        return app::app().main();
    }
    match verify(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn verify(args: &Args) -> anyhow::Result<bool> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let program = std::env::current_exe()?;
    let kinds = args.faults.iter().map(|name| {
        let kind = Kind::all().find(|kind| kind.name() == name);
        kind.ok_or_else(|| anyhow::anyhow!("--faults {name}: one of {}", Kind::names()))
    });
    let forgive = args.forgive.iter().map(|name| {
        let part = Part::ALL.into_iter().find(|part| part.name() == name);
        part.ok_or_else(|| anyhow::anyhow!("--forgive {name}: one of {}", Part::names()))
    });
    let setup = Setup {
        program: program.clone(),
        other: args.other.as_deref().map(std::path::absolute).transpose()?,
        lasts: Duration::from_secs_f64(args.minutes.max(0.1) * 60.0),
        seed: args.seed.unwrap_or(clock),
        workers: usize::from(args.workers),
        guarantee: match args.guarantee {
            Promise::ExactlyOnce => Guarantee::ExactlyOnce,
            Promise::AtLeastOnce => Guarantee::AtLeastOnce,
        },
        rate: args.rate,
        kinds: kinds.collect::<anyhow::Result<_>>()?,
        env: std::env::vars()
            .filter(|(name, _)| name == "STREAM_MUTANT")
            .collect(),
        forgive: forgive.collect::<anyhow::Result<_>>()?,
    };
    if args.cluster {
        let Some(mut cluster) = Cluster::start_or_skip() else {
            anyhow::bail!("no Apache Kafka here");
        };
        let outcome = verifier::run(&setup, At::Cluster(&mut cluster))?;
        return Ok(outcome.is_ok());
    }
    let outcome = match (&args.broker, args.apache) {
        (Some(broker), _) => verifier::run(&setup, At::Theirs(broker))?,
        (None, true) => match Broker::apache() {
            Some(mut broker) => verifier::run(&setup, At::Ours(&mut broker))?,
            None => anyhow::bail!("no Apache Kafka here"),
        },
        (None, false) => {
            let mut broker = Broker::Embedded(Embedded::of(program)?);
            verifier::run(&setup, At::Ours(&mut broker))?
        }
    };
    Ok(outcome.is_ok())
}
