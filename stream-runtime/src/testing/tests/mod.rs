//! The test kit on apps as users write them.

mod group_by;

use std::sync::atomic::{AtomicU32, Ordering};

use crate::prelude::*;

#[record(timestamp = datetime)]
struct PowerReading {
    #[field(coerce)]
    datetime: DateTime<Utc>,
    voltage: f64,
}

#[record]
struct AverageVoltage {
    start_time: DateTime<Utc>,
    count: u64,
    mean: f64,
}

#[table(key = String, tumbling = "1h", grace = "30s", idle = "5s")]
#[derive(Clone, Default)]
struct HourlyVoltage {
    count: u64,
    sum: f64,
}

#[agent(topic = "voltage_input")]
async fn collect(
    mut readings: Stream<PowerReading>,
    mut hours: Table<HourlyVoltage>,
) -> Result<()> {
    while let Some(reading) = readings.next().await {
        hours.update(reading.key(), |hour| {
            hour.count += 1;
            hour.sum += reading.voltage;
        });
    }
    Ok(())
}

#[agent(on_close = HourlyVoltage, sink = "voltage_avg")]
async fn average(hour: Closed<HourlyVoltage>) -> AverageVoltage {
    AverageVoltage {
        start_time: hour.start(),
        count: hour.count,
        mean: hour.sum / hour.count as f64,
    }
}

fn reading(time: &str, voltage: f64) -> PowerReading {
    PowerReading {
        datetime: at(time),
        voltage,
    }
}

#[test]
fn one_hour() {
    let mut app = TestApp::only((collect, average));
    app.send(
        "voltage_input",
        "power",
        reading("2006-12-16T17:24:00Z", 234.8),
    );
    app.advance_to(at("2006-12-16T18:00:29Z"));
    assert!(app.sent::<AverageVoltage>("voltage_avg").is_empty());
    app.advance_to(at("2006-12-16T18:00:30Z"));
    let hours = app.sent::<AverageVoltage>("voltage_avg");
    assert_eq!((hours[0].count, hours[0].mean), (1, 234.8));
    assert_eq!(hours[0].start_time, at("2006-12-16T17:00:00Z"));
    assert_eq!(hours[0].key::<String>(), "power");
}

#[test]
fn crashes_rebalances_and_failed_commits_change_nothing() {
    let run = |disturb: fn(&mut TestApp, usize)| {
        let mut app = TestApp::only((collect, average)).partitions(4);
        for i in 0..400 {
            let time = at("2006-12-16T00:00:00Z") + chrono::TimeDelta::minutes(i as i64);
            let record = PowerReading {
                datetime: time,
                voltage: i as f64,
            };
            app.send("voltage_input", format!("meter-{}", i % 7), record);
            disturb(&mut app, i);
        }
        app.close_until(at("2006-12-17T00:00:00Z"));
        let mut all: Vec<_> = app
            .sent::<AverageVoltage>("voltage_avg")
            .iter()
            .map(|h| (h.partition(), h.key::<String>(), h.start_time, h.count))
            .collect();
        assert_eq!(all.iter().map(|(.., count)| count).sum::<u64>(), 400);
        all.sort();
        all
    };
    let quiet = run(|_, _| {});
    assert_eq!(quiet.len(), 49);
    let disturbed = run(|app, i| match i % 40 {
        3 => app.crash(),
        11 => app.fail_next_commit(),
        17 => app.rebalance(),
        23 => app.store(),
        29 => app.restart_with_empty_disk(),
        _ => {}
    });
    assert_eq!(disturbed, quiet);
}

static CALLS: AtomicU32 = AtomicU32::new(0);

#[agent(topic = "jobs", sink = "done", retries = 1, backoff = "10s")]
async fn unlucky(job: String) -> Result<String> {
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    if job == "bad" && CALLS.fetch_add(1, Ordering::Relaxed) < 2 {
        Err("no luck")?;
    }
    Ok(job)
}

#[test]
fn the_clock_brings_retries_and_dead_letters() {
    let mut app = TestApp::only((unlucky,));
    app.send("jobs", "k", "bad".to_owned());
    app.send("jobs", "k", "good".to_owned());
    assert!(app.sent::<String>("done").is_empty());
    let now = DateTime::<Utc>::UNIX_EPOCH;
    app.advance_to(now + chrono::TimeDelta::seconds(9));
    assert!(app.dead_letters("unlucky").is_empty());
    app.advance_to(now + chrono::TimeDelta::seconds(11));
    let dead = app.dead_letters("unlucky");
    assert_eq!(
        (&dead[0][..], dead[0].header("error")),
        (&b"bad"[..], Some("no luck"))
    );
    assert_eq!(*app.sent::<String>("done")[0], "good");
}

#[test]
#[should_panic(expected = "nobody writes table `hourly_voltage`")]
fn a_plan_with_a_problem_says_so() {
    TestApp::only((average,)).sent::<AverageVoltage>("voltage_avg");
}

#[record]
struct Sample {
    value: f64,
}

#[table]
#[derive(Clone, Default)]
struct Largest {
    value: f64,
}

#[agent(topic = "samples", sink = "largest")]
async fn largest(sample: Event<Sample>, mut all: Table<Largest>) -> Sample {
    let value = all.update(sample.key(), |row| {
        row.value = row.value.max(sample.value);
        row.value
    });
    Sample { value }
}

#[test]
fn a_field_named_value_is_the_record_s_own() {
    let mut app = TestApp::only((largest,));
    for value in [1.0, 3.0, 2.0] {
        app.send("samples", "k", Sample { value });
    }
    let seen: Vec<f64> = app
        .sent::<Sample>("largest")
        .iter()
        .map(|s| s.value)
        .collect();
    assert_eq!(seen, [1.0, 3.0, 3.0]);
}

#[test]
fn idle_after_a_restart_never_rises_past_a_window_that_is_open() {
    let mut app = TestApp::only((collect, average));
    let first = "2006-12-16T17:24:00Z";
    app.send("voltage_input", "power", reading(first, 1.0));
    app.sent::<AverageVoltage>("voltage_avg");
    // The row is on disk only.
    app.store();
    app.crash();
    // The first hour closes, and stream time stops there: the clock is hours ahead of what is read.
    app.advance_to(at("2006-12-16T20:10:00Z"));
    app.send(
        "voltage_input",
        "power",
        reading("2006-12-16T18:10:00Z", 3.0),
    );
    app.advance_to(at("2006-12-16T20:20:00Z"));
    let hours = app.sent::<AverageVoltage>("voltage_avg");
    assert_eq!(hours.iter().map(|h| h.mean).collect::<Vec<_>>(), [1.0, 3.0]);
    assert_eq!(app.late(), 0);
}
