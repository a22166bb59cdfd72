//! The hourly mean: this framework, the same by hand, and a bare loop, in turn, each in a process of its own.
//!
//! `cargo bench -p tests --bench hourly_mean -- --records 5000000 --rounds 3`

mod measure;
mod outputs;
mod readings;

use anyhow::{Context, Result};
use clap::Parser;
use measure::{Cost, End};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use tests::apache::{ApacheKafka, Options};
use tests::broker::Broker;
use tests::{bins, client};

const READINGS: &str = "bench_readings";
const MEANS: &str = "bench_means";
const PARTITIONS: i32 = 4;
const THREADS: &str = "2";

#[derive(Parser)]
struct Args {
    /// How many readings of 10 000 meters, over 8 hours, in 4 partitions.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(100_000..))]
    records: u64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A broker that runs already; its topics `bench_…` are deleted. Default: an embedded one in a process of its own.
    #[arg(long)]
    broker: Option<String>,
    /// An Apache Kafka of its own.
    #[arg(long, conflicts_with = "broker")]
    apache: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Contender {
    Framework(&'static str),
    ByHand(&'static str),
    RawPoll,
}

const IN_TURN: [Contender; 5] = [
    Contender::Framework("exactly_once"),
    Contender::ByHand("exactly_once"),
    Contender::Framework("at_least_once"),
    Contender::ByHand("at_least_once"),
    Contender::RawPoll,
];

impl std::fmt::Display for Contender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Framework(guarantee) => write!(f, "a framework {guarantee}"),
            Self::ByHand(guarantee) => write!(f, "b by hand {guarantee}"),
            Self::RawPoll => write!(f, "c raw poll"),
        }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let own = match &args.broker {
        Some(_) => None,
        None if args.apache => {
            let options = Options {
                throughput: true,
                ..Options::default()
            };
            Some(Broker::Apache(ApacheKafka::start_with(&options)?))
        }
        None => Some(Broker::embedded()),
    };
    let bootstrap = args
        .broker
        .clone()
        .or(own.as_ref().map(Broker::bootstrap))
        .context("a broker")?;
    let left: Vec<String> = client::topics(&bootstrap)?
        .into_iter()
        .filter(|topic| topic.starts_with("bench_"))
        .collect();
    client::delete_topics(
        &bootstrap,
        &left.iter().map(String::as_str).collect::<Vec<_>>(),
    )?;
    println!("{} records to {bootstrap}", args.records);
    let truth = readings::send(&bootstrap, READINGS, PARTITIONS, args.records)?;
    client::create_topic(&bootstrap, MEANS, PARTITIONS, &[])?;

    let dir = tempfile::tempdir()?;
    let mut costs: BTreeMap<Contender, Vec<Cost>> = BTreeMap::new();
    for round in 1..=args.rounds {
        for contender in IN_TURN {
            let cost = run(
                contender,
                round,
                &bootstrap,
                args.records,
                dir.path(),
                &truth,
            )
            .with_context(|| format!("{contender}, round {round}"))?;
            print(&round.to_string(), contender, cost);
            costs.entry(contender).or_default().push(cost);
        }
    }
    for (contender, costs) in &costs {
        print("median", *contender, median(costs));
    }
    let rate = |contender| median(&costs[&contender]).records_per_second;
    let ratio =
        |guarantee| rate(Contender::Framework(guarantee)) / rate(Contender::ByHand(guarantee));
    println!(
        "ratio exactly_once {:.2} at_least_once {:.2}",
        ratio("exactly_once"),
        ratio("at_least_once")
    );
    Ok(())
}

/// One run of one contender, its outputs compared with the truth.
fn run(
    contender: Contender,
    round: usize,
    bootstrap: &str,
    records: u64,
    dir: &Path,
    truth: &readings::Truth,
) -> Result<Cost> {
    let name = format!("bench_{}_{round}", contender.to_string().replace(' ', "_"));
    let before = client::end_offsets(bootstrap, MEANS, client::Isolation::Uncommitted)?;
    let count = records.to_string();
    let (command, end) = match contender {
        Contender::Framework(guarantee) => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_hourly_app"));
            command.env("BENCH_APP", &name).args([
                "worker",
                "--broker",
                bootstrap,
                "--threads",
                THREADS,
            ]);
            command
                .args([
                    "--processing-guarantee",
                    guarantee,
                    "--until-caught-up",
                    "--data-dir",
                ])
                .arg(dir.join(&name));
            (
                command,
                End::Committed {
                    bootstrap,
                    group: &name,
                    topic: READINGS,
                },
            )
        }
        Contender::ByHand(guarantee) => {
            let changelog = format!("{name}-changelog");
            client::create_topic(
                bootstrap,
                &changelog,
                PARTITIONS,
                &[("cleanup.policy", "compact")],
            )?;
            let mut command = Command::new(bins::contender("hand_written")?);
            command.args([
                "--broker",
                bootstrap,
                "--topic",
                READINGS,
                "--partitions",
                &PARTITIONS.to_string(),
            ]);
            command.args([
                "--group",
                &name,
                "--changelog",
                &changelog,
                "--sink",
                MEANS,
                "--records",
                &count,
            ]);
            command.args(["--threads", THREADS, "--guarantee", guarantee]);
            (
                command,
                End::Committed {
                    bootstrap,
                    group: &name,
                    topic: READINGS,
                },
            )
        }
        Contender::RawPoll => {
            let mut command = Command::new(bins::contender("raw_poll")?);
            command.args([
                "--broker",
                bootstrap,
                "--topic",
                READINGS,
                "--partitions",
                &PARTITIONS.to_string(),
            ]);
            command.args(["--records", &count]);
            (command, End::Printed)
        }
    };
    let cost = measure::run(&command, &dir.join(format!("{name}.log")), records, &end)?;
    if contender != Contender::RawPoll {
        outputs::check(bootstrap, MEANS, &before, truth)?;
    }
    Ok(cost)
}

fn print(round: &str, contender: Contender, cost: Cost) {
    println!(
        "{round:>6}  {:<28} {:>9.0} records/s {:>6.0} ns CPU/record {:>5} MiB peak",
        contender.to_string(),
        cost.records_per_second,
        cost.cpu_ns_per_record,
        cost.peak_mib
    );
}

/// The middle of each figure on its own; of an even number the lower of the two.
fn median(costs: &[Cost]) -> Cost {
    let middle = |of: fn(&Cost) -> f64| {
        let mut figures: Vec<f64> = costs.iter().map(of).collect();
        figures.sort_by(f64::total_cmp);
        figures[(figures.len() - 1) / 2]
    };
    Cost {
        records_per_second: middle(|cost| cost.records_per_second),
        cpu_ns_per_record: middle(|cost| cost.cpu_ns_per_record),
        peak_mib: middle(|cost| cost.peak_mib as f64) as u64,
    }
}
