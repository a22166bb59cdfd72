//! Workers against a real broker: the embedded one, or the one that `STREAM_TEST_BROKER` names.

mod hops;
mod keyless;
mod reads;
mod rows;
mod shapes;
mod stored;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::run::{BROKER_TIMEOUT, worse};
use super::{Ended, ShutdownSignal, Status, WorkerHandle, WorkerSettings, run};
use crate::error::{Error, Kind};
use crate::kafka::{
    Admin, Batch, Fetched, Isolation, Outgoing, Properties, Reader, Sender, TopicPartitionOffset,
    TopicSettings, Wake,
};
use crate::prelude::*;
use crate::topology::{Plan, PlanParts, plan};

/// A reading; its time is in the record.
#[record(timestamp = time)]
struct Reading {
    #[field(coerce)]
    time: DateTime<Utc>,
    amount: i64,
}

/// What a second came to.
#[record]
struct Total {
    start: DateTime<Utc>,
    count: u64,
    sum: i64,
}

/// The readings of a second, folded.
#[table(key = String, tumbling = "1s", idle = "300ms")]
#[derive(Clone, Default)]
struct Seconds {
    count: u64,
    sum: i64,
}

#[agent(topic = "worker_test_in")]
async fn collect(mut readings: Stream<Reading>, mut seconds: Table<Seconds>) -> Result<()> {
    while let Some(reading) = readings.next().await {
        if reading.amount < 0 {
            return Err("a negative value".into());
        }
        seconds.update(reading.key(), |second| {
            second.count += 1;
            second.sum += reading.amount;
        });
    }
    Ok(())
}

#[agent(on_close = Seconds, sink = "worker_test_out")]
async fn total(second: Closed<Seconds>) -> Total {
    Total {
        start: second.start(),
        count: second.count,
        sum: second.sum,
    }
}

enum Server {
    Embedded(stream_broker::Broker, #[allow(dead_code)] tempfile::TempDir),
    Named(String),
}

impl Server {
    fn start() -> Self {
        match std::env::var("STREAM_TEST_BROKER") {
            Ok(address) => Self::Named(address),
            Err(_) => {
                let dir = tempfile::tempdir().unwrap();
                Self::Embedded(
                    stream_broker::Broker::start(stream_broker::Config::new(dir.path())).unwrap(),
                    dir,
                )
            }
        }
    }

    fn properties(&self) -> Properties {
        let mut properties = match self {
            Self::Embedded(broker, _) => Properties::broker(&broker.address().to_string()),
            Self::Named(address) => Properties::broker(address),
        };
        for (name, value) in [
            ("session.timeout.ms", "2000"),
            ("heartbeat.interval.ms", "500"),
            ("transaction.timeout.ms", "3000"),
        ] {
            properties.set(name, value).unwrap();
        }
        properties
    }
}

fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{name}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed) + wall_part()
    )
}

fn wall_part() -> u32 {
    (crate::clock::wall_ms() % 1_000_000_000) as u32
}

/// The agents above, on topics of this test alone.
fn plan_of(app: &str, module: &str) -> Plan {
    let agents = crate::topology::registry::agents()
        .into_iter()
        .filter(|agent| agent.place.module == module)
        .collect();
    let parts = PlanParts {
        app,
        name: app,
        existing: &[],
        agents,
        tables: vec![],
        topics: vec![],
    };
    let mut plan = plan(parts).unwrap_or_else(|problems| panic!("{problems:?}"));
    for topology in &mut plan.topologies {
        for input in &mut topology.inputs {
            match input.is_repartition() {
                false => input.topic = format!("{app}-in"),
                true => input.sources = vec![format!("{app}-in")],
            }
        }
        for output in &mut topology.outputs {
            output.topic = output
                .topic
                .replace("worker_test_out", &format!("{app}-out"));
        }
    }
    plan
}

fn make_input(properties: &Properties, app: &str, partitions: i32) {
    let topic = TopicSettings {
        name: format!("{app}-in"),
        partitions: Some(partitions),
        replication: None,
        config: vec![],
    };
    Admin::new(properties, BROKER_TIMEOUT)
        .unwrap()
        .create(&[topic])
        .unwrap();
}

/// Sends readings `from..to`: ten a second, value = number, key by number.
fn send(properties: &Properties, app: &str, range: std::ops::Range<i64>) {
    let sender = Sender::new(properties).unwrap();
    for number in range {
        let value = format!(
            "{{\"time\":{},\"amount\":{number}}}",
            1_000_000 + number * 100
        );
        sender
            .send(Outgoing {
                topic: &format!("{app}-in"),
                partition: None,
                key: Some(format!("meter-{}", number % 7).as_bytes()),
                value: Some(value.as_bytes()),
                timestamp: None,
                headers: None,
                slot: 0,
            })
            .unwrap();
    }
    assert_eq!(sender.flush(Duration::from_secs(20)).unwrap().failed, 0);
}

/// Everything committed in a topic, by key and start: count and sum, each row once.
fn totals(properties: &Properties, app: &str) -> BTreeMap<(String, String), (u64, i64)> {
    let admin = Admin::new(properties, BROKER_TIMEOUT).unwrap();
    let topic: Arc<str> = format!("{app}-out").into();
    let count = admin.topic(&topic).unwrap().unwrap().partitions;
    let partitions: Vec<_> = (0..count).map(|p| (Arc::clone(&topic), p)).collect();
    let ends = admin.ends(&partitions).unwrap();
    assert_eq!(
        ends,
        admin.ends_as(Isolation::Committed, &partitions).unwrap(),
        "an open transaction was left"
    );
    let reader = Reader::new(properties, "totals", Isolation::Committed, &Wake::new()).unwrap();
    let places: Vec<TopicPartitionOffset> = partitions
        .iter()
        .map(|(t, p)| TopicPartitionOffset::new(Arc::clone(t), *p, 0))
        .collect();
    let queues = reader.add(&places).unwrap();
    let (mut batch, mut found, start) = (Batch::new(256), BTreeMap::new(), Instant::now());
    for (queue, end) in queues.iter().zip(ends) {
        let mut at = 0;
        while at < end {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{topic}: at {at} of {end}"
            );
            reader.serve().unwrap();
            let got = queue.read(&mut batch, |fetched| match fetched {
                Fetched::Record(record) => {
                    let row: serde_json::Value =
                        serde_json::from_slice(record.value.unwrap()).unwrap();
                    let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                    let value = (row["count"].as_u64().unwrap(), row["sum"].as_i64().unwrap());
                    let before = found.insert((key.clone(), row["start"].to_string()), value);
                    assert_eq!(before, None, "{key} {row} twice");
                    at = at.max(record.offset + 1);
                }
                Fetched::End { offset } => at = at.max(offset),
                Fetched::Error { code, text } => panic!("{code}: {text}"),
            });
            if got == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
    found
}

fn expected(range: std::ops::Range<i64>) -> (u64, i64) {
    (range.clone().count() as u64, range.sum())
}

fn added(totals: &BTreeMap<(String, String), (u64, i64)>) -> (u64, i64) {
    totals
        .values()
        .fold((0, 0), |(count, sum), (c, s)| (count + c, sum + s))
}

fn settings(properties: &Properties, dir: &tempfile::TempDir, threads: usize) -> WorkerSettings {
    WorkerSettings {
        threads,
        until_caught_up: true,
        ..WorkerSettings::new(properties.clone(), dir.path())
    }
}

fn work(app: &str, settings: WorkerSettings) -> Result<Ended, Error> {
    work_of(app, module_path!(), settings)
}

/// Runs a worker with the agents of a module.
fn work_of(app: &str, module: &str, settings: WorkerSettings) -> Result<Ended, Error> {
    let _ = tracing_subscriber::fmt()
        .with_test_writer()
        .with_max_level(tracing::Level::INFO)
        .try_init();
    let plan = plan_of(app, module);
    let handle = WorkerHandle::new(ShutdownSignal::new(), Status::of(&plan));
    let again = |_: &[String]| Ok(plan_of(app, module));
    run(plan, Arc::default(), settings, &handle, &again)
}

#[test]
fn a_worker_processes_everything_closes_what_is_over_and_ends() {
    let server = Server::start();
    let (properties, app, dir) = (
        server.properties(),
        unique("whole"),
        tempfile::tempdir().unwrap(),
    );
    make_input(&properties, &app, 3);
    send(&properties, &app, 0..5_000);
    let ended = work(&app, settings(&properties, &dir, 2)).unwrap();
    assert_eq!(ended.failed, []);
    assert_eq!(added(&totals(&properties, &app)), expected(0..5_000));

    // Again: there is nothing to do, and nothing comes twice.
    assert_eq!(
        work(&app, settings(&properties, &dir, 1)).unwrap().failed,
        []
    );
    assert_eq!(added(&totals(&properties, &app)), expected(0..5_000));

    // More input, on an empty disk: the tables come back from the changelog.
    send(&properties, &app, 5_000..6_000);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(
        work(&app, settings(&properties, &empty, 1)).unwrap().failed,
        []
    );
    assert_eq!(added(&totals(&properties, &app)), expected(0..6_000));
}

#[test]
fn at_least_once_misses_nothing_and_a_restart_repeats_nothing() {
    let server = Server::start();
    let (properties, app, dir) = (
        server.properties(),
        unique("least"),
        tempfile::tempdir().unwrap(),
    );
    make_input(&properties, &app, 2);
    for round in 0..2 {
        send(&properties, &app, round * 1_000..(round + 1) * 1_000);
        let settings = WorkerSettings {
            exactly_once: false,
            ..settings(&properties, &dir, 1)
        };
        assert_eq!(work(&app, settings).unwrap().failed, []);
        assert_eq!(
            added(&totals(&properties, &app)),
            expected(0..(round + 1) * 1_000)
        );
    }
}

/// Two threads begin at once: one is refused and has the worker end, the other waited for the broker at that moment.
#[test]
fn a_refusal_is_not_hidden_by_a_thread_that_was_asked_to_stop_meanwhile() {
    let of = |kind| Err(Error::new(kind, format!("{kind:?}")));
    let text = |result: Result<(), Error>| result.unwrap_err().to_string();
    let (stopped, refused) = (|| of(Kind::Stopped), || of(Kind::Refused));
    assert!(text(worse(stopped(), refused())).contains("Refused"));
    assert!(text(worse(refused(), stopped())).contains("Refused"));
    assert!(text(worse(stopped(), Ok(()))).contains("Stopped"));
    assert!(text(worse(Ok(()), stopped())).contains("Stopped"));
    assert!(worse(Ok(()), Ok(())).is_ok());
}
