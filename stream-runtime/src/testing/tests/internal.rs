//! Topics of the app's own (`internal`): those who read them go by the times of those who write them.

use std::collections::BTreeMap;

use crate::prelude::*;
use crate::testing::{TestApp, at};

#[record(timestamp = time)]
#[derive(Clone, Debug)]
struct Looked {
    #[field(coerce)]
    time: DateTime<Utc>,
    page: String,
}

#[record(key = of)]
#[derive(Clone, Debug, PartialEq)]
struct Views {
    of: String,
    from: String,
    views: u64,
}

/// Views in the order of time, of users who say nothing about pages.
fn views_of_days(days: i64, views: usize) -> Vec<(String, Looked)> {
    let step = days * 86_400_000 / views as i64;
    let view = |i: usize| {
        let time = at("2026-01-01T00:00:00Z") + chrono::TimeDelta::milliseconds(i as i64 * step);
        let page = format!("page-{}", i * 7 % 13);
        (format!("user-{}", i * 31 % 97), Looked { time, page })
    };
    (0..views).map(view).collect()
}

/// Returns what was told, each once.
fn told_in(app: &mut TestApp, topic: &str) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for views in app.sent::<Views>(topic) {
        let views = views.into_value();
        let name = format!("{} {}", views.from, views.of);
        let before = all.insert(name, views.views);
        assert_eq!(before, None, "{views:?} was told twice");
    }
    all
}

/// Returns how many views each span of so many seconds has, by name, of those that are over when all have come.
fn truth(
    views: &[(String, Looked)],
    size: i64,
    grace: i64,
    of: impl Fn(&Looked) -> String,
) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    let last = views.iter().map(|(_, view)| view.time.timestamp()).max();
    for (_, view) in views {
        let start = view.time.timestamp().div_euclid(size) * size;
        if last.is_some_and(|last| start + size + grace <= last) {
            let from = DateTime::from_timestamp(start, 0)
                .expect("a time")
                .to_rfc3339();
            *all.entry(format!("{from} {}", of(view))).or_default() += 1;
        }
    }
    all
}

// Days from the closings of hours, which lie behind a hop, by way of a topic.

#[topic("internal-hours", value = Views, internal)]
struct HourViews;

#[table(tumbling = "1h", grace = "1m", name = "internal_hours")]
#[derive(Clone, Default)]
struct Hours {
    views: u64,
}

#[table(tumbling = "1d", name = "internal_days")]
#[derive(Clone, Default)]
struct Days {
    views: u64,
}

#[agent(topic = "internal-views", name = "internal_count", group_by = page)]
async fn count(view: Event<Looked>, mut hours: Table<Hours>) {
    hours.update(view.key(), |hour| hour.views += 1);
}

#[agent(on_close = Hours, name = "internal_hour", sink = HourViews)]
async fn hour(hour: Closed<Hours>) -> Views {
    Views {
        of: "all".to_owned(),
        from: hour.key().clone(),
        views: hour.views,
    }
}

#[agent(topic = HourViews, name = "internal_sum")]
async fn sum(hour: Event<Views>, mut days: Table<Days>) {
    days.update(hour.key(), |day| day.views += hour.views);
}

#[agent(on_close = Days, name = "internal_day", sink = "internal_told")]
async fn day(day: Closed<Days>) -> Views {
    Views {
        of: day.key().clone(),
        from: day.start().to_rfc3339(),
        views: day.views,
    }
}

#[test]
fn days_from_hours_that_an_internal_topic_brings_are_the_same_caught_up_as_live() {
    let views = views_of_days(3, 1_200);
    let expect = truth(&views, 86_400, 60, |_| "all".to_owned());
    assert_eq!(expect.values().copied().collect::<Vec<_>>(), [400; 2]);
    for (partitions, workers) in [(1, 1), (4, 1), (4, 3), (7, 2)] {
        let mut app = TestApp::only((count, hour, sum, day))
            .partitions(partitions)
            .workers(workers);
        for (user, view) in &views {
            app.send("internal-views", user.as_str(), view.clone());
        }
        assert_eq!(
            told_in(&mut app, "internal_told"),
            expect,
            "{partitions} partitions"
        );
        assert_eq!(app.late(), 0);
        // Watermarks are not records.
        assert!(app.sent::<Views>("internal-hours").len() >= 48);
    }
    let mut live = TestApp::only((count, hour, sum, day))
        .partitions(4)
        .workers(2);
    for (user, view) in &views {
        live.send("internal-views", user.as_str(), view.clone());
        live.settle();
    }
    assert_eq!(told_in(&mut live, "internal_told"), expect);
    assert_eq!(live.late(), 0);
}

// Two agents that write one topic, each under keys of its own; one of them is behind another such topic, and keeps no
// table.

#[topic("internal-pages", value = Looked, key = String, internal)]
struct Pages;

#[topic("internal-seen", value = Looked, key = String, internal)]
struct Seen;

#[topic("internal-plain", value = Looked, key = String)]
struct Plain;

#[table(tumbling = "1h", name = "internal_page_hours")]
#[derive(Clone, Default)]
struct PageHours {
    views: u64,
}

#[agent(topic = "internal-views", name = "internal_first")]
async fn first(view: Event<Looked>, seen: Topic<Seen>) -> Result {
    let key = format!("{}-seen", view.page);
    seen.send(&key, view.into_value()).await?;
    Ok(())
}

#[agent(topic = Seen, name = "internal_second")]
async fn second(view: Event<Looked>, pages: Topic<Pages>) -> Result {
    let page = view.page.clone();
    pages.send(&page, view.into_value()).await?;
    Ok(())
}

#[agent(topic = "internal-others", name = "internal_other")]
async fn other(view: Event<Looked>, pages: Topic<Pages>) -> Result {
    let page = view.page.clone();
    pages.send(&page, view.into_value()).await?;
    Ok(())
}

#[agent(topic = Pages, name = "internal_page")]
async fn page(view: Event<Looked>, mut hours: Table<PageHours>) {
    hours.update(view.key(), |hour| hour.views += 1);
}

#[agent(on_close = PageHours, name = "internal_page_hour", sink = "internal_told")]
async fn page_hour(hour: Closed<PageHours>) -> Views {
    Views {
        of: hour.key().clone(),
        from: hour.start().to_rfc3339(),
        views: hour.views,
    }
}

fn pages(partitions: i32, workers: usize) -> TestApp {
    TestApp::only((first, second, other, page, page_hour))
        .partitions(partitions)
        .workers(workers)
}

fn send_to_both(app: &mut TestApp, at: usize, user: &str, view: &Looked) {
    let topic = if at.is_multiple_of(3) {
        "internal-others"
    } else {
        "internal-views"
    };
    app.send(topic, user, view.clone());
}

#[test]
fn windows_behind_two_writers_of_a_topic_lose_nothing_of_a_backlog() {
    let views = views_of_days(1, 1_500);
    let expect = truth(&views, 3_600, 0, |view| view.page.clone());
    for (partitions, workers) in [(1, 1), (4, 2), (5, 3)] {
        let mut app = pages(partitions, workers);
        for (i, (user, view)) in views.iter().enumerate() {
            send_to_both(&mut app, i, user, view);
        }
        // The last closings: both inputs end within the last minutes.
        let mut told = told_in(&mut app, "internal_told");
        told.retain(|name, _| expect.contains_key(name));
        assert_eq!(told, expect, "{partitions} partitions");
        assert_eq!(app.late(), 0);
    }
}

#[test]
fn an_internal_topic_lives_through_crashes_rebalances_and_failed_commits() {
    let views = views_of_days(1, 1_200);
    let expect = truth(&views, 3_600, 0, |view| view.page.clone());
    for empty in [false, true] {
        let mut app = pages(4, 3);
        for (i, (user, view)) in views.iter().enumerate() {
            send_to_both(&mut app, i, user, view);
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
        let mut told = told_in(&mut app, "internal_told");
        told.retain(|name, _| expect.contains_key(name));
        assert_eq!(told, expect);
        assert_eq!(app.late(), 0);
    }
}

// The same by way of a topic that is not internal: what the word is for.

#[agent(topic = "internal-views", name = "internal_plainly")]
async fn plainly(view: Event<Looked>, pages: Topic<Plain>) -> Result {
    let page = view.page.clone();
    pages.send(&page, view.into_value()).await?;
    Ok(())
}

#[agent(topic = Plain, name = "internal_plain_page")]
async fn plain_page(view: Event<Looked>, mut hours: Table<PageHours>) {
    hours.update(view.key(), |hour| hour.views += 1);
}

#[test]
fn without_internal_the_writer_that_is_ahead_makes_the_others_late_and_the_plan_says_so() {
    let mut app = TestApp::only((plainly, plain_page, page_hour)).partitions(4);
    for (user, view) in views_of_days(1, 1_500) {
        app.send("internal-views", user.as_str(), view);
    }
    app.settle();
    assert!(app.late() > 0);
    let stages = |app: App| {
        app.plan()
            .unwrap_or_else(|problems| panic!("{problems:?}"))
            .stages()
    };
    let plain = App::new("internal").only((plainly, plain_page, page_hour));
    assert_eq!(stages(plain).len(), 1);
    let internal = App::new("internal").only((first, second, other, page, page_hour));
    assert_eq!(stages(internal), []);
}

// Refused with the plan.

#[topic("internal-round", value = Views, internal)]
struct Round;

#[table(tumbling = "1h", name = "internal_round_hours")]
#[derive(Clone, Default)]
struct RoundHours {
    views: u64,
}

#[agent(topics = ["internal-round", "internal-round-in"], name = "internal_round_in")]
async fn round_in(views: Event<Views>, mut hours: Table<RoundHours>) {
    hours.update(views.key(), |hour| hour.views += views.views);
}

#[agent(on_close = RoundHours, name = "internal_round_out", sink = Round)]
async fn round_out(hour: Closed<RoundHours>) -> Views {
    Views {
        of: hour.key().clone(),
        from: String::new(),
        views: hour.views,
    }
}

#[timer("1m", per = "partition")]
async fn internal_ticks(pages: Topic<Pages>, hours: Table<PageHours>) -> Result {
    let _ = hours.current("p");
    let time = at("2026-01-01T00:00:00Z");
    let page = "p".to_owned();
    pages.send("p", Looked { time, page }).await?;
    Ok(())
}

#[table(tumbling = "1h", name = "internal_late_hours", late = Pages)]
#[derive(Clone, Default)]
struct LateHours {
    views: u64,
}

#[agent(topic = "internal-others", name = "internal_late")]
async fn late(view: Event<Looked>, mut hours: Table<LateHours>) {
    hours.update(view.key(), |hour| hour.views += 1);
}

fn refused(app: App) -> String {
    let Err(problems) = app.plan() else {
        panic!("taken");
    };
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    text.join("\n")
}

#[test]
fn what_would_wait_for_itself_or_has_no_time_is_refused() {
    let app = || App::new("internal");
    let text = refused(app().only((round_in, round_out)));
    assert!(
        text.contains("what is sent to `internal-round` comes back"),
        "{text}"
    );
    let text = refused(app().only((other, page, page_hour, internal_ticks)));
    assert!(
        text.contains("timer `internal_ticks` sends to it by the wall clock"),
        "{text}"
    );
    let text = refused(app().only((late, other, page, page_hour)));
    assert!(
        text.contains("it gets what comes too late for table `internal_late_hours`"),
        "{text}"
    );
}

#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "left == right")]
fn the_mutant_that_takes_a_record_s_time_for_its_writer_s_is_found() {
    crate::mutants::choose(Some(crate::mutants::Mutant::Own));
    windows_behind_two_writers_of_a_topic_lose_nothing_of_a_backlog();
}
