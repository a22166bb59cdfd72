//! Dead letters that are sent again: records, and windows that their agent did not take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::prelude::*;
use crate::testing::{TestApp, at};

#[record(timestamp = at)]
#[derive(Clone)]
struct ReSale {
    at: DateTime<Utc>,
    price: f64,
}

#[table(tumbling = "1h")]
#[derive(Clone, Default)]
struct ReHours {
    count: u64,
    highest: f64,
}

#[table(tumbling = "1d")]
#[derive(Clone, Default)]
struct ReDays {
    count: u64,
}

#[table(session = "30m")]
#[derive(Clone, Default)]
struct ReVisits {
    count: u64,
}

impl Merge for ReVisits {
    fn merge(&mut self, later: Self) {
        self.count += later.count;
    }
}

#[derive(Clone, Default)]
struct ReMended(Arc<AtomicBool>);

impl ReMended {
    fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err("not yet".into()),
        }
    }
}

#[agent(topic = "re-sales")]
async fn re_collect(sale: Event<ReSale>, mut hours: Table<ReHours>) {
    // JSON has no infinity: such a row does not come back from it.
    let price = if sale.price > 1e6 {
        f64::INFINITY
    } else {
        sale.price
    };
    hours.update(sale.key(), |hour| {
        hour.count += 1;
        hour.highest = hour.highest.max(price);
    });
}

#[agent(on_close = ReHours, sink = "re-reports", retries = 0)]
async fn re_report(
    hour: Closed<ReHours>,
    mut days: Table<ReDays>,
    mended: State<ReMended>,
) -> Result<String> {
    let of_day = days.update(hour.key(), |day| {
        day.count += hour.count;
        day.count
    });
    mended.check()?;
    let (from, to) = (hour.start().format("%H"), hour.end().format("%H"));
    let (count, highest) = (hour.count, hour.highest);
    Ok(format!(
        "{from}-{to} {count} up to {highest}, {of_day:?} that day"
    ))
}

#[agent(topic = "re-sales")]
async fn re_visit(sale: Event<ReSale>, mut visits: Table<ReVisits>) {
    visits.update(sale.key(), |visit| visit.count += 1);
}

#[agent(on_close = ReVisits, sink = "re-visits", retries = 0)]
async fn re_left(visit: Closed<ReVisits>, mended: State<ReMended>) -> Result<String> {
    mended.check()?;
    let length = visit.end() - visit.start();
    Ok(format!("{} in {} min", visit.count, length.num_minutes()))
}

fn sale(time: &str, price: f64) -> ReSale {
    let at = at(&format!("2026-03-01T{time}:00Z"));
    ReSale { at, price }
}

/// Sales of three keys in one hour, and one of each in a later one.
fn sold(app: &mut TestApp) {
    for (time, price) in [("10:05", 7.5), ("10:25", 3.0), ("12:10", 1.0)] {
        for key in ["a", "b", "c"] {
            let endless = key == "b" && time == "10:25";
            app.send(
                "re-sales",
                key,
                sale(time, if endless { 2e6 } else { price }),
            );
        }
    }
}

fn of_reports() -> (TestApp, ReMended) {
    let mended = ReMended::default();
    let app = TestApp::only((re_collect, re_report)).state(mended.clone());
    (app, mended)
}

#[test]
fn a_closed_window_that_failed_is_sent_again_until_it_is_taken_and_then_once() {
    let (app, mended) = of_reports();
    let mut app = app.partitions(3).workers(2);
    sold(&mut app);
    let letters = app.dead_letters("re_report");
    assert_eq!(letters.len(), 3);
    for letter in &letters {
        let exact = letter.headers.iter().any(|(name, _)| name == "row");
        assert_eq!(
            exact,
            letter.key::<String>() == "b",
            "as MessagePack where JSON loses it"
        );
    }
    // It fails once more: a letter of the window again.
    assert_eq!(app.resend("re_report"), 3);
    let letters = app.dead_letters("re_report");
    assert_eq!(letters.len(), 6);
    for letter in &letters {
        assert_eq!(letter.header("table"), Some("re_hours"));
        assert_eq!(letter.header("start"), Some("2026-03-01T10:00:00Z"));
        assert_eq!(letter.header("source.topic"), None);
        let same = letters
            .iter()
            .filter(|other| other.key::<String>() == letter.key::<String>());
        assert!(same.into_iter().all(|other| **other == **letter));
    }
    mended.0.store(true, Ordering::Relaxed);
    app.rebalance();
    app.fail_next_commit();
    assert_eq!(app.resend("re_report"), 3);
    app.crash();
    app.restart_with_empty_disk();
    app.rebalance();
    let mut reports: Vec<(String, String)> = app
        .sent::<String>("re-reports")
        .iter()
        .map(|report| {
            assert_eq!(
                report.timestamp(),
                at("2026-03-01T10:59:59.999Z").timestamp_millis()
            );
            (report.key(), report.to_string())
        })
        .collect();
    reports.sort();
    let report = |key: &str, highest: &str| {
        let text = format!("10-11 2 up to {highest}, Some(2) that day");
        (key.to_owned(), text)
    };
    assert_eq!(
        reports,
        [report("a", "7.5"), report("b", "inf"), report("c", "7.5")]
    );
    assert_eq!(app.resend("re_report"), 0, "each was sent");
    // And what is new goes on.
    for key in ["a", "b", "c"] {
        app.send("re-sales", key, sale("14:00", 2.0));
    }
    assert_eq!(app.sent::<String>("re-reports").len(), 6);
    assert_eq!(app.dead_letters("re_report").len(), 6);
}

#[test]
fn a_session_that_is_sent_again_is_as_long_as_it_was() {
    let mended = ReMended::default();
    let mut app = TestApp::only((re_visit, re_left)).state(mended.clone());
    sold(&mut app);
    assert_eq!(app.dead_letters("re_left").len(), 3);
    mended.0.store(true, Ordering::Relaxed);
    assert_eq!(app.resend("re_left"), 3);
    let left = app.sent::<String>("re-visits");
    assert!(left.iter().all(|text| **text == "2 in 50 min"), "{left:?}");
    assert_eq!(left.len(), 3);
}

#[test]
fn what_a_window_that_closed_is_not_is_a_dead_letter_that_says_so() {
    let (mut app, mended) = of_reports();
    sold(&mut app);
    assert_eq!(app.dead_letters("re_report").len(), 3);
    mended.0.store(true, Ordering::Relaxed);
    assert_eq!(app.resend("re_report"), 3);
    let whole = [
        ("table", "re_hours"),
        ("partition", "0"),
        ("start", "2026-03-01T10:00:00Z"),
        ("end", "2026-03-01T11:00:00Z"),
    ];
    let mut put = |headers: &[(&str, &str)], key: Option<&str>, value: &str| {
        let key = key.map(str::to_owned);
        let message = app.message("test-re_report-again", key, value.to_owned());
        let message = headers.iter().fold(message, |message, (name, value)| {
            message.header(*name, value)
        });
        message.send();
    };
    let row = r#"{"count":1,"highest":2.0}"#;
    put(&[("table", "re_days")], Some("a"), row);
    put(&[], Some("a"), row);
    put(&whole[..3], Some("a"), row);
    put(&whole, None, row);
    put(&whole, Some("a"), r#"{"count":1,"top":2.0}"#);
    put(&[&whole[..], &[("row", "\u{1}")]].concat(), Some("a"), row);
    put(&whole, Some("d"), row);
    let letters = app.dead_letters("re_report");
    let why: Vec<&str> = letters[3..]
        .iter()
        .map(|dead| dead.header("error").unwrap())
        .collect();
    let expected = [
        "a window of table `re_days`, and this agent takes those of `re_hours`",
        "it is not a window, and this agent takes those of `re_hours`",
        "does not say from when to when",
        "the key of its window",
        "missing field `highest`",
        "does not read as a row of table `re_hours` is now",
    ];
    assert_eq!(why.len(), expected.len(), "{why:?}");
    for (why, expected) in why.iter().zip(expected) {
        assert!(why.contains(expected), "{expected} in {why}");
    }
    let reports = app.sent::<String>("re-reports");
    assert_eq!(
        reports.last().unwrap().key::<String>(),
        "d",
        "the whole one was taken"
    );
}
