//! Timers per partition: a tick is an event of its own, in the partition's commit.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::TimeDelta;

use crate::prelude::*;
use crate::testing::TestApp;

#[record]
struct Amount {
    n: i64,
}

fn amount(n: i64) -> Amount {
    Amount { n }
}

#[table(value = i64)]
struct Stock;

#[agent(topic = "tick_in", sink = "tick_out")]
async fn add(more: Amount, Key(key): Key<String>, mut stock: Table<Stock>) -> Amount {
    stock.update(&key, |n| {
        *n += more.n;
        Amount { n: *n }
    })
}

#[topic("tick_reports", value = Amount, key = String)]
struct Reports;

/// Halves the stock and reports it.
#[timer("10s", per = "partition")]
async fn halve(mut stock: Table<Stock>, reports: Topic<Reports>, at: TaskContext) -> Result<()> {
    let left = stock.update("k", |n| {
        *n /= 2;
        *n
    });
    reports
        .message(amount(left))
        .key(format!("p{}", at.partition()))
        .send()
        .await?;
    Ok(())
}

fn seconds(n: i64) -> DateTime<Utc> {
    DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(n)
}

fn values(app: &mut TestApp, topic: &str) -> Vec<i64> {
    app.sent::<Amount>(topic)
        .iter()
        .map(|sent| sent.n)
        .collect()
}

#[test]
fn a_tick_writes_beside_the_agent_and_is_committed() {
    let mut app = TestApp::only((add, halve));
    app.send("tick_in", "k", amount(100));
    app.advance_to(seconds(9));
    assert!(values(&mut app, "tick_reports").is_empty());
    app.advance_to(seconds(10));
    app.send("tick_in", "k", amount(1));
    assert_eq!(values(&mut app, "tick_out"), [100, 51]);
    // The state is the commit's, and the first tick of a restarted partition comes one interval later.
    app.restart_with_empty_disk();
    app.advance_to(seconds(19));
    assert_eq!(values(&mut app, "tick_reports"), [50]);
    app.advance_to(seconds(41));
    let reports = app.sent::<Amount>("tick_reports");
    let seen: Vec<_> = reports.iter().map(|r| (r.n, r.timestamp())).collect();
    assert_eq!(
        seen,
        [(50, 10_000), (25, 20_000), (12, 30_000), (6, 40_000)]
    );
    assert_eq!(reports[0].key::<String>(), "p0");
}

#[test]
fn an_aborted_commit_takes_a_tick_back() {
    let mut app = TestApp::only((add, halve));
    app.send("tick_in", "k", amount(100));
    values(&mut app, "tick_out");
    app.fail_next_commit();
    app.advance_to(seconds(10));
    assert!(values(&mut app, "tick_reports").is_empty());
    app.send("tick_in", "k", amount(0));
    assert_eq!(values(&mut app, "tick_out"), [100, 100]);
    app.advance_to(seconds(20));
    assert_eq!(values(&mut app, "tick_reports"), [50]);
}

#[test]
fn every_partition_ticks() {
    let mut app = TestApp::only((add, halve)).partitions(3);
    app.advance_to(seconds(30));
    let reports = app.sent::<Amount>("tick_reports");
    for partition in 0..3 {
        let own = format!("p{partition}");
        assert_eq!(
            reports.iter().filter(|r| r.key::<String>() == own).count(),
            3
        );
    }
}

#[test]
fn ticks_that_were_missed_are_not_made_up_for() {
    let mut app = TestApp::only((add, halve));
    app.send("tick_in", "k", amount(1 << 20));
    app.advance_to(seconds(1));
    // The clock is set by what is sent, an hour on: one tick, not 360.
    app.send_raw("tick_in", Some(b"k"), Some(br#"{"n":0}"#));
    app.advance_to(seconds(15));
    assert_eq!(values(&mut app, "tick_reports").len(), 1);
}

static CALLS: AtomicU32 = AtomicU32::new(0);

/// Fails, panics, then does its work.
#[timer("10s", per = "partition")]
async fn unlucky(mut stock: Table<Stock>, reports: Topic<Reports>) -> Result<()> {
    stock.update("k", |n| *n += 1000);
    reports.send("k", amount(-1)).await?;
    match CALLS.fetch_add(1, Ordering::Relaxed) {
        0 => Err("no luck")?,
        1 => panic!("worse luck"),
        _ => Ok(()),
    }
}

#[test]
fn a_tick_that_fails_leaves_no_trace_and_the_next_one_comes() {
    let mut app = TestApp::only((add, unlucky));
    app.send("tick_in", "k", amount(1));
    app.advance_to(seconds(25));
    app.send("tick_in", "k", amount(1));
    assert_eq!(values(&mut app, "tick_out"), [1, 2]);
    app.advance_to(seconds(30));
    app.send("tick_in", "k", amount(1));
    assert_eq!(values(&mut app, "tick_out"), [1, 2, 1003]);
    assert_eq!(values(&mut app, "tick_reports"), [-1]);
}

#[record(timestamp = time)]
struct Timed {
    #[field(coerce)]
    time: DateTime<Utc>,
}

#[table(value = u64, tumbling = "10s", idle = "5s")]
struct Tens;

#[agent(topic = "timed_in")]
async fn fold(record: Event<Timed>, mut tens: Table<Tens>) {
    tens.update(record.key(), |n| *n += 1);
}

#[agent(on_close = Tens, sink = "timed_out")]
async fn close(ten: Closed<Tens>) -> Amount {
    amount(*ten as i64)
}

/// Ticks more often than the table's `idle`.
#[timer("1s", per = "partition")]
async fn busy(context: TaskContext) {
    let _ = context.partition();
}

#[test]
fn ticks_leave_a_quiet_input_quiet_and_move_no_stream_time() {
    let mut app = TestApp::only((fold, close, busy));
    app.send("timed_in", "k", Timed { time: seconds(3) });
    app.advance_to(seconds(9));
    assert!(app.sent::<Amount>("timed_out").is_empty());
    app.advance_to(seconds(20));
    assert_eq!(app.sent::<Amount>("timed_out")[0].n, 1);
    // Late by the clock, not by stream time.
    app.send("timed_in", "k", Timed { time: seconds(11) });
    app.advance_to(seconds(40));
    assert_eq!(app.sent::<Amount>("timed_out").len(), 2);
    assert_eq!(app.late(), 0);
}

#[agent(topic = "elsewhere_in")]
async fn elsewhere(_: String) {}

#[test]
#[should_panic(expected = "timer `busy` runs per partition")]
fn a_timer_of_no_topic_is_refused() {
    TestApp::only((add, elsewhere, busy)).sent::<Amount>("tick_out");
}

#[table(value = u64)]
struct Ticks;

#[timer("1s", per = "partition")]
async fn own(mut ticks: Table<Ticks>, reports: Topic<Reports>) -> Result<()> {
    let n = ticks.update("n", |n| {
        *n += 1;
        *n
    });
    reports.send("n", amount(n as i64)).await?;
    Ok(())
}

#[test]
fn a_timer_alone_may_write_a_table() {
    let mut app = TestApp::only((elsewhere, own));
    app.advance_to(seconds(3));
    app.crash();
    app.advance_to(seconds(5));
    assert_eq!(values(&mut app, "tick_reports"), [1, 2, 3, 4, 5]);
}

/// A row that no changelog takes, from the third tick on.
#[timer("10s", per = "partition")]
async fn greedy(mut hoards: Table<Hoards>) {
    hoards.update("t", |hoard| {
        hoard.ticks += 1;
        hoard.wrong = hoard.ticks >= 2;
    });
}

/// A row that does not serialize while it is wrong.
#[table]
#[derive(Clone, Default)]
struct Hoards {
    ticks: u64,
    #[serde(serialize_with = "unless_wrong")]
    wrong: bool,
}

fn unless_wrong<S: serde::Serializer>(wrong: &bool, to: S) -> Result<S::Ok, S::Error> {
    match wrong {
        true => Err(serde::ser::Error::custom("wrong")),
        false => to.serialize_bool(false),
    }
}

#[agent(topic = "hoard_in", sink = "hoard_out")]
async fn hoard(word: String, Key(key): Key<String>, mut hoards: Table<Hoards>) -> String {
    hoards.update(&key, |hoard| hoard.ticks += 1);
    word
}

#[test]
fn a_tick_whose_commit_fails_takes_no_record_with_it() {
    use super::driver::{Driver, Input};
    use crate::topology::{PlanParts, plan, registry};
    let agents = registry::agents()
        .into_iter()
        .filter(|agent| {
            ["greedy", "hoard"].contains(&agent.name) && agent.place.module == module_path!()
        })
        .collect();
    let mut plan = plan(PlanParts {
        app: "app",
        name: "app",
        existing: &[],
        agents,
        tables: vec![],
        topics: vec![],
    })
    .unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut driver = Driver::new(plan.topologies.remove(0).into());
    let word = |word: &str| Input {
        key: Some("k".to_owned()),
        stamp: 1,
        value: Some(word.as_bytes().to_vec()),
    };
    driver.send(word("a"));
    for round in 0..6 {
        driver.now.mono += 10_000;
        driver.send(word(&format!("w{round}")));
        driver.run_all();
        // What the worker does with a commit that cannot be made.
        for _ in 0..20 {
            match driver.task.prepare() {
                Ok(_) => {
                    driver.commit();
                    driver.run_all();
                }
                Err(error) => {
                    assert!(driver.task.be_careful(), "{error}");
                    driver.abort();
                    driver.run_all();
                }
            }
        }
    }
    let words: Vec<_> = driver
        .cluster
        .outputs
        .iter()
        .map(|sent| {
            (
                sent.topic.as_str(),
                String::from_utf8_lossy(sent.value.as_deref().unwrap()).into_owned(),
            )
        })
        .collect();
    let expected =
        ["a", "w0", "w1", "w2", "w3", "w4", "w5"].map(|word| ("hoard_out", word.to_owned()));
    assert_eq!(words, expected);
}
