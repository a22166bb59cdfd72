//! Timers, crontabs and tasks by the clock of the test.

use super::*;

#[table(value = u64)]
struct BesideCounts;

#[topic("beside-reports", value = String)]
struct Reports;

#[agent(topic = "beside-words")]
async fn count(word: Event<String>, mut counts: Table<BesideCounts>) {
    counts.update(word.key(), |n| *n += 1);
}

#[agent(topic = Reports, sink = "beside-read")]
async fn read(report: Event<String>) -> String {
    report.to_uppercase()
}

#[timer("10m")]
async fn report(counts: TableReader<BesideCounts>, reports: Producer<Reports>) -> Result<()> {
    let n = counts.get("the").await?.unwrap_or_default();
    reports.send("timer", format!("the {n}")).await?;
    Ok(())
}

#[crontab("30 * * * *", on_leader)]
async fn half(reports: Producer<Reports>) -> Result<()> {
    reports.send("crontab", "half".to_owned()).await?;
    Ok(())
}

/// Kolkata is five and a half hours ahead.
#[crontab("30 6 * * *", timezone = "Asia/Kolkata")]
async fn morning(reports: Producer<Reports>) -> Result<()> {
    reports.send("crontab", "morning".to_owned()).await?;
    Ok(())
}

#[task]
async fn begin(reports: Producer<Reports>) -> Result<()> {
    reports.send("task", "begin".to_owned()).await?;
    Ok(())
}

#[task(on = "stop")]
async fn end(reports: Producer<Reports>) -> Result<()> {
    reports.send("task", "end".to_owned()).await?;
    Ok(())
}

#[timer("1m")]
async fn unlucky() -> Result<()> {
    panic!("no luck")
}

#[timer("1m")]
async fn worse() -> Result<()> {
    Err("no way".to_owned()).fatal()
}

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + chrono::Duration::minutes(minute)
}

fn read_texts(app: &mut TestApp) -> Vec<String> {
    app.sent::<String>("beside-read")
        .iter()
        .map(|s| (**s).clone())
        .collect()
}

#[test]
fn a_timer_is_called_as_the_clock_moves_and_reads_committed_rows() {
    for partitions in [1, 4] {
        let mut app = TestApp::only((count, read, report)).partitions(partitions);
        app.send("beside-words", "the", "x".to_owned());
        app.advance_to(at(9));
        assert!(read_texts(&mut app).is_empty());
        app.advance_to(at(10));
        assert_eq!(read_texts(&mut app), ["THE 1"]);
        app.send("beside-words", "the", "x".to_owned());
        app.advance_to(at(39));
        assert_eq!(read_texts(&mut app), ["THE 1", "THE 2", "THE 2"]);
        let sent = app.sent::<String>("beside-reports");
        assert_eq!(sent[2].timestamp(), at(30).timestamp_millis());
    }
}

#[test]
fn a_timer_is_called_by_every_worker_and_a_leader_s_by_one() {
    let mut app = TestApp::only((count, read, report, half))
        .partitions(2)
        .workers(2);
    app.advance_to(at(30));
    let mut all = read_texts(&mut app);
    all.sort();
    assert_eq!(
        all,
        ["HALF", "THE 0", "THE 0", "THE 0", "THE 0", "THE 0", "THE 0"]
    );
}

#[test]
fn a_crontab_goes_by_the_calendar_and_not_by_what_lies_before_the_first_record() {
    #[record(timestamp = at)]
    struct Timed {
        at: i64,
    }
    let mut app = TestApp::only((count, read, half));
    let start = crate::testing::at("2006-12-16T17:24:00Z");
    app.send(
        "elsewhere",
        "k",
        Timed {
            at: start.timestamp_millis(),
        },
    );
    app.advance_to(start + chrono::Duration::minutes(5));
    assert!(read_texts(&mut app).is_empty());
    app.advance_to(start + chrono::Duration::hours(2));
    assert_eq!(read_texts(&mut app), ["HALF", "HALF"]);
}

#[test]
fn a_crontab_is_meant_in_its_time_zone() {
    let mut app = TestApp::only((read, morning));
    app.advance_to(at(59));
    assert!(read_texts(&mut app).is_empty());
    app.advance_to(at(60));
    assert_eq!(read_texts(&mut app), ["MORNING"]);
    app.advance_to(at(60 + 24 * 60 - 1));
    assert_eq!(read_texts(&mut app), ["MORNING"]);
}

#[test]
fn tasks_are_called_at_the_begin_and_at_the_end() {
    let mut app = TestApp::only((read, begin, end));
    assert_eq!(read_texts(&mut app), ["BEGIN"]);
    app.crash();
    app.stop();
    app.stop();
    assert_eq!(read_texts(&mut app), ["BEGIN", "END"]);
}

#[test]
fn a_call_that_fails_disturbs_nobody() {
    let mut app = TestApp::only((count, read, report, unlucky));
    app.advance_to(at(10));
    assert_eq!(read_texts(&mut app), ["THE 0"]);
}

#[test]
#[should_panic(expected = "timer `worse` failed: no way")]
fn what_is_fatal_fails_the_test() {
    TestApp::only((read, worse)).advance_to(at(1));
}

mod due {
    //! The time that a call was due at, and calls that are made again.

    use super::*;
    use std::sync::Mutex;

    /// When each call came, in seconds of the test's clock, and for what time.
    static SEEN: Mutex<Vec<(i64, DateTime<Utc>)>> = Mutex::new(Vec::new());

    #[topic("due-reports", value = String)]
    struct DueReports;

    #[timer("10m")]
    async fn beat(due: Due, reports: Producer<DueReports>) -> Result<()> {
        reports.send("timer", due.to_rfc3339()).await?;
        Ok(())
    }

    #[crontab("30 2 * * *", timezone = "Europe/Berlin", on_leader)]
    async fn night(Due(due): Due, reports: Producer<DueReports>) -> Result<()> {
        reports.send("crontab", due.to_rfc3339()).await?;
        Ok(())
    }

    #[table(value = u64)]
    struct DueRows;

    #[agent(topic = "due-words")]
    async fn keep(word: Event<String>, mut rows: Table<DueRows>) {
        rows.update(word.key(), |n| *n += 1);
    }

    #[timer("7m", per = "partition")]
    async fn tick(due: Due, rows: Table<DueRows>, reports: Topic<DueReports>) -> Result<()> {
        let n = rows.get("k").unwrap_or_default();
        reports
            .send("tick", format!("{n} {}", due.to_rfc3339()))
            .await?;
        Ok(())
    }

    #[agent(topic = DueReports)]
    async fn take(_: String) {}

    fn texts(app: &mut TestApp) -> Vec<String> {
        let sent = app.sent::<String>("due-reports");
        sent.iter().map(|text| (**text).clone()).collect()
    }

    #[test]
    fn a_call_knows_the_time_that_it_was_due_at_by_the_clock_of_the_test() {
        let mut app = TestApp::only((take, beat));
        app.advance_to(crate::testing::at("1970-01-01T00:25:00Z"));
        assert_eq!(
            texts(&mut app),
            ["1970-01-01T00:10:00+00:00", "1970-01-01T00:20:00+00:00"]
        );
        let mut app = TestApp::only((take, night)).workers(2);
        app.advance_to(crate::testing::at("2026-03-28T00:00:00Z"));
        let before = texts(&mut app).len();
        app.advance_to(crate::testing::at("2026-03-30T12:00:00Z"));
        // At 2:30 of the 29th the clocks have gone forward.
        assert_eq!(
            texts(&mut app)[before..],
            [
                "2026-03-28T01:30:00+00:00",
                "2026-03-29T01:00:00+00:00",
                "2026-03-30T00:30:00+00:00"
            ]
        );
        let mut app = TestApp::only((keep, tick, take));
        app.send("due-words", "k", "x".to_owned());
        app.advance_to(crate::testing::at("1970-01-01T00:15:00Z"));
        assert_eq!(
            texts(&mut app),
            ["1 1970-01-01T00:07:00+00:00", "1 1970-01-01T00:14:00+00:00"]
        );
    }

    /// Fails as often as it is told to, and says when it was called.
    async fn fails(due: DateTime<Utc>, times: usize) -> Result<()> {
        let mut seen = SEEN.lock().unwrap();
        seen.push((0, due));
        if seen.iter().filter(|(_, of)| *of == due).count() <= times {
            Err("not yet")?;
        }
        Ok(())
    }

    fn calls(app: &mut TestApp, seconds: std::ops::RangeInclusive<i64>) -> Vec<i64> {
        SEEN.lock().unwrap().clear();
        let mut at = Vec::new();
        for second in seconds {
            app.advance_to(DateTime::UNIX_EPOCH + chrono::Duration::seconds(second));
            let mut seen = SEEN.lock().unwrap();
            at.extend(seen.iter().filter(|(told, _)| *told == 0).map(|_| second));
            seen.iter_mut().for_each(|seen| seen.0 = second);
        }
        at
    }

    #[crontab("0 * * * *")]
    async fn thrice(Due(due): Due) -> Result<()> {
        fails(due, 2).await
    }

    #[crontab("0 * * * *", retries = 2, backoff = "10s")]
    async fn never(Due(due): Due) -> Result<()> {
        fails(due, usize::MAX).await
    }

    #[crontab("* * * * *", retries = 100, backoff = "10s")]
    async fn minutely(Due(due): Due) -> Result<()> {
        fails(due, usize::MAX).await
    }

    #[crontab("0 * * * *")]
    async fn pointless(Due(due): Due) -> Result<()> {
        fails(due, usize::MAX).await.reject()
    }

    #[test]
    fn a_crontab_that_fails_is_called_again_but_not_beyond_its_next_time() {
        // One after the other: they share what they have seen.
        assert_eq!(
            calls(&mut TestApp::only((take, thrice)), 3590..=3700),
            [3600, 3601, 3603]
        );
        assert_eq!(
            calls(&mut TestApp::only((take, never)), 3590..=7210),
            [3600, 3610, 3630, 7200, 7210]
        );
        assert_eq!(
            calls(&mut TestApp::only((take, minutely)), 59..=119),
            [60, 70, 90]
        );
        assert_eq!(
            calls(&mut TestApp::only((take, pointless)), 3590..=3700),
            [3600]
        );
        // Who dies makes up for nothing; who stays goes on.
        let mut app = TestApp::only((take, never)).workers(2);
        assert_eq!(calls(&mut app, 3590..=3605), [3600, 3600]);
        app.crash_worker(1);
        assert_eq!(calls(&mut app, 3606..=3700), [3610, 3630]);
        let mut app = TestApp::only((take, never));
        assert_eq!(calls(&mut app, 3590..=3605), [3600]);
        app.crash();
        assert_eq!(calls(&mut app, 3606..=3700), [0; 0]);
    }
}

mod following {
    //! A reader of tables whose windows follow the records.

    use super::*;
    use crate::InWindow;

    #[record(timestamp = at)]
    struct Click {
        at: i64,
    }

    #[table(session = "10m", grace = "1m")]
    #[derive(Clone, Default)]
    struct Visits {
        clicks: u64,
    }

    impl Merge for Visits {
        fn merge(&mut self, later: Self) {
            self.clicks += later.clicks;
        }
    }

    #[table(sliding = "10m", retention = "30m", value = u64)]
    struct Busy;

    #[agent(topic = "following-clicks", sink = "following-own")]
    async fn follow(
        click: Event<Click>,
        mut visits: Table<Visits>,
        mut busy: Table<Busy>,
    ) -> String {
        let before = text(&visits.windows(click.key()), &busy.windows(click.key()));
        let _ = visits.update(click.key(), |visit| visit.clicks += 1);
        busy.update(click.key(), |n| *n += 1);
        before
    }

    #[timer("1m")]
    async fn look(
        visits: TableReader<Visits>,
        busy: TableReader<Busy>,
        reports: Producer<Reports>,
    ) -> Result<()> {
        let text = text(&visits.windows("k").await?, &busy.windows("k").await?);
        reports.send("look", text).await?;
        Ok(())
    }

    /// Start, end and count of each, in minutes and milliseconds.
    fn text(visits: &[InWindow<Visits>], busy: &[InWindow<u64>]) -> String {
        let visits = visits.iter().map(|w| (w.start, w.end, w.value.clicks));
        let busy = busy.iter().map(|w| (w.start, w.end, w.value));
        let list = |windows: &mut dyn Iterator<Item = (DateTime<Utc>, DateTime<Utc>, u64)>| {
            let each = windows.map(|(start, end, n)| {
                let (start, end) = (start.timestamp_millis(), end.timestamp_millis());
                format!("{start}..{end}={n}")
            });
            each.collect::<Vec<_>>().join(" ")
        };
        format!("{} | {}", list(&mut { visits }), list(&mut { busy }))
    }

    #[test]
    fn a_reader_lists_the_windows_that_the_agents_saw_at_the_last_commit() {
        let mut app = TestApp::only((follow, look)).partitions(2);
        let mut minute = 1_000;
        let mut seen = |app: &mut TestApp| {
            minute += 1;
            app.advance_to(at(minute));
            let reports = app.sent::<String>("beside-reports");
            (*reports[minute as usize - 1]).clone()
        };
        let mut read = vec![seen(&mut app)];
        for ms in [
            0, 300_000, 3_600_000, 3_600_000, 4_100_000, 3_000_000, 9_000_000, 9_000_000,
        ] {
            app.send("following-clicks", "k", Click { at: ms });
            read.push(seen(&mut app));
        }
        // What an event finds is what the commit before it has left.
        let own = app.sent::<String>("following-own");
        let own: Vec<&str> = own.iter().map(|text| text.as_str()).collect();
        let last = read.pop();
        assert_eq!(read, own);
        assert_eq!(read[0], " | ");
        assert_eq!(
            read[2],
            "0..900001=2 | -600000..1=1 -300000..300001=2 1..600002=1"
        );
        assert!(read[3].starts_with("3600000..4200001=1 | "), "{}", read[3]);
        // Nothing of what is done and not committed is seen.
        app.crash();
        assert_eq!(Some(seen(&mut app)), last);
    }
}
