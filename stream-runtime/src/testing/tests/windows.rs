//! Windows of every kind, and the methods of tables, in apps as users write them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::prelude::*;
use crate::testing::{TestApp, at};

#[record(timestamp = time)]
#[derive(Clone, Debug, PartialEq)]
struct View {
    time: DateTime<Utc>,
    page: String,
}

/// Seconds after midnight.
fn second(s: i64) -> DateTime<Utc> {
    at("2026-01-01T00:00:00Z") + chrono::TimeDelta::seconds(s)
}

fn view(s: i64, page: &str) -> View {
    View {
        time: second(s),
        page: page.to_owned(),
    }
}

fn seconds(time: DateTime<Utc>) -> i64 {
    (time - second(0)).num_seconds()
}

fn texts(app: &mut TestApp, topic: &str) -> Vec<String> {
    let sent = app.sent::<String>(topic);
    sent.into_iter().map(|s| s.into_value()).collect()
}

// Sessions.

#[table(session = "30s", grace = "5s", idle = "2s", retention = "100s")]
#[derive(Clone, Debug, Default)]
struct Visit {
    pages: Vec<String>,
}

impl Merge for Visit {
    fn merge(&mut self, later: Self) {
        self.pages.extend(later.pages);
    }
}

fn visit(visit: &Visit) -> String {
    visit.pages.join("-")
}

#[agent(topic = "views", sink = "pages")]
async fn collect_visits(view: Event<View>, mut visits: Table<Visit>) -> String {
    let pages = visits.update(view.key(), |visit| {
        visit.pages.push(view.page.clone());
        visit.pages.len()
    });
    format!("{pages:?}")
}

#[agent(on_close = Visit, sink = "visits")]
async fn visit_over(over: Closed<Visit>) -> String {
    format!(
        "{} {}..{} {}",
        over.key(),
        seconds(over.start()),
        seconds(over.end()),
        visit(&over)
    )
}

static FAILS: AtomicU32 = AtomicU32::new(0);

#[agent(on_close = Visit, sink = "counts", retries = 1, backoff = "1s")]
async fn visit_counted(over: Closed<Visit>) -> Result<String> {
    if over.pages.contains(&"bad".to_owned()) {
        FAILS.fetch_add(1, Ordering::Relaxed);
        Err("no")?;
    }
    Ok(over.pages.len().to_string())
}

/// Says what it sees of a user's visits at a time.
#[agent(topic = "questions", sink = "answers")]
async fn look(question: Event<View>, visits: Table<Visit>) -> String {
    let key = question.key();
    let all = visits.windows(key).into_iter().map(|w| {
        format!(
            "{}..{} {}",
            seconds(w.start),
            seconds(w.end),
            visit(&w.value)
        )
    });
    let all: Vec<String> = all.collect();
    format!(
        "{:?} {:?} {:?} {all:?}",
        visits.current(key).as_ref().map(visit),
        visits.at(key, second(0)).as_ref().map(visit),
        visits
            .delta(key, Duration::from_secs(60))
            .as_ref()
            .map(visit),
    )
}

#[test]
fn a_record_between_two_sessions_makes_them_one_and_each_closes_once() {
    let mut app = TestApp::only((collect_visits, visit_over, visit_counted));
    for (s, page) in [(0, "a"), (33, "c"), (25, "b")] {
        app.send("views", "ann", view(s, page));
        app.crash();
    }
    assert_eq!(texts(&mut app, "pages"), ["Some(1)", "Some(1)", "Some(3)"]);
    assert!(texts(&mut app, "visits").is_empty());
    app.send("views", "bob", view(100, "x"));
    app.fail_next_commit();
    assert_eq!(texts(&mut app, "visits"), ["ann 0..63 a-c-b"]);
    app.restart_with_empty_disk();
    // Late: its own window [20, 50) is over, and the session that it would have joined has closed.
    app.send("views", "ann", view(20, "late"));
    assert_eq!(texts(&mut app, "pages").last().unwrap(), "None");
    assert_eq!(app.late(), 1);
    // Nothing more comes: the last session closes after a pause, by the wall clock.
    app.advance_to(second(200));
    assert_eq!(
        texts(&mut app, "visits"),
        ["ann 0..63 a-c-b", "bob 100..130 x"]
    );
    assert_eq!(texts(&mut app, "counts"), ["3", "1"]);
}

#[test]
fn several_agents_get_each_closed_window_and_one_may_fail() {
    FAILS.store(0, Ordering::Relaxed);
    let mut app = TestApp::only((collect_visits, visit_over, visit_counted));
    app.send("views", "ann", view(0, "bad"));
    app.send("views", "bob", view(1, "good"));
    app.advance_to(second(100));
    app.advance_to(second(110));
    assert_eq!(
        texts(&mut app, "visits"),
        ["ann 0..30 bad", "bob 1..31 good"]
    );
    assert_eq!(FAILS.load(Ordering::Relaxed), 2);
    let dead = app.dead_letters("visit_counted");
    let header = |name| dead[0].header(name).map(str::to_owned);
    assert_eq!(dead[0].key::<String>(), "ann");
    assert_eq!(
        (header("start"), header("end")),
        (
            Some("2026-01-01T00:00:00Z".to_owned()),
            Some("2026-01-01T00:00:30.001Z".to_owned())
        )
    );
    assert_eq!(dead[0].as_deref(), Some(&br#"{"pages":["bad"]}"#[..]));
    assert_eq!(texts(&mut app, "counts"), ["1"]);
}

#[test]
fn sessions_are_read_while_they_are_open_and_as_long_as_they_are_retained() {
    let mut app = TestApp::only((collect_visits, visit_over, look));
    app.send("views", "ann", view(0, "a"));
    app.send("questions", "ann", view(10, ""));
    app.send("views", "ann", view(60, "b"));
    app.send("questions", "ann", view(61, ""));
    app.send("views", "bob", view(130, "x"));
    app.send("questions", "ann", view(131, ""));
    app.send("questions", "ann", view(132, ""));
    assert_eq!(
        texts(&mut app, "answers"),
        [
            r#"Some("a") Some("a") None ["0..30 a"]"#,
            r#"Some("b") Some("a") Some("a") ["0..30 a", "60..90 b"]"#,
            // Retention goes by stream time, which the current record has not moved yet.
            r#"None Some("a") Some("b") ["0..30 a", "60..90 b"]"#,
            r#"None None Some("b") ["60..90 b"]"#,
        ]
        .map(str::to_owned)
    );
}

// Sliding windows.

#[table(sliding = "10s", value = u64)]
struct Lately;

#[agent(topic = "views", sink = "lately")]
async fn count_lately(view: Event<View>, mut counts: Table<Lately>) -> String {
    counts.update(view.key(), |n| *n += 1);
    let now = counts.current(view.key());
    let before = counts.delta(view.key(), Duration::from_secs(5));
    format!("{now:?} {before:?}")
}

#[agent(on_close = Lately, sink = "over")]
async fn lately_over(over: Closed<Lately>) -> String {
    format!(
        "{}..{} {}",
        seconds(over.start()),
        seconds(over.end()),
        *over
    )
}

#[test]
fn sliding_windows_hold_the_last_of_a_key_and_close_where_their_content_changes() {
    let mut app = TestApp::only((count_lately, lately_over));
    for (s, key) in [(0, "a"), (4, "a"), (12, "a"), (13, "b"), (13, "a")] {
        app.send("views", key, view(s, ""));
        app.crash();
    }
    assert_eq!(
        texts(&mut app, "lately"),
        [
            "Some(1) None",
            "Some(2) None",
            "Some(2) Some(2)",
            "Some(1) None",
            // What ended at 8 is over, and not retained.
            "Some(3) None",
        ]
    );
    app.close_until(second(60));
    assert_eq!(
        texts(&mut app, "over"),
        [
            "-10..0 1", "-6..4 2", "0..10 1", "2..12 2", "3..13 3", "3..13 1", "4..14 2",
            "12..22 1"
        ]
    );
}

// Late records.

#[topic("late-views", value = View)]
struct LateViews;

#[table(hopping = "10s", step = "5s", value = u64, late = LateViews)]
struct Hopping;

static TRIED: AtomicU32 = AtomicU32::new(0);

#[agent(topic = "views", retries = 3, backoff = "1s")]
async fn count_hopping(view: Event<View>, mut counts: Table<Hopping>) -> Result {
    counts.update(view.key(), |n| *n += 1);
    counts.update("all", |n| *n += 1);
    if view.page == "again" && TRIED.fetch_add(1, Ordering::Relaxed) < 2 {
        Err("not yet")?;
    }
    Ok(())
}

#[test]
fn a_late_record_goes_to_the_late_topic_once_with_all_windows_it_missed() {
    let mut app = TestApp::only((count_hopping,));
    app.send("views", "ann", view(100, "first"));
    app.send("views", "ann", view(42, "again"));
    app.advance_to(second(110));
    app.crash();
    app.send("views", "ann", view(97, "half"));
    let late = app.sent::<View>("late-views");
    assert_eq!(late.len(), 2);
    assert_eq!(
        (late[0].key::<String>(), &*late[0]),
        ("ann".into(), &view(42, "again"))
    );
    assert_eq!(late[0].timestamp(), second(42).timestamp_millis());
    assert_eq!(
        late[0].header("late.windows"),
        Some("2026-01-01T00:00:35Z/2026-01-01T00:00:45Z,2026-01-01T00:00:40Z/2026-01-01T00:00:50Z")
    );
    assert_eq!(late[0].header("late.table"), Some("hopping"));
    assert_eq!(late[0].header("source.topic"), Some("views"));
    assert_eq!(late[0].header("source.offset"), Some("1"));
    assert_eq!(
        late[1].header("late.windows"),
        Some("2026-01-01T00:01:30Z/2026-01-01T00:01:40Z")
    );
    // The pairs that were missed: of the first key and of the second, one window of either after the crash.
    assert_eq!(app.late(), 2);
}

// Times that a call names.

#[table(tumbling = "10s", value = u64, retention = "20s")]
struct Tens;

#[agent(topic = "views", sink = "tens")]
async fn count_tens(view: Event<View>, mut tens: Table<Tens>) -> String {
    let key = view.key();
    let back = |s| view.time() - chrono::TimeDelta::seconds(s);
    let done = tens.update_at(key, back(10), |n| {
        *n += 100;
        *n
    });
    tens.update(key, |n| *n += 1);
    let all: Vec<_> = tens
        .windows(key)
        .iter()
        .map(|w| (seconds(w.start), w.value))
        .collect();
    format!(
        "{done:?} {:?} {:?} {all:?}",
        tens.current(key),
        tens.at(key, back(10))
    )
}

#[test]
fn update_at_goes_by_the_time_it_is_given() {
    let mut app = TestApp::only((count_tens,));
    for s in [15, 25, 28, 29, 60, 61] {
        app.send("views", "k", view(s, ""));
        app.store();
        app.crash();
    }
    assert_eq!(
        texts(&mut app, "tens"),
        [
            "Some(100) Some(1) Some(100) [(0, 100), (10, 1)]",
            "Some(101) Some(1) Some(101) [(0, 100), (10, 101), (20, 1)]",
            "None Some(2) Some(101) [(0, 100), (10, 101), (20, 2)]",
            "None Some(3) Some(101) [(0, 100), (10, 101), (20, 3)]",
            "Some(100) Some(1) Some(100) [(0, 100), (10, 101), (20, 3), (50, 100), (60, 1)]",
            "None Some(2) Some(100) [(50, 100), (60, 2)]",
        ]
    );
}

#[agent(topic = "words")]
async fn too_early(mut words: Stream<String>, mut tens: Table<Tens>) {
    tens.update("k", |n| *n += 1);
    while words.next().await.is_some() {}
}

#[test]
#[should_panic(expected = "`update_at(&key, time, ..)`")]
fn update_without_an_event_names_update_at() {
    let mut app = TestApp::only((too_early,));
    app.send("words", "k", "a".to_owned());
    app.sent::<String>("nothing");
}

// Plain tables.

#[table(value = u64)]
struct Totals;

#[agent(topic = "words")]
async fn tally(mut words: Stream<String>, mut totals: Table<Totals>) {
    totals.update("starts", |n| *n += 1);
    let mut seen = 0;
    while words.next().await.is_some() {
        seen += 1;
    }
    totals.update("seen", |n| *n += seen);
}

#[agent(topic = "questions", sink = "answers")]
async fn totals_of(_: String, totals: Table<Totals>) -> String {
    format!("{:?}", totals.iter().collect::<Vec<_>>())
}

#[test]
fn what_stands_before_and_after_the_loop_may_change_a_table() {
    let mut app = TestApp::only((tally, totals_of));
    app.send("words", "k", "a".to_owned());
    app.send("words", "k", "b".to_owned());
    assert!(texts(&mut app, "answers").is_empty());
    app.rebalance();
    app.send("words", "k", "c".to_owned());
    app.send("questions", "k", String::new());
    assert_eq!(
        texts(&mut app, "answers"),
        [r#"[("seen", 2), ("starts", 2)]"#]
    );
}

#[table(key = i32, value = u64)]
struct Scores;

#[agent(topic = "scores", sink = "scores-now")]
async fn score(view: View, mut scores: Table<Scores>) -> String {
    let number: i32 = view.page.parse().unwrap_or(0);
    if scores.contains(&number) {
        scores.remove(&number);
    } else {
        scores.insert(&number, seconds(view.time) as u64);
    }
    let all: Vec<_> = scores.iter().collect();
    let some: Vec<_> = scores.range(-1..7).map(|(n, _)| n).collect();
    format!("{all:?} {some:?}")
}

#[test]
fn rows_are_walked_in_the_order_of_their_keys() {
    let mut app = TestApp::only((score,));
    for (s, number) in [
        (1, "7"),
        (2, "-3"),
        (3, "300"),
        (4, "-1"),
        (5, "7"),
        (6, "6"),
    ] {
        app.send("scores", "k", view(s, number));
        app.store();
    }
    assert_eq!(
        texts(&mut app, "scores-now").last().unwrap(),
        "[(-3, 2), (-1, 4), (6, 6), (300, 3)] [-1, 6]"
    );
}

#[table(ttl = "60s", value = String)]
struct LastPage;

#[agent(topic = "views", sink = "pages")]
async fn last_page(view: Event<View>, mut last: Table<LastPage>) -> String {
    let before = last.insert(view.key(), view.page.clone());
    format!("{before:?} {}", last.iter().count())
}

#[test]
fn a_row_with_a_ttl_goes_by_stream_time() {
    let mut app = TestApp::only((last_page,));
    for (s, key) in [
        (0, "a"),
        (30, "b"),
        (59, "a"),
        (90, "c"),
        (90, "b"),
        (119, "a"),
        (500, "d"),
        (501, "d"),
    ] {
        app.send("views", key, view(s, key));
        app.store();
        app.crash();
    }
    assert_eq!(
        texts(&mut app, "pages"),
        [
            "None 1",
            "None 2",
            r#"Some("a") 2"#,
            // Stream time has not reached 90 yet: the row of b is there.
            "None 3",
            // It is over now.
            "None 3",
            r#"Some("a") 3"#,
            "None 4",
            r#"Some("d") 1"#,
        ]
    );
}
