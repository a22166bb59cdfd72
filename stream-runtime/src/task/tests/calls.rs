//! Crontabs per partition: a call is an event of its own, in the partition's commit, once whoever has the partition.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::TimeDelta;

use crate::prelude::*;
use crate::testing::{TestApp, at};

#[table(value = u64)]
struct Stock;

#[agent(topic = "call_in", sink = "call_seen")]
async fn add(word: String, Key(key): Key<String>, mut stock: Table<Stock>) -> String {
    stock.update(&key, |n| *n += 1);
    word
}

#[topic("call_reports", value = String, key = String)]
struct Reports;

/// Reports how much its partition has, and counts its calls in the table.
#[crontab("0 * * * *", per = "partition")]
async fn hourly(
    due: Due,
    at: TaskContext,
    mut stock: Table<Stock>,
    reports: &Topic<Reports>,
) -> Result<()> {
    let of_words: u64 = stock
        .iter()
        .filter(|(key, _)| key != "calls")
        .map(|(_, n)| n)
        .sum();
    let calls = stock.update("calls", |n| {
        *n += 1;
        *n
    });
    let report = format!("{} {calls} {of_words}", due.format("%H:%M"));
    reports
        .send(&format!("p{}", at.partition()), report)
        .await?;
    Ok(())
}

fn minute(n: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(n)
}

/// Reports of each partition.
fn reports(app: &mut TestApp) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for sent in app.sent::<String>("call_reports") {
        all.entry(sent.key()).or_default().push((*sent).clone());
    }
    all
}

/// The same of one partition.
fn of_one(app: &mut TestApp) -> Vec<String> {
    reports(app).remove("p0").unwrap_or_default()
}

#[test]
fn each_partition_is_called_once_for_each_time_with_its_own_rows() {
    let mut app = TestApp::only((add, hourly)).partitions(3);
    for n in 0..30 {
        app.send("call_in", format!("k{n}"), "word".to_owned());
    }
    app.advance_to(minute(59));
    assert!(reports(&mut app).is_empty());
    app.advance_to(minute(125));
    let all = reports(&mut app);
    assert_eq!(all.len(), 3);
    let mut words = 0;
    for reports in all.values() {
        let [first, second] = &reports[..] else {
            panic!("{all:?}")
        };
        assert!(first.starts_with("01:00 1 "), "{all:?}");
        assert!(second.starts_with("02:00 2 "), "{all:?}");
        words += second["02:00 2 ".len()..].parse::<u32>().unwrap();
    }
    assert_eq!(words, 30, "all rows, each in one partition");
}

#[test]
fn no_call_is_lost_or_made_twice_when_partitions_move_and_workers_die() {
    let mut app = TestApp::only((add, hourly)).partitions(2).workers(2);
    let mut hour = 0;
    for what in 0..6 {
        hour += 1;
        app.advance_to(minute(60 * hour));
        match what {
            0 => app.rebalance(),
            1 => app.crash(),
            2 => app.restart_with_empty_disk(),
            3 => app.crash_worker(0),
            4 => app.fail_next_commit(),
            _ => app.store(),
        }
    }
    // And between two times.
    app.crash();
    app.advance_to(minute(60 * hour + 30));
    app.rebalance();
    app.advance_to(minute(60 * hour + 60));
    let expected: Vec<String> = (1..=7).map(|n| format!("0{n}:00 {n} 0")).collect();
    for (partition, reports) in reports(&mut app) {
        assert_eq!(reports, expected, "{partition}");
    }
}

#[test]
fn an_aborted_commit_takes_a_call_back_and_it_is_made_again() {
    let mut app = TestApp::only((add, hourly));
    app.advance_to(minute(59));
    app.fail_next_commit();
    app.advance_to(minute(60));
    assert_eq!(of_one(&mut app), ["01:00 1 0"]);
}

#[test]
fn times_before_the_first_record_or_on_its_way_are_left_out() {
    #[record(timestamp = at)]
    struct Timed {
        at: DateTime<Utc>,
    }
    let mut app = TestApp::only((add, hourly));
    assert!(of_one(&mut app).is_empty());
    let start = at("2026-12-16T17:24:00Z");
    for after in [0, 90] {
        let at = start + TimeDelta::minutes(after);
        app.send("elsewhere", "k", Timed { at });
        assert!(of_one(&mut app).is_empty(), "{after}");
        app.crash();
    }
    app.advance_to(start + TimeDelta::minutes(180));
    assert_eq!(of_one(&mut app), ["19:00 1 0", "20:00 2 0"]);
}

static CALLS: AtomicU32 = AtomicU32::new(0);

/// Fails, panics, then does its work.
#[crontab("0 * * * *", per = "partition", backoff = "1m")]
async fn unlucky(due: Due, mut stock: Table<Stock>, reports: Topic<Reports>) -> Result<()> {
    stock.update("k", |n| *n += 1000);
    reports
        .send("p0", format!("{}", due.format("%H:%M")))
        .await?;
    match CALLS.fetch_add(1, Ordering::Relaxed) {
        0 => Err("no luck")?,
        1 => panic!("worse luck"),
        _ => Ok(()),
    }
}

#[test]
fn a_call_that_fails_is_made_again_while_records_go_on() {
    let mut app = TestApp::only((add, unlucky));
    app.advance_to(minute(60));
    assert!(of_one(&mut app).is_empty());
    // The next attempts come a minute later each, the longest wait there is; meanwhile the partition works.
    app.send("call_in", "k", "word".to_owned());
    assert_eq!(app.sent::<String>("call_seen").len(), 1);
    app.advance_to(minute(61));
    assert!(of_one(&mut app).is_empty());
    app.advance_to(minute(62));
    assert_eq!(of_one(&mut app), ["01:00"]);
    assert_eq!(CALLS.load(Ordering::Relaxed), 3);
    app.advance_to(minute(120));
    assert_eq!(of_one(&mut app), ["01:00", "02:00"]);
}

static HOPELESS: AtomicU32 = AtomicU32::new(0);

#[crontab("*/10 * * * *", per = "partition", retries = 2, backoff = "1m")]
async fn hopeless(mut stock: Table<Stock>) -> Result<()> {
    stock.update("k", |n| *n += 1000);
    HOPELESS.fetch_add(1, Ordering::Relaxed);
    Err("never")?
}

#[test]
fn a_call_that_goes_on_failing_is_given_up_without_a_trace() {
    let mut app = TestApp::only((add, hopeless, hourly));
    app.advance_to(minute(19));
    assert_eq!(HOPELESS.load(Ordering::Relaxed), 3);
    app.advance_to(minute(60));
    assert_eq!(HOPELESS.load(Ordering::Relaxed), 5 * 3 + 1);
    // What was given up is over for the next owner too; what was not starts again with it.
    app.crash();
    app.advance_to(minute(65));
    assert_eq!(HOPELESS.load(Ordering::Relaxed), 5 * 3 + 1 + 3);
    assert_eq!(of_one(&mut app), ["01:00 1 0"]);
}

static SLOWLY: AtomicU32 = AtomicU32::new(0);

#[crontab("* * * * *", per = "partition", backoff = "40s")]
async fn slowly(due: Due) -> Result<()> {
    assert_eq!(due.timestamp() % 60, 0);
    SLOWLY.fetch_add(1, Ordering::Relaxed);
    Err("never")?
}

#[test]
fn no_attempt_is_made_beyond_the_next_time() {
    let mut app = TestApp::only((add, slowly));
    app.advance_to(minute(2));
    // At once and after 40 s, and at once for the next time.
    assert_eq!(SLOWLY.load(Ordering::Relaxed), 3);
}

/// A row that cannot be written.
#[table]
#[derive(Clone, Default)]
struct Hoard {
    calls: u64,
    #[serde(serialize_with = "unless_wrong")]
    wrong: bool,
}

fn unless_wrong<S: serde::Serializer>(wrong: &bool, to: S) -> std::result::Result<S::Ok, S::Error> {
    match wrong {
        true => Err(serde::ser::Error::custom("wrong")),
        false => to.serialize_bool(false),
    }
}

#[crontab("0 * * * *", per = "partition")]
async fn greedy(due: Due, mut hoards: Table<Hoard>, reports: Topic<Reports>) -> Result<()> {
    let calls = hoards.update("t", |hoard| {
        hoard.calls += 1;
        hoard.wrong = due.timestamp() == 2 * 3600;
        hoard.calls
    });
    reports
        .send("p0", format!("{} {calls}", due.format("%H:%M")))
        .await?;
    Ok(())
}

#[test]
fn a_call_whose_commit_cannot_be_made_is_given_up_and_takes_nothing_with_it() {
    let mut app = TestApp::only((add, greedy));
    app.advance_to(minute(119));
    for n in 0..3 {
        app.send("call_in", "k", format!("word-{n}"));
    }
    app.advance_to(minute(180));
    assert_eq!(of_one(&mut app), ["01:00 1", "03:00 2"]);
    assert_eq!(app.sent::<String>("call_seen").len(), 3);
}

#[agent(topic = "call_elsewhere")]
async fn elsewhere(_: String) {}

#[crontab("0 * * * *", per = "partition")]
async fn nowhere(_: Due) {}

#[test]
#[should_panic(expected = "crontab `nowhere` runs per partition")]
fn a_crontab_of_no_topic_is_refused() {
    TestApp::only((add, elsewhere, nowhere)).settle();
}
