//! Stages: windows that close come, with another key, to windows that are as right about time as the first.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::hops::simulation;
use crate::prelude::*;
use crate::testing::{TestApp, at};

#[record(timestamp = time)]
#[derive(Clone, Debug)]
struct Looked {
    #[field(coerce)]
    time: DateTime<Utc>,
    page: String,
}

#[record]
#[derive(Clone, Debug, PartialEq)]
struct Views {
    of: String,
    from: String,
    views: u64,
}

#[table(tumbling = "1h", grace = "1m", name = "chain_hours")]
#[derive(Clone, Default)]
struct Hours {
    views: u64,
}

#[table(tumbling = "1d", name = "chain_days")]
#[derive(Clone, Default)]
struct Days {
    views: u64,
    hours: u64,
}

#[agent(topic = "chain-views", name = "chain_count", group_by = page)]
async fn count(view: Event<Looked>, mut hours: Table<Hours>) {
    hours.update(view.key(), |hour| hour.views += 1);
}

#[agent(on_close = Hours, name = "chain_sum", group_by = |_: &Closed<Hours>| "all".to_owned())]
async fn sum(hour: Closed<Hours>, Key(all): Key<String>, mut days: Table<Days>) {
    assert_eq!(all, "all");
    days.update(&all, |day| {
        day.views += hour.views;
        day.hours += 1;
    });
}

#[agent(on_close = Days, name = "chain_told", sink = "chain_days_told")]
async fn told(day: Closed<Days>) -> Views {
    Views {
        of: day.key().clone(),
        from: day.start().to_rfc3339(),
        views: day.views,
    }
}

const START: &str = "2026-01-01T00:00:00Z";

/// Views of three days in the order of time, of users who say nothing about pages.
fn three_days(views: usize) -> Vec<(String, Looked)> {
    let step = 3 * 86_400_000 / views as i64;
    let view = |i: usize| {
        let time = at(START) + chrono::TimeDelta::milliseconds(i as i64 * step);
        let page = format!("page-{}", i * 7 % 13);
        (format!("user-{}", i * 31 % 97), Looked { time, page })
    };
    (0..views).map(view).collect()
}

/// Returns what each day holds whose hours are over when all of these have come.
fn truth(views: &[(String, Looked)]) -> BTreeMap<String, u64> {
    let mut days = BTreeMap::new();
    let last = views.iter().map(|(_, view)| view.time).max();
    for (_, view) in views {
        let start = view.time.timestamp().div_euclid(86_400) * 86_400;
        let start = DateTime::from_timestamp(start, 0).expect("a time");
        let over = start + chrono::TimeDelta::minutes(24 * 60 + 1);
        if last.is_some_and(|last| over <= last) {
            *days.entry(start.to_rfc3339()).or_default() += 1;
        }
    }
    days
}

/// Returns what was told of days, each once.
fn days_told(app: &mut TestApp) -> BTreeMap<String, u64> {
    let mut days = BTreeMap::new();
    for day in app.sent::<Views>("chain_days_told") {
        let day = day.into_value();
        let before = days.insert(day.from.clone(), day.views);
        assert_eq!(before, None, "{day:?} was told twice");
    }
    days
}

fn stages(partitions: i32, workers: usize) -> TestApp {
    TestApp::only((count, sum, told))
        .partitions(partitions)
        .workers(workers)
}

/// The second stage's sources are the tasks of the first, whose time is the slowest of theirs, less the hours' grace.
#[test]
fn a_simulation_of_two_stages_counts_each_hour_once_in_its_day() {
    for seed in simulation::seeds() {
        let partitions = [4, 1, 7, 2][seed as usize % 4];
        let workers = 1 + (seed / 4) as usize % 3;
        let app = App::new("test").only((count, sum, told));
        let app = TestApp::of(app.source_idle(Duration::MAX));
        let (sent, minute) = (RefCell::new(Vec::new()), Cell::new(0));
        let stalling = simulation::Stalling::new(partitions);
        TestApp::simulate(seed)
            .app(app.partitions(partitions).workers(workers))
            .input(|app, random| {
                minute.set(minute.get() + random.i64(0..200));
                let time = at(START) + chrono::TimeDelta::minutes(minute.get());
                let page = format!("page-{}", random.u8(..3));
                let user = stalling.next(random);
                app.send("chain-views", user.as_str(), Looked { time, page });
                sent.borrow_mut().push((user, time));
            })
            .check(|app| {
                let sent = sent.borrow();
                let slowest = simulation::slowest(partitions, &sent);
                let mut expect = BTreeMap::new();
                for (_, time) in sent.iter() {
                    let start = time.timestamp().div_euclid(86_400) * 86_400;
                    let start = DateTime::from_timestamp(start, 0).expect("a time");
                    if slowest >= Some(start + chrono::TimeDelta::minutes(24 * 60 + 1)) {
                        *expect.entry(start.to_rfc3339()).or_default() += 1;
                    }
                }
                assert_eq!(days_told(app), expect);
                assert_eq!(app.late(), 0);
            });
    }
}

#[test]
fn a_second_stage_counts_a_backlog_as_it_counts_what_is_live() {
    let views = three_days(1_200);
    let expect = truth(&views);
    assert_eq!(expect.values().copied().collect::<Vec<_>>(), [400; 2]);
    for (partitions, workers) in [(1, 1), (4, 1), (4, 3), (7, 2)] {
        let mut app = stages(partitions, workers);
        for (user, view) in &views {
            app.send("chain-views", user.as_str(), view.clone());
        }
        assert_eq!(days_told(&mut app), expect, "{partitions} partitions");
        assert_eq!(app.late(), 0);
    }
    for (partitions, workers) in [(1, 1), (4, 2)] {
        let mut live = stages(partitions, workers);
        for (user, view) in &views {
            live.send("chain-views", user.as_str(), view.clone());
            live.settle();
        }
        assert_eq!(
            days_told(&mut live),
            expect,
            "{partitions} partitions, live"
        );
        assert_eq!(live.late(), 0);
    }
}

#[test]
fn a_second_stage_lives_through_crashes_rebalances_and_failed_commits() {
    let views = three_days(1_000);
    let expect = truth(&views);
    for empty in [false, true] {
        let mut app = stages(4, 3);
        for (i, (user, view)) in views.iter().enumerate() {
            app.send("chain-views", user.as_str(), view.clone());
            match i % 100 {
                13 => app.crash(),
                27 => app.fail_next_commit(),
                41 => app.rebalance(),
                57 => app.store(),
                71 => app.crash_worker(i / 100 % 3),
                83 if empty => app.restart_with_empty_disk(),
                90 => app.settle(),
                _ => {}
            }
        }
        assert_eq!(days_told(&mut app), expect);
        assert_eq!(app.late(), 0);
    }
}

// Stages whose first one reads its topic by its own key: the tasks' own inputs make the time.

#[table(tumbling = "1h", grace = "1m", name = "chain_own_hours")]
#[derive(Clone, Default)]
struct OwnHours {
    views: u64,
    page: String,
}

#[agent(topic = "chain-views", name = "chain_own")]
async fn own(view: Event<Looked>, mut hours: Table<OwnHours>) {
    hours.update(view.key(), |hour| {
        hour.views += 1;
        hour.page.clone_from(&view.page);
    });
}

#[table(tumbling = "1d", name = "chain_page_days")]
#[derive(Clone, Default)]
struct PageDays {
    views: u64,
}

#[agent(on_close = OwnHours, name = "chain_by_page", group_by = page)]
async fn by_page(hour: Closed<OwnHours>, key: Key<String>, mut days: Table<PageDays>) {
    assert_eq!(key.0, hour.page);
    days.update(&hour.page, |day| day.views += hour.views);
}

#[agent(on_close = PageDays, name = "chain_page_told", sink = "chain_days_told")]
async fn page_told(day: Closed<PageDays>) -> Views {
    Views {
        of: day.key().clone(),
        from: format!("{} {}", day.start().format("%d"), day.key()),
        views: day.views,
    }
}

fn looked(time: &str) -> Looked {
    Looked {
        time: at(time),
        page: "p".to_owned(),
    }
}

/// A user whose records come to a partition of four.
fn user_of(partition: i32) -> String {
    let mut users = (0..).map(|i| format!("user-{i}"));
    let there = |user: &String| crate::key::partition_of(user.as_bytes(), 4) == partition;
    users.find(there).expect("one of them")
}

#[test]
fn a_second_stage_waits_for_the_slowest_task_of_the_first_while_it_has_a_window_open() {
    let app = App::new("test").only((own, by_page, page_told));
    let mut app = TestApp::of(app.source_idle(Duration::from_secs(10))).partitions(4);
    app.advance_to(at("2026-01-03T12:00:00Z"));
    for partition in 0..4 {
        let user = user_of(partition);
        app.send("chain-views", user.as_str(), looked("2026-01-01T23:30:00Z"));
    }
    // Three are on the next day; the hour of the fourth is still open.
    for partition in 0..3 {
        let user = user_of(partition);
        app.send("chain-views", user.as_str(), looked("2026-01-02T01:30:00Z"));
    }
    app.settle();
    assert_eq!(
        days_told(&mut app).len(),
        0,
        "the last hour of the fourth may come"
    );
    app.send("chain-views", user_of(3), looked("2026-01-02T00:01:00Z"));
    app.settle();
    let day = days_told(&mut app);
    assert_eq!(
        day,
        [("01 p".to_owned(), 4)].into(),
        "its T is that of its last hour"
    );
    // The fourth says nothing more.
    for partition in 0..3 {
        let user = user_of(partition);
        app.send("chain-views", user.as_str(), looked("2026-01-03T00:01:00Z"));
    }
    app.advance_to(at("2026-01-03T12:01:00Z"));
    assert_eq!(
        days_told(&mut app).len(),
        1,
        "its hour is still open, and of that day"
    );
    app.send("chain-views", user_of(3), looked("2026-01-03T00:01:00Z"));
    app.settle();
    assert_eq!(days_told(&mut app).get("02 p"), Some(&4));
    assert_eq!(app.late(), 0);
}

#[test]
fn a_task_of_the_first_stage_that_has_nothing_does_not_hold_the_second() {
    let app = App::new("test").only((own, by_page, page_told));
    let mut app = TestApp::of(app.source_idle(Duration::from_secs(10))).partitions(4);
    app.advance_to(at("2026-01-03T12:00:00Z"));
    for partition in 0..3 {
        let user = user_of(partition);
        app.send("chain-views", user.as_str(), looked("2026-01-01T23:30:00Z"));
        app.send("chain-views", user.as_str(), looked("2026-01-02T00:01:00Z"));
    }
    app.advance_to(at("2026-01-03T12:00:10Z"));
    assert_eq!(days_told(&mut app), [("01 p".to_owned(), 3)].into());
    assert_eq!(app.late(), 0);
}

// A night in which nothing comes: each stage closes by the wall clock, the second one after the first.

#[table(tumbling = "1h", idle = "5m", name = "chain_quiet_hours")]
#[derive(Clone, Default)]
struct QuietHours {
    views: u64,
    page: String,
}

#[table(tumbling = "1d", idle = "1m", name = "chain_quiet_days")]
#[derive(Clone, Default)]
struct QuietDays {
    views: u64,
}

#[agent(topic = "chain-views", name = "chain_quiet")]
async fn quiet(view: Event<Looked>, mut hours: Table<QuietHours>) {
    hours.update(view.key(), |hour| {
        hour.views += 1;
        hour.page.clone_from(&view.page);
    });
}

#[agent(on_close = QuietHours, name = "chain_quiet_by_page", group_by = page)]
async fn quiet_by_page(hour: Closed<QuietHours>, mut days: Table<QuietDays>) {
    days.update(&hour.page, |day| day.views += hour.views);
}

#[agent(on_close = QuietDays, name = "chain_quiet_told", sink = "chain_days_told")]
async fn quiet_told(day: Closed<QuietDays>) -> Views {
    Views {
        of: day.key().clone(),
        from: format!("{} {}", day.start().format("%d"), day.key()),
        views: day.views,
    }
}

#[test]
fn a_day_does_not_close_by_the_wall_clock_before_the_hours_that_belong_to_it() {
    let mut app = TestApp::only((quiet, quiet_by_page, quiet_told)).partitions(4);
    app.advance_to(at("2026-01-01T23:58:00Z"));
    for partition in 0..4 {
        let user = user_of(partition);
        app.send("chain-views", user.as_str(), looked("2026-01-01T20:30:00Z"));
        let late = format!("2026-01-01T23:{}:00Z", 50 + partition);
        app.send("chain-views", user.as_str(), looked(&late));
    }
    app.settle();
    assert_eq!(days_told(&mut app).len(), 0);
    // The days' own `idle` is over at midnight; the last hours close at three minutes past it.
    app.advance_to(at("2026-01-02T00:02:00Z"));
    assert_eq!(days_told(&mut app).len(), 0, "the last hours are open");
    app.advance_to(at("2026-01-02T00:10:00Z"));
    assert_eq!(days_told(&mut app), [("01 p".to_owned(), 8)].into());
    assert_eq!(app.late(), 0);
}

#[test]
fn the_last_hour_of_a_day_is_counted_in_it_also_when_many_fall_due_at_once() {
    let mut app = TestApp::only((own, by_page, page_told)).partitions(2);
    for hour in 0..24 {
        let time = format!("2026-01-01T{hour:02}:59:59.999Z");
        app.send("chain-views", "u", looked(&time));
    }
    // One record closes nothing before the next day, the other the whole of it and all after it.
    app.send("chain-views", "u", looked("2026-01-05T00:00:00Z"));
    assert_eq!(days_told(&mut app).get("01 p"), Some(&24));
    assert_eq!(app.late(), 0);
}

#[table(tumbling = "1h", name = "chain_left_hours")]
#[derive(Clone, Default)]
struct LeftHours {
    views: u64,
    page: String,
}

#[agent(topic = "chain-views", name = "chain_leave")]
async fn leave(view: Event<Looked>, mut hours: Table<LeftHours>) {
    if view.page == "gone" {
        hours.remove(view.key());
        return;
    }
    hours.update(view.key(), |hour| {
        hour.views += 1;
        hour.page.clone_from(&view.page);
    });
}

#[agent(on_close = LeftHours, name = "chain_left_by_page", group_by = page)]
async fn left_by_page(hour: Closed<LeftHours>, mut days: Table<PageDays>) {
    days.update(&hour.page, |day| day.views += hour.views);
}

#[test]
fn a_window_whose_rows_were_removed_holds_no_stage() {
    let mut app = TestApp::only((leave, left_by_page, page_told)).partitions(4);
    let (gone, other) = (user_of(0), user_of(1));
    let mut last = looked("2026-01-01T08:30:00Z");
    app.send("chain-views", gone.as_str(), last.clone());
    last.page = "gone".to_owned();
    app.send("chain-views", gone.as_str(), last);
    app.settle();
    for time in ["2026-01-01T08:30:00Z", "2026-01-02T00:01:00Z"] {
        app.send("chain-views", other.as_str(), looked(time));
    }
    assert_eq!(days_told(&mut app), [("01 p".to_owned(), 1)].into());
}

// What fails on the way.

#[derive(Clone, Default)]
struct Mended(Arc<AtomicBool>);

static KEY_FAILS: AtomicBool = AtomicBool::new(true);

#[agent(on_close = OwnHours, name = "chain_failing", retries = 0, group_by = |hour: &Closed<OwnHours>| {
    assert!(!KEY_FAILS.load(Ordering::Relaxed), "no key yet");
    hour.page.clone()
})]
async fn failing(
    hour: Closed<OwnHours>,
    mended: State<Mended>,
    mut days: Table<PageDays>,
) -> Result<()> {
    if !mended.0.load(Ordering::Relaxed) {
        return Err("not yet".into());
    }
    days.update(&hour.page, |day| day.views += hour.views);
    Ok(())
}

fn why(letter: &crate::testing::Sent<Option<bytes::Bytes>>) -> &str {
    letter.header("error").unwrap_or_default()
}

#[test]
fn windows_that_fail_on_their_way_or_behind_it_can_be_sent_again() {
    let mended = Mended::default();
    let mut app = TestApp::only((own, failing, page_told)).state(mended.clone());
    app.send("chain-views", "u", looked("2026-01-01T08:00:00Z"));
    app.send("chain-views", "u", looked("2026-01-01T12:00:00Z"));
    let letters = app.dead_letters("chain_failing");
    assert_eq!(letters.len(), 1);
    assert!(
        why(&letters[0]).contains("no key yet"),
        "{}",
        why(&letters[0])
    );
    // The key can be made now, and the agent fails.
    KEY_FAILS.store(false, Ordering::Relaxed);
    assert_eq!(app.resend("chain_failing"), 1);
    let letters = app.dead_letters("chain_failing");
    assert_eq!(letters.len(), 2);
    assert!(why(&letters[1]).contains("not yet"), "{}", why(&letters[1]));
    mended.0.store(true, Ordering::Relaxed);
    assert_eq!(app.resend("chain_failing"), 1);
    assert_eq!(app.dead_letters("chain_failing").len(), 2);
    app.send("chain-views", "u", looked("2026-01-03T12:00:00Z"));
    assert_eq!(
        days_told(&mut app).get("01 p"),
        Some(&2),
        "both hours, the first late by nothing"
    );
}

// Windows that would wait for themselves.

#[table(tumbling = "1h", name = "chain_round")]
#[derive(Clone, Default)]
struct Round {
    n: u64,
}

#[table(tumbling = "1d", name = "chain_round_days")]
#[derive(Clone, Default)]
struct RoundDays {
    n: u64,
}

#[agent(topic = "chain-round", name = "chain_round_in")]
async fn round_in(view: Event<String>, mut rounds: Table<Round>, days: Table<RoundDays>) {
    let _ = days.current(view.key());
    rounds.update(view.key(), |row| row.n += 1);
}

#[agent(on_close = Round, name = "chain_round_out", group_by = |_: &Closed<Round>| "all".to_owned())]
async fn round_out(hour: Closed<Round>, Key(all): Key<String>, mut days: Table<RoundDays>) {
    days.update(&all, |day| day.n += hour.n);
}

#[test]
fn windows_that_come_back_to_their_own_task_are_refused() {
    let plan = App::new("chain").only((round_in, round_out)).plan();
    let Err(problems) = plan else {
        panic!("taken, and it would wait for ever");
    };
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let text = text.join("\n");
    assert!(
        text.contains("the windows of `chain_round` come back"),
        "{text}"
    );
}

#[cfg(feature = "mutants")]
mod mutants {
    use super::*;
    use crate::mutants::{Mutant, choose};

    #[test]
    #[should_panic(expected = "left == right")]
    fn the_mutant_that_is_idle_with_an_open_window_is_found() {
        choose(Some(Mutant::Open));
        a_day_does_not_close_by_the_wall_clock_before_the_hours_that_belong_to_it();
    }
}
