//! All rows of tables of every kind, as a reader gives them: of every partition, partly in the store and partly in
//! memory.

use std::collections::BTreeMap;

use crate::prelude::*;
use crate::testing::TestApp;

#[record(timestamp = at)]
struct Hit {
    at: i64,
    /// Removes the row of the plain table.
    gone: bool,
}

#[table(value = u64)]
struct AllPlain;

#[table(tumbling = "1m", grace = "1h", value = u64)]
struct AllMinutes;

#[table(hopping = "1m", step = "30s", grace = "1h", value = u64)]
struct AllLeaps;

#[table(session = "1m", grace = "1h")]
#[derive(Clone, Default)]
struct AllVisits {
    hits: u64,
}

impl Merge for AllVisits {
    fn merge(&mut self, later: Self) {
        self.hits += later.hits;
    }
}

#[table(sliding = "1m", grace = "1h", value = u64)]
struct AllSlides;

#[agent(topic = "all-hits")]
async fn hit(
    hit: Event<Hit>,
    mut plain: Table<AllPlain>,
    mut minutes: Table<AllMinutes>,
    mut leaps: Table<AllLeaps>,
    mut visits: Table<AllVisits>,
    mut slides: Table<AllSlides>,
) {
    let key = hit.key();
    match hit.gone {
        true => drop(plain.remove(key)),
        false => plain.update(key, |n| *n += 1),
    }
    let _ = minutes.update(key, |n| *n += 1);
    leaps.update(key, |n| *n += 1);
    let _ = visits.update(key, |visit| visit.hits += 1);
    slides.update(key, |n| *n += 1);
}

#[topic("all-reports", value = String)]
struct Reports;

/// Windows by key, with start and end in seconds.
type Windows = BTreeMap<String, Vec<(i64, i64, u64)>>;

macro_rules! windows_of {
    ($rows:expr, $count:expr) => {{
        let (mut rows, mut all) = ($rows.all(), Windows::new());
        while let Some((key, window)) = rows.next().await? {
            let (start, end) = (window.start().timestamp(), window.end().timestamp());
            all.entry(key)
                .or_default()
                .push((start, end, $count(&window.value)));
        }
        all
    }};
}

#[timer("1m")]
async fn tell(
    plain: TableReader<AllPlain>,
    minutes: TableReader<AllMinutes>,
    leaps: TableReader<AllLeaps>,
    visits: TableReader<AllVisits>,
    slides: TableReader<AllSlides>,
    reports: Producer<Reports>,
) -> Result<()> {
    let (mut rows, mut all) = (plain.all(), Vec::new());
    while let Some(row) = rows.next().await? {
        all.push(row);
    }
    let count = all.len();
    let plain: BTreeMap<String, u64> = all.into_iter().collect();
    assert_eq!(plain.len(), count, "each once");
    let minutes = windows_of!(minutes, |n: &u64| *n);
    let leaps = windows_of!(leaps, |n: &u64| *n);
    let visits = windows_of!(visits, |visit: &AllVisits| visit.hits);
    let slides: Windows = windows_of!(slides, |n: &u64| *n);
    let slides: BTreeMap<&str, usize> = slides
        .iter()
        .map(|(key, all)| (&**key, all.len()))
        .collect();
    let told = format!("{plain:?}\n{minutes:?}\n{leaps:?}\n{visits:?}\n{slides:?}");
    reports.send("all", told).await?;
    Ok(())
}

/// Lines of the next report.
fn next(app: &mut TestApp, minute: &mut i64) -> Vec<String> {
    *minute += 1;
    app.advance_to(DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(*minute));
    let told = app.sent::<String>("all-reports");
    let told = told.last().unwrap();
    told.lines().map(str::to_owned).collect()
}

fn send(app: &mut TestApp, key: &str, second: i64, gone: bool) {
    let at = second * 1_000;
    app.send("all-hits", key, Hit { at, gone });
}

#[test]
fn all_rows_of_every_partition_are_read_once_whether_stored_or_not() {
    for partitions in [1, 3] {
        let mut app = TestApp::only((hit, tell)).partitions(partitions);
        let mut minute = 100;
        for key in ["a", "b", "c", "d"] {
            send(&mut app, key, 10, false);
        }
        app.store();
        // Stored and left alone: `d`. Stored, and changed or removed in memory: `a`, `b`. Removed and made again: `c`.
        // In memory alone: `e`, and the next minute of `a`.
        send(&mut app, "a", 70, false);
        send(&mut app, "b", 20, true);
        send(&mut app, "c", 20, true);
        send(&mut app, "c", 30, false);
        send(&mut app, "e", 10, false);
        let expected = [
            r#"{"a": 2, "c": 1, "d": 1, "e": 1}"#,
            r#"{"a": [(0, 60, 1), (60, 120, 1)], "b": [(0, 60, 2)], "c": [(0, 60, 3)], "d": [(0, 60, 1)], "e": [(0, 60, 1)]}"#,
            r#"{"a": [(-30, 30, 1), (0, 60, 1), (30, 90, 1), (60, 120, 1)], "b": [(-30, 30, 2), (0, 60, 2)], "c": [(-30, 30, 2), (0, 60, 3), (30, 90, 1)], "d": [(-30, 30, 1), (0, 60, 1)], "e": [(-30, 30, 1), (0, 60, 1)]}"#,
            r#"{"a": [(10, 130, 2)], "b": [(10, 80, 2)], "c": [(10, 90, 3)], "d": [(10, 70, 1)], "e": [(10, 70, 1)]}"#,
            r#"{"a": 3, "b": 3, "c": 5, "d": 1, "e": 1}"#,
        ];
        let told = next(&mut app, &mut minute);
        assert_eq!(told, expected, "{partitions} partitions");
        app.store();
        assert_eq!(next(&mut app, &mut minute), expected, "all of it stored");
        app.crash();
        assert_eq!(next(&mut app, &mut minute), expected, "back from the store");
        app.lose_disks_now();
        assert_eq!(
            next(&mut app, &mut minute),
            expected,
            "back from the changelog"
        );
    }
}
