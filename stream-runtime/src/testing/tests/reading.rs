//! What a function can look at: windows by time, from inside and from beside; where and when it runs.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::prelude::*;
use crate::testing::TestApp;

#[record(timestamp = at)]
struct Tick {
    at: i64,
}

fn tick(seconds: i64) -> Tick {
    Tick {
        at: seconds * 1_000,
    }
}

fn second(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds)
}

fn texts(app: &mut TestApp, topic: &str) -> Vec<String> {
    let sent = app.sent::<String>(topic);
    sent.into_iter().map(|s| s.into_value()).collect()
}

#[table(hopping = "10s", step = "5s", value = u64, retention = "20s")]
struct Leaps;

#[table(tumbling = "10s", value = u64)]
struct Spans;

#[agent(topic = "reading-ticks", sink = "reading-leaps")]
async fn leap(tick: Event<Tick>, mut leaps: Table<Leaps>, mut spans: Table<Spans>) -> String {
    let key = tick.key();
    let mut windows = 0;
    leaps.update(key, |n| {
        windows += 1;
        *n += 1;
    });
    spans.update(key, |n| *n += 1);
    let all: Vec<_> = leaps
        .windows(key)
        .iter()
        .map(|w| (w.start.timestamp(), w.end.timestamp(), w.value))
        .collect();
    format!(
        "{windows} {:?} {:?} {:?} {all:?}",
        leaps.current(key),
        leaps.at(key, tick.time() - chrono::TimeDelta::seconds(6)),
        leaps.delta(key, Duration::from_secs(5)),
    )
}

#[test]
fn a_hopping_window_is_found_by_its_time_and_is_the_one_that_begins_last() {
    let mut app = TestApp::only((leap,));
    for at in [12, 17] {
        app.send("reading-ticks", "k", tick(at));
        app.crash();
    }
    assert_eq!(
        texts(&mut app, "reading-leaps"),
        [
            "2 Some(1) Some(1) Some(1) [(5, 15, 1), (10, 20, 1)]",
            "2 Some(1) Some(2) Some(2) [(5, 15, 1), (10, 20, 2), (15, 25, 1)]",
        ]
    );
}

#[topic("reading-reports", value = String)]
struct Reports;

#[timer("1m")]
async fn report(
    leaps: TableReader<Leaps>,
    spans: TableReader<Spans>,
    reports: Producer<Reports>,
) -> Result {
    let mut seen = Vec::new();
    for at in [3, 7, 12, 17, 25] {
        let leap = leaps.at("k", second(at)).await?;
        seen.push((leap, spans.at("k", second(at)).await?));
    }
    let other = spans.at("another", second(12)).await?;
    reports.send("k", format!("{seen:?} {other:?}")).await?;
    Ok(())
}

#[test]
fn a_reader_finds_rows_by_key_and_time() {
    for partitions in [1, 3] {
        let mut app = TestApp::only((leap, report)).partitions(partitions);
        for at in [12, 14, 16] {
            app.send("reading-ticks", "k", tick(at));
        }
        app.advance_to(second(16 + 60));
        assert_eq!(
            texts(&mut app, "reading-reports"),
            [
                "[(None, None), (Some(2), None), (Some(3), Some(3)), (Some(1), Some(3)), (None, None)] None"
            ],
            "no stream time has passed, so that no window is over"
        );
    }
}

#[table(value = u64)]
struct Strays;

#[table(tumbling = "10s", value = u64)]
struct StraysInTime;

/// Of a session the writer asks for what is there, and so for rows that would belong elsewhere.
#[table(session = "10s", local)]
#[derive(Clone, Default)]
struct StrayVisits {
    n: u64,
}

impl Merge for StrayVisits {
    fn merge(&mut self, later: Self) {
        self.n += later.n;
    }
}

/// Keeps its rows by what a tick says, and so in the partition of another key.
#[agent(topic = "reading-stray-ticks")]
async fn stray(
    name: String,
    mut plain: Table<Strays>,
    mut timed: Table<StraysInTime>,
    mut visits: Table<StrayVisits>,
) {
    plain.update(&name, |n| *n += 1);
    timed.update(&name, |n| *n += 1);
    visits.update(&name, |visit| visit.n += 1);
}

#[timer("1m")]
async fn report_strays(
    plain: TableReader<Strays>,
    timed: TableReader<StraysInTime>,
    visits: TableReader<StrayVisits>,
    reports: Producer<Reports>,
) -> Result {
    for name in ["a", "b", "c", "d", "twice", "nobody"] {
        let said = match plain.get(name).await {
            Ok(n) => {
                let at = timed.at(name, second(12)).await?;
                let visits = visits.windows(name).await?;
                let visits: Vec<u64> = visits.iter().map(|visit| visit.n).collect();
                format!("{name} {n:?} {at:?} {visits:?}")
            }
            Err(error) => error.to_string(),
        };
        reports.send("k", said).await?;
    }
    Ok(())
}

#[test]
fn a_row_that_lies_in_another_partition_than_its_key_belongs_to_is_read_all_the_same() {
    let mut app = TestApp::only((stray, report_strays)).partitions(3);
    let place = |key: &str| crate::key::partition_of(key.as_bytes(), 3);
    // Of these keys two belong elsewhere, and the last two lie in both partitions where it does not belong.
    let here = ["a", "b", "c", "d"].map(|name| (name, "a"));
    let away = (0..).map(|n| format!("k{n}"));
    let away = away.filter(|key| place(key) != place("twice"));
    let away: Vec<String> = away.take(20).collect();
    let other = away.iter().find(|key| place(key) != place(&away[0]));
    let twice = [("twice", &*away[0]), ("twice", other.unwrap())];
    assert!(here.iter().any(|(name, _)| place(name) != place("a")));
    for (name, key) in here.into_iter().chain(twice) {
        let message = app.message("reading-stray-ticks", key, name.to_owned());
        message.timestamp(second(12)).send();
    }
    app.advance_to(second(12 + 60));
    let mut reports = texts(&mut app, "reading-reports");
    let twice = reports.remove(4);
    assert!(
        twice.contains("key \"twice\" has a row in partition")
            && twice.contains(&format!("none in {}", place("twice"))),
        "{twice}"
    );
    assert_eq!(
        reports,
        [
            "a Some(1) Some(1) [1]",
            "b Some(1) Some(1) [1]",
            "c Some(1) Some(1) [1]",
            "d Some(1) Some(1) [1]",
            "nobody None None []",
        ]
    );
}

#[topic("reading-prices", value = String, key = u64, compact)]
struct Prices;

#[table(global, source = Prices)]
struct AllPrices;

#[agent(topic = "reading-asked", sink = "reading-sizes")]
async fn size(_: String, prices: &GlobalTable<AllPrices>) -> String {
    let some = prices.read(&7_u64, String::len);
    format!(
        "{} {} {} {some:?}",
        prices.len(),
        prices.is_empty(),
        prices.contains(&7_u64)
    )
}

#[test]
fn a_global_table_knows_how_many_rows_it_has() {
    let mut app = TestApp::only((size,)).partitions(3);
    let ask = |app: &mut TestApp| {
        app.send("reading-asked", "k", String::new());
        texts(app, "reading-sizes").pop().unwrap_or_default()
    };
    assert_eq!(ask(&mut app), "0 true false None");
    app.send("reading-prices", 7_u64, "cheap".to_owned());
    app.send("reading-prices", 8_u64, "dear".to_owned());
    assert_eq!(ask(&mut app), "2 false true Some(5)");
    app.send_raw("reading-prices", Some(&7_u64.to_be_bytes()), None);
    assert_eq!(ask(&mut app), "1 false false None");
}

#[agent(topic = "reading-ticks", sink = "reading-places")]
async fn place(tick: Event<Tick>, task: TaskContext) -> String {
    let before = task.stream_time().map(|time| time.timestamp());
    let (offset, partition) = (tick.offset(), tick.partition());
    assert_eq!(tick.time().timestamp_millis(), tick.timestamp());
    assert_eq!(tick.timestamp(), tick.at);
    format!(
        "{} {} {before:?} {partition}@{offset}",
        task.app(),
        task.partition()
    )
}

#[test]
fn a_function_knows_where_and_when_it_runs() {
    let mut app = TestApp::of(App::new("reading").version(2).only((place,))).partitions(3);
    for n in 0..6 {
        app.send("reading-ticks", format!("k{n}"), tick(n));
        app.send("reading-ticks", format!("k{n}"), tick(n - 3));
    }
    let mut times = [None::<i64>; 3];
    let mut sent = [0; 3];
    let places = app.sent::<String>("reading-places");
    assert_eq!(places.len(), 12);
    for place in places {
        // The key is the event's, and so is the partition.
        let (partition, at) = (place.partition(), place.partition() as usize);
        let offset = sent[at];
        let before = times[at];
        assert_eq!(
            *place,
            format!("reading-v2 {partition} {before:?} {partition}@{offset}")
        );
        let key: i64 = place.key::<String>()[1..].parse().unwrap();
        let time = if offset % 2 == 0 { key } else { key - 3 };
        times[at] = before.max(Some(time));
        sent[at] += 1;
    }
}

#[table(value = u64, changelog = false)]
struct InMemory;

#[table(value = u64)]
struct Kept;

#[agent(topic = "reading-ticks", sink = "reading-counts")]
async fn count(tick: Event<Tick>, mut passing: Table<InMemory>, mut kept: Table<Kept>) -> String {
    let count = |n: &mut u64| {
        *n += 1;
        *n
    };
    format!(
        "{} {}",
        passing.update(tick.key(), count),
        kept.update(tick.key(), count)
    )
}

#[test]
fn a_table_without_a_changelog_is_lost_with_its_process() {
    let mut app = TestApp::only((count,));
    for _ in 0..2 {
        app.send("reading-ticks", "k", tick(1));
        app.store();
    }
    app.crash();
    app.send("reading-ticks", "k", tick(1));
    assert_eq!(texts(&mut app, "reading-counts"), ["1 1", "2 2", "1 3"]);
}

#[table(value = u64)]
struct Elsewhere;

#[table(value = u64, local)]
struct OnePerPartition;

#[agent(topic = "reading-ticks")]
async fn misplace(_: Tick, mut elsewhere: Table<Elsewhere>) {
    elsewhere.update("all", |n| *n += 1);
}

#[agent(topic = "reading-ticks")]
async fn keep_local(_: Tick, mut totals: Table<OnePerPartition>) {
    totals.update("all", |n| *n += 1);
}

/// What is logged in this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) fn logged(work: impl FnOnce()) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = log.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_row_in_another_partition_than_its_key_is_told_once_unless_that_is_meant() {
    let send = |mut app: TestApp| {
        for n in 0..20 {
            app.send("reading-ticks", format!("k{n}"), tick(1));
        }
        app.settle();
    };
    let text = logged(|| send(TestApp::only((misplace,)).partitions(2)));
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("another partition"))
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    let home = crate::key::partition_of(b"all", 2);
    for part in [
        "table=\"elsewhere\"".to_owned(),
        "key=\"all\"".to_owned(),
        format!("partition={}", 1 - home),
        format!("belongs_to={home}"),
        "partitioner=murmur2_random".to_owned(),
    ] {
        assert!(lines[0].contains(&part), "no {part} in {}", lines[0]);
    }
    let text = logged(|| send(TestApp::only((keep_local,)).partitions(2)));
    assert!(!text.contains("another partition"), "{text}");
}
