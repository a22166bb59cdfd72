//! Time behind `group_by` and a join's `on`: what is right live is right for a backlog too.

pub(super) mod simulation;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::prelude::*;
use crate::testing::{TestApp, at};

#[record(timestamp = time)]
#[derive(Clone, Debug)]
struct Seen {
    #[field(coerce)]
    time: DateTime<Utc>,
    page: String,
}

#[record]
#[derive(Clone, Debug, PartialEq)]
struct PageViews {
    page: String,
    hour: String,
    views: u64,
}

#[table(tumbling = "1h", grace = "1m")]
#[derive(Clone, Default)]
struct PageHour {
    views: u64,
}

#[agent(topic = "views", group_by = page)]
async fn count_views(view: Event<Seen>, mut hours: Table<PageHour>) {
    hours.update(view.key(), |row| row.views += 1);
}

#[agent(on_close = PageHour, sink = "page_hours")]
async fn page_hour(over: Closed<PageHour>) -> PageViews {
    PageViews {
        page: over.key().clone(),
        hour: over.start().to_rfc3339(),
        views: over.views,
    }
}

const START: &str = "2026-01-01T00:00:00Z";

/// Views of one day in the order of time, of users who say nothing about pages.
fn day(views: usize) -> Vec<(String, Seen)> {
    let step = 86_400_000 / views as i64;
    let view = |i: usize| {
        let time = at(START) + chrono::TimeDelta::milliseconds(i as i64 * step);
        let page = format!("page-{}", i * 7 % 13);
        (format!("user-{}", i * 31 % 97), Seen { time, page })
    };
    (0..views).map(view).collect()
}

type Counts = BTreeMap<(String, String), u64>;

/// Returns what the windows hold that are over when all of these have come.
fn truth(views: &[(String, Seen)]) -> Counts {
    let mut counts = Counts::new();
    let last = views.iter().map(|(_, view)| view.time).max();
    for (_, view) in views {
        let start = view.time.timestamp().div_euclid(3600) * 3600;
        let start = DateTime::from_timestamp(start, 0).expect("a time");
        let over = start + chrono::TimeDelta::minutes(61);
        if last.is_some_and(|last| over <= last) {
            *counts
                .entry((view.page.clone(), start.to_rfc3339()))
                .or_default() += 1;
        }
    }
    counts
}

/// Compares, and shows what is not the same.
#[track_caller]
fn same(left: Counts, right: &Counts) {
    let one = left.iter().filter(|(at, n)| right.get(at) != Some(n));
    let other = right.iter().filter(|(at, n)| left.get(at) != Some(n));
    let (one, other): (Vec<_>, Vec<_>) = (one.collect(), other.collect());
    assert!(one.is_empty() && other.is_empty(), "{one:?}, not {other:?}");
}

/// Returns what was told of closed windows, each once.
fn told(app: &mut TestApp) -> Counts {
    let mut counts = Counts::new();
    for hour in app.sent::<PageViews>("page_hours") {
        let hour = hour.into_value();
        let before = counts.insert((hour.page.clone(), hour.hour.clone()), hour.views);
        assert_eq!(before, None, "{hour:?} was told twice");
    }
    counts
}

fn pages(partitions: i32, workers: usize) -> TestApp {
    TestApp::only((count_views, page_hour))
        .partitions(partitions)
        .workers(workers)
}

#[test]
fn a_backlog_behind_a_hop_is_not_late() {
    let views = day(3_000);
    let expect = truth(&views);
    for (partitions, workers) in [(1, 1), (4, 1), (4, 2), (4, 3), (7, 3)] {
        let mut app = pages(partitions, workers);
        for (user, view) in &views {
            app.send("views", user.as_str(), view.clone());
        }
        same(told(&mut app), &expect);
        assert_eq!(app.late(), 0);
    }
}

#[test]
fn a_worker_that_starts_in_the_middle_of_the_day_counts_all_of_it() {
    let views = day(1_000);
    let expect = truth(&views);
    let mut app = pages(4, 2);
    let (backlog, live) = views.split_at(600);
    for (user, view) in backlog {
        app.send("views", user.as_str(), view.clone());
    }
    app.settle();
    for (user, view) in live {
        app.send("views", user.as_str(), view.clone());
        app.settle();
    }
    same(told(&mut app), &expect);
    assert_eq!(app.late(), 0);
}

#[test]
fn time_behind_a_hop_lives_through_crashes_rebalances_and_failed_commits() {
    let views = day(2_000);
    let expect = truth(&views);
    for empty in [false, true] {
        let mut app = pages(4, 3);
        for (i, (user, view)) in views.iter().enumerate() {
            app.send("views", user.as_str(), view.clone());
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
        same(told(&mut app), &expect);
        assert_eq!(app.late(), 0);
    }
}

/// A user whose records come to a partition of four.
fn user_of(partition: i32) -> String {
    let mut users = (0..).map(|i| format!("user-{i}"));
    let there = |user: &String| crate::key::partition_of(user.as_bytes(), 4) == partition;
    users.find(there).expect("one of them")
}

fn seen(time: &str, page: &str) -> Seen {
    Seen {
        time: at(time),
        page: page.to_owned(),
    }
}

fn patient(idle: Duration) -> TestApp {
    let app = App::new("test")
        .only((count_views, page_hour))
        .source_idle(idle);
    TestApp::of(app).partitions(4)
}

#[test]
fn a_silent_source_holds_the_time_for_source_idle_and_no_longer() {
    let mut app = patient(Duration::from_secs(10));
    app.advance_to(at("2026-01-01T02:00:00Z"));
    for partition in 0..4 {
        app.send(
            "views",
            user_of(partition),
            seen("2026-01-01T00:30:00Z", "p"),
        );
    }
    app.settle();
    app.send("views", user_of(1), seen("2026-01-01T01:30:00Z", "p"));
    assert_eq!(told(&mut app).len(), 0, "three others may bring more");
    app.advance_to(at("2026-01-01T02:00:09Z"));
    assert_eq!(told(&mut app).len(), 0);
    app.advance_to(at("2026-01-01T02:00:10Z"));
    assert_eq!(told(&mut app).into_values().collect::<Vec<_>>(), [4]);
}

#[test]
fn a_source_that_may_never_be_idle_holds_the_time_without_end() {
    let mut app = patient(Duration::MAX);
    for partition in 0..3 {
        app.send(
            "views",
            user_of(partition),
            seen("2026-01-01T00:30:00Z", "p"),
        );
        app.send(
            "views",
            user_of(partition),
            seen("2026-01-01T03:30:00Z", "p"),
        );
    }
    app.advance_to(at("2026-01-02T00:00:00Z"));
    assert_eq!(told(&mut app).len(), 0);
    app.send("views", user_of(3), seen("2026-01-01T03:00:00Z", "p"));
    assert_eq!(told(&mut app).into_values().collect::<Vec<_>>(), [3]);
}

#[test]
fn a_source_that_was_idle_before_an_outage_is_waited_for_after_it() {
    for partition in 0..4 {
        let mut app = pages(4, 1);
        for other in (0..4).filter(|other| *other != partition) {
            app.send("views", user_of(other), seen("2026-01-01T00:10:00Z", "p"));
        }
        // By now this one has said that it is idle.
        app.settle();
        app.rebalance();
        for hour in 1..3 {
            for each in 0..4 {
                let time = format!("2026-01-01T0{hour}:20:00Z");
                app.send("views", user_of(each), seen(&time, "p"));
            }
        }
        let told: Vec<u64> = told(&mut app).into_values().collect();
        assert_eq!((told, app.late()), (vec![3, 4], 0), "partition {partition}");
    }
}

#[test]
fn what_sources_have_said_survives_a_restart_with_an_empty_disk() {
    let mut app = patient(Duration::MAX);
    for partition in 0..4 {
        app.send(
            "views",
            user_of(partition),
            seen("2026-01-01T00:30:00Z", "p"),
        );
    }
    app.settle();
    app.restart_with_empty_disk();
    for partition in 0..3 {
        app.send(
            "views",
            user_of(partition),
            seen("2026-01-01T03:30:00Z", "p"),
        );
    }
    app.settle();
    assert_eq!((told(&mut app).len(), app.late()), (0, 0));
    app.restart_with_empty_disk();
    app.send("views", user_of(3), seen("2026-01-01T02:30:00Z", "p"));
    let told: Vec<u64> = told(&mut app).into_values().collect();
    assert_eq!((told, app.late()), (vec![4], 0));
}

#[test]
fn a_task_that_starts_again_alone_knows_what_its_sources_have_said() {
    let mut app = pages(4, 1);
    for partition in 0..4 {
        app.send(
            "views",
            user_of(partition),
            seen("2026-01-01T00:30:00Z", "p"),
        );
    }
    app.settle();
    app.drive().start_again_alone().expect("all start again");
    app.send("views", user_of(1), seen("2026-01-01T03:30:00Z", "p"));
    let told: Vec<u64> = told(&mut app).into_values().collect();
    assert_eq!((told, app.late()), (vec![4], 0), "the others are idle");
}

#[test]
fn watermarks_are_no_records_of_the_topic() {
    let mut app = pages(4, 1);
    app.send("views", "u", seen("2026-01-01T00:30:00Z", "p"));
    assert_eq!(
        app.sent::<Seen>("test-count_views-page-repartition").len(),
        1
    );
    assert_eq!(app.dead_letters("count_views").len(), 0);
}

// A join on a field, one side direct.

#[record(timestamp = at, key = id)]
struct Order {
    id: String,
    #[field(coerce)]
    at: DateTime<Utc>,
}

#[record(timestamp = at)]
struct Payment {
    order: String,
    #[field(coerce)]
    at: DateTime<Utc>,
}

#[topic("hop_orders", value = Order)]
struct Orders;

#[topic("hop_payments", value = Payment)]
struct Payments;

#[join(
    left = Orders,
    right = Payments,
    within = "10m",
    grace = "1m",
    on = (id, order),
    sink = "paid"
)]
async fn pay(order: Order, payment: Payment) -> String {
    assert_eq!(order.id, payment.order);
    order.id
}

#[test]
fn a_join_on_a_field_meets_all_of_a_backlog() {
    for partitions in [1, 4, 7] {
        let mut app = TestApp::only((pay,)).partitions(partitions);
        let start = at(START);
        let time = |minutes: i64| start + chrono::TimeDelta::minutes(minutes);
        for i in 0..500 {
            let id = format!("order-{i}");
            let order = Order {
                id: id.clone(),
                at: time(3 * i),
            };
            let payment = Payment {
                order: id.clone(),
                at: time(3 * i + 5),
            };
            app.send("hop_orders", id.as_str(), order);
            app.send("hop_payments", format!("payer-{}", i % 41), payment);
        }
        assert_eq!(
            app.sent::<String>("paid").len(),
            500,
            "{partitions} partitions"
        );
    }
}

// Two hops into one task: both sides of a join come by another key.

#[topic("hop_invoices", value = Payment)]
struct Invoices;

#[topic("hop_transfers", value = Payment)]
struct Transfers;

#[join(
    left = Invoices,
    right = Transfers,
    within = "10m",
    grace = "1m",
    on = (order, order),
    sink = "settled"
)]
async fn settle(invoice: Payment, transfer: Payment) -> String {
    assert_eq!(invoice.order, transfer.order);
    transfer.order
}

#[test]
fn two_hops_into_one_task_wait_for_each_other() {
    for (partitions, workers) in [(1, 1), (4, 2), (7, 3)] {
        let mut app = TestApp::only((settle,))
            .partitions(partitions)
            .workers(workers);
        let time = |minutes: i64| at(START) + chrono::TimeDelta::minutes(minutes);
        let document = |i: i64, minutes: i64| Payment {
            order: format!("order-{i}"),
            at: time(minutes),
        };
        // All of one side lies there before anything of the other.
        for i in 0..300 {
            app.send(
                "hop_invoices",
                format!("seller-{}", i % 23),
                document(i, 3 * i),
            );
        }
        for i in 0..300 {
            app.send(
                "hop_transfers",
                format!("payer-{}", i % 41),
                document(i, 3 * i + 5),
            );
        }
        let settled = app.sent::<String>("settled").len();
        assert_eq!((settled, app.late()), (300, 0), "{partitions} partitions");
    }
}

// The topics of a feeder are one source a partition.

#[table(tumbling = "1h", grace = "1m")]
#[derive(Clone, Default)]
struct SiteHour {
    views: u64,
}

#[agent(pattern = r"sites\.\w+", group_by = page)]
async fn count_sites(view: Event<Seen>, mut hours: Table<SiteHour>) {
    hours.update(view.key(), |row| row.views += 1);
}

#[agent(on_close = SiteHour, sink = "page_hours")]
async fn site_hour(over: Closed<SiteHour>) -> PageViews {
    PageViews {
        page: over.key().clone(),
        hour: over.start().to_rfc3339(),
        views: over.views,
    }
}

#[test]
fn a_topic_that_a_pattern_finds_later_is_no_source_of_its_own() {
    let views = day(1_200);
    for (partitions, workers) in [(1, 1), (4, 2)] {
        let mut app = TestApp::only((count_sites, site_hour))
            .partitions(partitions)
            .workers(workers);
        for (i, (user, view)) in views.iter().enumerate() {
            let later = i >= views.len() / 2 && i % 2 == 0;
            let topic = if later { "sites.new" } else { "sites.first" };
            app.send(topic, user.as_str(), view.clone());
        }
        same(told(&mut app), &truth(&views));
        assert_eq!(app.late(), 0);
    }
}

// A sub-topology that fills the repartition topic it reads: one table, an agent by its key and one with another.

#[table(tumbling = "1h", grace = "1m")]
#[derive(Clone, Default)]
struct Touched {
    n: u64,
}

#[agent(topic = "touched", name = "by_user")]
async fn by_user(_: Event<Seen>, touched: Table<Touched>) {
    drop(touched);
}

#[agent(topic = "touched", name = "by_page", group_by = page)]
async fn by_page(view: Event<Seen>, mut touched: Table<Touched>) {
    touched.update(view.key(), |row| row.n += 1);
}

#[agent(on_close = Touched, sink = "touches")]
async fn touches(over: Closed<Touched>) -> PageViews {
    PageViews {
        page: over.key().clone(),
        hour: over.start().to_rfc3339(),
        views: over.n,
    }
}

#[test]
fn a_sub_topology_that_fills_its_own_repartition_topic_does_not_wait_for_itself() {
    let views = day(500);
    for partitions in [1, 4] {
        let mut app = TestApp::only((by_user, by_page, touches)).partitions(partitions);
        for (user, view) in &views {
            app.send("touched", user.as_str(), view.clone());
        }
        let mut counts = Counts::new();
        for hour in app.sent::<PageViews>("touches") {
            let hour = hour.into_value();
            counts.insert((hour.page, hour.hour), hour.views);
        }
        same(counts, &truth(&views));
        assert_eq!(app.late(), 0);
    }
}

// A table without a changelog has no mark: what sources have said stands beside the offsets.

#[table(tumbling = "1h", grace = "1m", changelog = false)]
#[derive(Clone, Default)]
struct Unkept {
    n: u64,
}

#[agent(topic = "unkept", group_by = page)]
async fn count_unkept(view: Event<Seen>, mut hours: Table<Unkept>) {
    hours.update(view.key(), |row| row.n += 1);
}

#[agent(on_close = Unkept, sink = "unkept_hours")]
async fn unkept_hour(over: Closed<Unkept>) -> String {
    format!("{} {}", over.start().format("%H"), over.n)
}

#[test]
fn a_task_without_a_mark_remembers_its_sources_beside_the_offsets() {
    let app = App::new("test").only((count_unkept, unkept_hour));
    let mut app = TestApp::of(app.source_idle(Duration::MAX)).partitions(4);
    for partition in 0..4 {
        app.send(
            "unkept",
            user_of(partition),
            seen("2026-01-01T00:30:00Z", "p"),
        );
    }
    app.settle();
    app.crash();
    for partition in 0..4 {
        app.send(
            "unkept",
            user_of(partition),
            seen("2026-01-01T01:30:00Z", "p"),
        );
        let closed = app.sent::<String>("unkept_hours").len();
        assert_eq!(closed, 0, "what it had is gone, and nothing is late");
    }
    for partition in 0..4 {
        app.send(
            "unkept",
            user_of(partition),
            seen("2026-01-01T03:00:00Z", "p"),
        );
    }
    let told: Vec<String> = app
        .sent::<String>("unkept_hours")
        .iter()
        .map(|hour| (**hour).clone())
        .collect();
    assert_eq!((told, app.late()), (vec!["01 4".to_owned()], 0));
}

#[test]
fn at_least_once_a_backlog_behind_a_hop_is_not_late_either() {
    let views = day(1_000);
    let app = App::new("test")
        .only((count_views, page_hour))
        .processing_guarantee(ProcessingGuarantee::AtLeastOnce);
    let mut app = TestApp::of(app).partitions(4).workers(2);
    for (user, view) in &views {
        app.send("views", user.as_str(), view.clone());
    }
    same(told(&mut app), &truth(&views));
    assert_eq!(app.late(), 0);
}

/// The client loses a record of a source and delivers the next one; then the commit fails, and both are sent again.
fn late_when_a_record_is_lost_and_sent_again(app: App) -> u64 {
    let topic = "test-count_views-page-repartition";
    let mut app = TestApp::of(app.only((count_views, page_hour)));
    let before = |time: &str| {
        let time = at(time).timestamp_millis();
        [&0_i32.to_be_bytes()[..], &time.to_be_bytes()[..]].concat()
    };
    let first = ("2026-01-01T10:30:00Z", "2026-01-01T10:00:00Z");
    let second = ("2026-01-01T12:30:00Z", "2026-01-01T10:30:00Z");
    for (time, told) in [second, first, second] {
        let page = "p".to_owned();
        let time = at(time);
        let stamp = time.timestamp_millis().to_string();
        let view = app.message(topic, "p", Seen { time, page });
        let view = view.header("event-time", stamp);
        view.header("source-time", before(told)).send();
    }
    app.settle();
    app.late()
}

#[test]
fn at_least_once_a_record_behind_a_hop_that_was_lost_and_sent_again_is_not_late() {
    let app = || App::new("test").source_idle(Duration::MAX);
    let at_least_once = app().processing_guarantee(ProcessingGuarantee::AtLeastOnce);
    assert_eq!(late_when_a_record_is_lost_and_sent_again(at_least_once), 0);
    // Exactly-once none is lost, and each record is its source's word.
    assert_eq!(late_when_a_record_is_lost_and_sent_again(app()), 1);
}

#[cfg(feature = "mutants")]
mod mutants {
    use super::*;
    use crate::mutants::{Mutant, choose};

    #[test]
    #[should_panic(expected = "partition ")]
    fn a_state_of_another_generation_that_is_believed_is_found() {
        choose(Some(Mutant::Generation));
        a_source_that_was_idle_before_an_outage_is_waited_for_after_it();
    }

    #[test]
    #[should_panic(expected = "left == right")]
    fn sources_that_are_forgotten_are_found() {
        choose(Some(Mutant::Forgotten));
        a_task_that_starts_again_alone_knows_what_its_sources_have_said();
    }
}
