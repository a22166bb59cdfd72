//! What happens to events that fail, as the options of an agent say.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::prelude::*;
use crate::testing::TestApp;

#[record]
struct Job {
    #[field(min = 1)]
    n: i64,
}

fn done(app: &mut TestApp) -> Vec<String> {
    let sent = app.sent::<String>("policies-done");
    sent.into_iter().map(|s| s.into_value()).collect()
}

#[agent(
    topic = "policies-in",
    sink = "policies-done",
    on_decode_error = "skip"
)]
async fn lenient(job: Job) -> String {
    job.n.to_string()
}

#[agent(
    topic = "policies-in",
    sink = "policies-done",
    retries = 0,
    on_error = "skip"
)]
async fn careless(job: Job) -> Result<String> {
    if job.n == 2 {
        Err("two")?;
    }
    Ok(job.n.to_string())
}

#[agent(
    topic = "policies-in",
    retries = 0,
    dead_letter_topic = "policies-lost"
)]
async fn careful(job: Job) -> Result {
    if job.n == 2 {
        Err("two")?;
    }
    Ok(())
}

fn send_all(app: &mut TestApp) {
    for n in [0, 1, 2, 3] {
        app.send("policies-in", "k", Job { n });
    }
}

#[test]
fn a_bad_record_may_be_skipped() {
    let mut app = TestApp::only((lenient,));
    send_all(&mut app);
    assert_eq!(done(&mut app), ["1", "2", "3"]);
    assert!(app.dead_letters("lenient").is_empty());
}

#[test]
fn a_failure_may_be_skipped() {
    let mut app = TestApp::only((careless,));
    send_all(&mut app);
    assert_eq!(done(&mut app), ["1", "3"]);
    // The bad record is another matter.
    assert_eq!(app.dead_letters("careless").len(), 1);
}

#[test]
fn dead_letters_go_where_the_agent_says() {
    let mut app = TestApp::only((careful,));
    send_all(&mut app);
    assert_eq!(app.dead_letters("careful").len(), 2);
    let lost = app.sent::<bytes::Bytes>("policies-lost");
    let all: Vec<&[u8]> = lost.iter().map(|letter| &letter[..]).collect();
    assert_eq!(all, [br#"{"n":0}"#, br#"{"n":2}"#]);
    for (name, value) in [
        ("error", "two"),
        ("source.topic", "policies-in"),
        ("source.partition", "0"),
        ("source.offset", "2"),
        ("attempts", "1"),
    ] {
        assert_eq!(lost[1].header(name), Some(value), "{name}");
    }
}

#[agent(topic = "policies-in", retries = 0, on_error = "stop")]
async fn strict(_: Job) -> Result {
    Err("enough")?
}

#[test]
#[should_panic(expected = "enough")]
fn a_failure_may_stop_the_worker() {
    let mut app = TestApp::only((strict,));
    app.send("policies-in", "k", Job { n: 1 });
    app.settle();
}

#[agent(topic = "policies-in", on_decode_error = "stop")]
async fn picky(_: Job) {}

#[test]
#[should_panic(expected = "must be at least 1, is 0")]
fn a_bad_record_may_stop_the_worker() {
    let mut app = TestApp::only((picky,));
    app.send("policies-in", "k", Job { n: 0 });
    app.settle();
}

#[agent(topic = "policies-in", sink = "policies-done")]
async fn judge(job: Job) -> Result<String> {
    match job.n {
        2 => Err("pointless").reject()?,
        3 => Err("it is over").fatal()?,
        n => Ok(n.to_string()),
    }
}

#[test]
fn a_failure_that_is_rejected_is_not_tried_again() {
    let mut app = TestApp::only((judge,));
    for n in [1, 2, 4] {
        app.send("policies-in", "k", Job { n });
    }
    assert_eq!(done(&mut app), ["1", "4"]);
    assert_eq!(app.dead_letters("judge")[0].header("attempts"), Some("1"));
}

#[test]
#[should_panic(expected = "it is over")]
fn a_fatal_failure_stops_the_worker() {
    let mut app = TestApp::only((judge,));
    app.send("policies-in", "k", Job { n: 3 });
    app.settle();
}

static TRIES: AtomicU32 = AtomicU32::new(0);

#[agent(topic = "policies-in", sink = "policies-done")]
async fn patient(_: Job) -> Result<String> {
    match TRIES.fetch_add(1, Ordering::Relaxed) {
        5 => Ok("at last".to_owned()),
        _ => Err("not yet")?,
    }
}

#[test]
fn without_a_word_there_are_five_retries_that_wait_one_second_and_twice_as_long_each() {
    let mut app = TestApp::only((patient,));
    let second = |s| DateTime::UNIX_EPOCH + Duration::from_secs(s);
    app.send("policies-in", "k", Job { n: 1 });
    for (time, tries) in [(0, 1), (1, 2), (2, 2), (3, 3), (7, 4), (15, 5), (30, 5)] {
        app.advance_to(second(time));
        assert_eq!(TRIES.load(Ordering::Relaxed), tries, "at {time} s");
    }
    app.advance_to(second(31));
    assert_eq!(done(&mut app), ["at last"]);
}

#[agent(topic = "policies-in", retries = 0, timeout = "200ms")]
async fn endless(_: Job) {
    std::future::pending().await
}

#[test]
fn a_function_that_does_not_end_is_dropped_at_its_timeout() {
    let mut app = TestApp::only((endless,));
    app.send("policies-in", "k", Job { n: 1 });
    app.advance_to(DateTime::UNIX_EPOCH + Duration::from_millis(199));
    assert!(app.dead_letters("endless").is_empty());
    app.advance_to(DateTime::UNIX_EPOCH + Duration::from_millis(200));
    assert_eq!(app.dead_letters("endless").len(), 1);
}

#[agent(topic = "policies-in")]
async fn without_end(_: Job) {
    std::future::pending().await
}

#[test]
#[should_panic(expected = "a handler has been waiting for 5 s")]
fn a_function_that_does_not_end_and_has_no_timeout_fails_the_test() {
    let mut app = TestApp::only((without_end,));
    app.send("policies-in", "k", Job { n: 1 });
    app.settle();
}

#[topic("policies-done", value = String)]
struct Done;

#[table(value = u64)]
struct Begun;

#[agent(topic = "policies-in")]
async fn one_at_a_time(
    mut jobs: Stream<Job>,
    done: Topic<Done>,
    mut begun: Table<Begun>,
) -> Result {
    let Some(job) = jobs.next().await else {
        return Ok(());
    };
    let n = begun.update("n", |n| {
        *n += 1;
        *n
    });
    done.send("k", format!("{n} {}", job.n)).await?;
    Ok(())
}

#[test]
fn a_stream_function_that_ends_early_acknowledges_and_is_called_again() {
    let mut app = TestApp::only((one_at_a_time,));
    send_all(&mut app);
    assert_eq!(done(&mut app), ["1 1", "2 2", "3 3"]);
    app.crash();
    app.send("policies-in", "k", Job { n: 4 });
    assert_eq!(done(&mut app), ["1 1", "2 2", "3 3", "4 4"]);
}

static RUNNING: AtomicU32 = AtomicU32::new(0);
static MOST: AtomicU32 = AtomicU32::new(0);

#[agent(topic = "policies-in", sink = "policies-done", concurrency = 2)]
async fn two_at_once(job: Job) -> String {
    let running = RUNNING.fetch_add(1, Ordering::Relaxed) + 1;
    MOST.fetch_max(running, Ordering::Relaxed);
    // The later ones end first.
    tokio::time::sleep(Duration::from_millis(10 - job.n as u64)).await;
    RUNNING.fetch_sub(1, Ordering::Relaxed);
    job.n.to_string()
}

#[test]
fn as_many_events_are_handled_at_once_as_the_agent_says_and_sent_in_their_order() {
    let mut app = TestApp::only((two_at_once,));
    for n in 1..=6 {
        app.send("policies-in", format!("k{n}"), Job { n });
    }
    assert_eq!(done(&mut app), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(MOST.load(Ordering::Relaxed), 2);
}

#[topic("policies-batches", value = String)]
struct Batches;

#[agent(topic = "policies-in")]
async fn in_batches(jobs: Stream<Job>, batches: Topic<Batches>) -> Result {
    let mut odd = jobs.filter(|job| job.n % 2 == 1).map(|job| job.n * 10);
    while let Some(batch) = odd.take(2, Duration::from_secs(10)).await {
        let all: Vec<i64> = batch.iter().map(|n| **n).collect();
        batches.send("k", format!("{all:?}")).await?;
    }
    Ok(())
}

#[test]
fn a_batch_is_full_or_its_time_is_over() {
    let mut app = TestApp::only((in_batches,));
    for n in 1..=5 {
        app.send("policies-in", "k", Job { n });
    }
    let batches = |app: &mut TestApp| -> Vec<String> {
        let sent = app.sent::<String>("policies-batches");
        sent.into_iter().map(|s| s.into_value()).collect()
    };
    assert_eq!(batches(&mut app), ["[10, 30]"]);
    app.advance_to(DateTime::UNIX_EPOCH + Duration::from_secs(9));
    assert_eq!(batches(&mut app), ["[10, 30]"]);
    app.advance_to(DateTime::UNIX_EPOCH + Duration::from_secs(10));
    assert_eq!(batches(&mut app), ["[10, 30]", "[50]"]);
}
