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
