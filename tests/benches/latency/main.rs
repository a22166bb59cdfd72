//! How long a record takes from produce to committed output, at a steady rate, through an agent with a table and a
//! sink.
//!
//! `cargo bench -p tests --bench latency -- --rate 10000 --seconds 20`; with `--against DIRECTORY --rounds 5` beside
//! another build.

use anyhow::{Context, Result, bail};
use clap::Parser;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};
use std::path::Path;
use std::time::{Duration, Instant};
use tests::bench::bed::{AgainstArgs, Bed, BedArgs, PARTITIONS};
use tests::bench::setting::{StoreArgs, time, with_store};
use tests::bench::{in_turn, measure, median, percentile, rows, worker};
use tests::client;
use tests::leash::Leashed;

const SENT: &str = "bench_sent";
const CAME: &str = "bench_came";

#[derive(Parser)]
struct Args {
    /// Records a second.
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Seconds of it that count.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// How long before, in whole seconds: a broker that has just started may be slow.
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = time)]
    warm_up: Duration,
    /// The commit interval.
    #[arg(long, default_value_t = 100)]
    commit_ms: u64,
    /// Rounds in which each build is measured with each guarantee, in turn.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    #[command(flatten)]
    stores: StoreArgs,
    #[command(flatten)]
    against: AgainstArgs,
    #[command(flatten)]
    bed: BedArgs,
}

/// One of those that run in turn: where the programs of another build are, and the worker's store.
#[derive(Clone, Copy)]
struct Case<'a> {
    programs: Option<&'a Path>,
    store: Option<&'a str>,
}

impl std::fmt::Display for Case<'_> {
    /// What is not as usual, in brackets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.programs.map(|path| path.display().to_string());
        let words: Vec<String> = path
            .into_iter()
            .chain(self.store.map(str::to_owned))
            .collect();
        match words.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", words.join(", ")),
        }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let bed = args.bed.make()?;
    let builds = std::iter::once(None).chain(args.against.against.iter().copied().map(Some));
    let of = |programs| {
        let stores = args.stores.all().into_iter();
        stores.map(move |store| Case { programs, store })
    };
    let cases: Vec<Case<'_>> = builds.flat_map(of).collect();
    for guarantee in ["exactly_once", "at_least_once"] {
        let mut seen = vec![Vec::new(); cases.len()];
        for round in 0..args.rounds {
            for (at, case) in in_turn(round + 1, cases.iter().enumerate()) {
                for topic in [SENT, CAME] {
                    if client::partitions(&bed.bootstrap, topic)? > 0 {
                        client::delete_topics(&bed.bootstrap, &[topic])?;
                    }
                    client::create_topic(&bed.bootstrap, topic, PARTITIONS, &[])?;
                }
                let app = format!("bench_latency_{guarantee}_{round}_{at}");
                let found = one(&args, &bed, case, &app, guarantee)
                    .with_context(|| guarantee.to_owned())?;
                seen[at].push(found);
            }
        }
        tell(&args, guarantee, &cases, &seen);
    }
    Ok(())
}

/// Latencies of one run, in ms, and its CPU time in µs a record, from when it ran.
#[derive(Clone, Copy)]
struct Seen {
    percentiles: [f64; 4],
    cpu: f64,
}

/// The medians of each case's rounds.
fn tell(args: &Args, guarantee: &str, cases: &[Case<'_>], seen: &[Vec<Seen>]) {
    for (case, seen) in cases.iter().zip(seen) {
        let of = |figure: &dyn Fn(&Seen) -> f64| median(seen.iter().map(figure).collect());
        let [p50, p99, p999, largest] = [0, 1, 2, 3].map(|at| of(&|seen| seen.percentiles[at]));
        println!(
            "{guarantee:<14} {} records/s: p50 {p50:.1} ms, p99 {p99:.1} ms, p99.9 {p999:.1} ms, largest {largest:.1} ms, {:.2} µs CPU/record; aim p99 <= {} ms{case}",
            args.rate,
            of(&|seen| seen.cpu),
            args.commit_ms + 20
        );
    }
    for (case, other) in cases.iter().zip(seen).skip(1) {
        let pairs = seen[0].iter().zip(other);
        let ratio = median(pairs.map(|(own, other)| own.cpu / other.cpu).collect());
        println!(
            "{guarantee:<14} this build{} to{case}: CPU {ratio:.3}",
            cases[0]
        );
    }
}

fn one(args: &Args, bed: &Bed, case: &Case<'_>, app: &str, guarantee: &str) -> Result<Seen> {
    let dir = tempfile::tempdir()?;
    let (programs, broker) = (case.programs, bed.bootstrap.as_str());
    let mut command = worker::command(programs, "latency_app", app, broker, dir.path());
    with_store(&mut command, case.store);
    command
        .args(["--processing-guarantee", guarantee])
        .args(["--commit-interval", &format!("{}ms", args.commit_ms)]);
    let mut process = Leashed::start(&command, dir.path().join("log"))?;
    rows::until_running(&mut process, Duration::from_secs(60))?;
    // A start is not a record's.
    let start = measure::cpu_seconds(process.pid())?;
    let count = args.rate * (args.warm_up.as_secs() + args.seconds);
    let mut latencies = std::thread::scope(|scope| {
        let reader = reader(bed)?;
        let reading = scope.spawn(move || read(&reader, count));
        send(bed, args.rate, count)?;
        reading.join().expect("the reader panicked")
    })?;
    let cpu = measure::cpu_seconds(process.pid())? - start;
    let warm_up = args.rate * args.warm_up.as_secs();
    let mut counted = latencies.split_off(warm_up as usize);
    counted.sort_by(f64::total_cmp);
    process.signal("TERM")?;
    process.wait(Duration::from_secs(30))?;
    Ok(Seen {
        percentiles: [50.0, 99.0, 99.9, 100.0].map(|percent| percentile(&counted, percent)),
        cpu: cpu * 1e6 / count as f64,
    })
}

/// Sends on a schedule that does not wait for anybody; what is late counts from when it was due.
fn send(bed: &Bed, rate: u64, count: u64) -> Result<()> {
    let mut config = client::config(&bed.bootstrap);
    config
        .set("linger.ms", "1")
        .set("partitioner", "murmur2_random");
    let producer: BaseProducer = config.create()?;
    let (start, began) = (Instant::now(), measure::now());
    for number in 0..count {
        let due = Duration::from_nanos(number * 1_000_000_000 / rate);
        while let Some(wait) = due.checked_sub(start.elapsed()).filter(|d| !d.is_zero()) {
            producer.poll(Duration::ZERO);
            std::thread::sleep(wait.min(Duration::from_millis(1)));
        }
        let value = format!("{{\"at\":{}}}", began + due.as_micros());
        let key = format!("key-{}", number % 1000);
        producer
            .send(BaseRecord::to(SENT).key(&key).payload(&value))
            .map_err(|(error, _)| error)?;
    }
    producer.flush(Duration::from_secs(30))?;
    Ok(())
}

fn reader(bed: &Bed) -> Result<BaseConsumer> {
    let mut config = client::config(&bed.bootstrap);
    config
        .set("group.id", "bench-latency-reader")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "5")
        .set("fetch.queue.backoff.ms", "5");
    let consumer: BaseConsumer = config.create()?;
    let ends = client::end_offsets(&bed.bootstrap, CAME, client::Isolation::Uncommitted)?;
    let mut list = TopicPartitionList::new();
    for (partition, end) in (0..).zip(ends) {
        list.add_partition_offset(CAME, partition, Offset::Offset(end))?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

/// The latency of each output in ms, in the order in which their records were due.
fn read(consumer: &BaseConsumer, count: u64) -> Result<Vec<f64>> {
    let (mut all, mut heard) = (Vec::with_capacity(count as usize), Instant::now());
    while (all.len() as u64) < count {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let value: serde_json::Value =
                    serde_json::from_slice(message.payload().context("a value")?)?;
                let at = value["at"].as_u64().context("a time")?;
                let now = measure::now() as u64;
                all.push((at, now.saturating_sub(at) as f64 / 1e3));
                heard = Instant::now();
            }
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) => return Err(error.into()),
        }
        if heard.elapsed() > Duration::from_secs(30) {
            bail!("only {} of {count} outputs came", all.len());
        }
    }
    all.sort_unstable_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, latency)| latency).collect())
}
