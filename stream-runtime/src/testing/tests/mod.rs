//! The test kit on apps as users write them.

mod advance;
mod all;
mod beside;
mod chains;
mod globals;
mod group_by;
mod hops;
mod internal;
mod join;
mod keys;
mod kit;
mod logs;
mod lookup;
mod order;
mod patterns;
mod policies;
mod reading;
mod removing;
mod resend;
mod rows;
mod sending;
mod times;
mod tombstones;
mod windows;

use std::sync::atomic::{AtomicU32, Ordering};

use crate::prelude::*;
use crate::testing::{TestApp, at};

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
        (dead[0].as_deref(), dead[0].header("error")),
        (Some(&b"bad"[..]), Some("no luck"))
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

#[test]
fn workers_that_die_and_partitions_that_move_change_nothing() {
    let run = |disturb: fn(&mut TestApp, usize)| {
        let mut app = TestApp::only((collect, average)).partitions(5).workers(3);
        for i in 0..300 {
            let time = at("2006-12-16T00:00:00Z") + chrono::TimeDelta::minutes(i as i64);
            let record = PowerReading {
                datetime: time,
                voltage: i as f64,
            };
            app.send("voltage_input", format!("meter-{}", i % 11), record);
            disturb(&mut app, i);
        }
        app.close_until(at("2006-12-17T00:00:00Z"));
        let mut all: Vec<_> = app
            .sent::<AverageVoltage>("voltage_avg")
            .iter()
            .map(|h| (h.partition(), h.key::<String>(), h.start_time, h.count))
            .collect();
        all.sort();
        all
    };
    let quiet = run(|_, _| {});
    assert_eq!(quiet.iter().map(|(.., count)| count).sum::<u64>(), 300);
    let disturbed = run(|app, i| match i % 30 {
        4 => app.crash_worker(i % 3),
        9 => app.rebalance(),
        14 => app.store(),
        // Two of three.
        19 => {
            app.crash_worker(0);
            app.crash_worker(2);
        }
        24 => app.fail_next_commit(),
        _ => {}
    });
    assert_eq!(disturbed, quiet);
}

#[test]
fn a_worker_s_disk_is_its_own_and_may_be_old() {
    let mut app = TestApp::only((largest,)).workers(2);
    let send = |app: &mut TestApp, value: f64| app.send("samples", "k", Sample { value });
    send(&mut app, 5.0);
    app.store();
    // The second worker has nothing, the first one comes back with what it stored before.
    app.rebalance();
    send(&mut app, 9.0);
    app.settle();
    app.crash_worker(1);
    send(&mut app, 7.0);
    let seen: Vec<f64> = app
        .sent::<Sample>("largest")
        .iter()
        .map(|s| s.value)
        .collect();
    assert_eq!(seen, [5.0, 9.0, 9.0]);
}

/// What of an hour was sent, by its key and start.
fn hours_of(app: &mut TestApp) -> std::collections::BTreeMap<(String, DateTime<Utc>), (u64, f64)> {
    let mut hours = std::collections::BTreeMap::new();
    for hour in app.sent::<AverageVoltage>("voltage_avg") {
        let key = (hour.key::<String>(), hour.start_time);
        let again = hours.insert(key, (hour.count, hour.mean * hour.count as f64));
        assert_eq!(again, None, "closed twice");
    }
    hours
}

#[test]
fn a_simulated_app_closes_every_hour_once_with_all_of_its_readings() {
    for seed in crate::testing::seeds(60) {
        let sent = std::cell::RefCell::new(std::collections::BTreeMap::new());
        let minute = std::cell::Cell::new(0);
        TestApp::simulate(seed)
            .app(TestApp::only((collect, average)).partitions(3).workers(2))
            .input(|app, random| {
                minute.set(minute.get() + random.i64(0..9));
                let time = at("2006-12-16T00:00:00Z") + chrono::TimeDelta::minutes(minute.get());
                let (meter, voltage) = (
                    format!("meter-{}", random.u8(..4)),
                    f64::from(random.u16(..300)),
                );
                let start =
                    at("2006-12-16T00:00:00Z") + chrono::TimeDelta::hours(minute.get() / 60);
                let mut sent = sent.borrow_mut();
                let hour: &mut (u64, f64) = sent.entry((meter.clone(), start)).or_default();
                *hour = (hour.0 + 1, hour.1 + voltage);
                app.send(
                    "voltage_input",
                    meter,
                    PowerReading {
                        datetime: time,
                        voltage,
                    },
                );
            })
            .check(|app| {
                app.close_until(at("2006-12-20T00:00:00Z"));
                let (found, sent) = (hours_of(app), sent.borrow());
                assert_eq!(
                    found.keys().collect::<Vec<_>>(),
                    sent.keys().collect::<Vec<_>>()
                );
                for (key, (count, sum)) in &*sent {
                    assert_eq!(found[key].0, *count, "{key:?}");
                    assert!((found[key].1 - sum).abs() < 1e-6, "{key:?}");
                }
                assert_eq!(app.late(), 0);
            });
    }
}

/// State outside of tables: what a simulation must find.
static COUNTED: AtomicU32 = AtomicU32::new(0);

#[agent(topic = "ticks", sink = "counted")]
async fn count_outside(_: String) -> String {
    (COUNTED.fetch_add(1, Ordering::Relaxed) + 1).to_string()
}

#[test]
fn a_simulation_finds_an_app_that_keeps_its_state_outside_of_tables() {
    let broken = |seed: u64| {
        COUNTED.store(0, Ordering::Relaxed);
        let found = std::panic::catch_unwind(|| {
            TestApp::simulate(seed)
                .app(TestApp::only((count_outside,)))
                .input(|app, _| app.send("ticks", "k", "t".to_owned()))
                .check(|app| {
                    let counted = app.sent::<String>("counted");
                    let last = counted.last().map_or(0, |last| last.parse().unwrap_or(0));
                    assert_eq!(last, counted.len());
                });
        });
        found.is_err()
    };
    let first = (0..20).find(|seed| broken(*seed)).expect("found");
    assert!(broken(first), "the same seed finds it again");
}

#[topic("far-ahead", value = PowerReading, max_ahead = "30d", start = "latest", on_gap = "skip")]
struct FarAhead;

#[agent(topics = [FarAhead, "near"], sink = "seen")]
async fn see(reading: Event<PowerReading>) -> String {
    reading.voltage.to_string()
}

#[test]
fn a_topic_s_own_max_ahead_wins_over_the_app_s() {
    let mut app = TestApp::only((see,));
    let bytes = |time: &str, voltage: u8| format!(r#"{{"datetime":"{time}","voltage":{voltage}}}"#);
    // The clock is at the epoch: two weeks ahead of it.
    for (topic, voltage) in [("far-ahead", 1), ("near", 2)] {
        let value = bytes("1970-01-15T00:00:00Z", voltage);
        app.send_raw(topic, None, Some(value.as_bytes()));
    }
    let value = bytes("1970-02-15T00:00:00Z", 3);
    app.send_raw("far-ahead", None, Some(value.as_bytes()));
    let seen: Vec<String> = app
        .sent::<String>("seen")
        .iter()
        .map(|s| s.to_string())
        .collect();
    assert_eq!(seen, ["1"]);
    assert_eq!(app.dead_letters("see").len(), 2);
}

#[test]
fn an_aborted_commit_leaves_no_window_open_that_the_test_closed() {
    for by_clock in [false, true] {
        let mut app = TestApp::only((collect, average));
        app.send(
            "voltage_input",
            "power",
            reading("2006-12-16T17:24:00Z", 1.0),
        );
        app.settle();
        app.fail_next_commit();
        let end = at("2006-12-16T18:00:30Z");
        match by_clock {
            true => app.advance_to(end),
            false => app.close_until(end),
        }
        assert_eq!(app.sent::<AverageVoltage>("voltage_avg").len(), 1);
    }
}

#[table(value = u64)]
struct SinceTick;

#[topic("per-tick", value = String)]
struct PerTick;

#[agent(topic = "ticked")]
async fn count_until_tick(_: String, mut since: Table<SinceTick>) {
    since.update("n", |n| *n += 1);
}

#[timer("10s", per = "partition")]
async fn tell_and_forget(mut since: Table<SinceTick>, out: Topic<PerTick>) -> Result {
    let n = since.get("n").unwrap_or_default();
    since.remove("n");
    out.send("n", n.to_string()).await?;
    Ok(())
}

#[test]
fn the_clock_brings_the_ticks_of_timers() {
    let mut app = TestApp::only((count_until_tick, tell_and_forget));
    let clock = |seconds: i64| DateTime::<Utc>::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds);
    for _ in 0..3 {
        app.send("ticked", "n", "t".to_owned());
    }
    app.advance_to(clock(9));
    assert!(app.sent::<String>("per-tick").is_empty());
    app.advance_to(clock(10));
    app.send("ticked", "n", "t".to_owned());
    app.advance_to(clock(25));
    let told: Vec<String> = app
        .sent::<String>("per-tick")
        .iter()
        .map(|s| s.to_string())
        .collect();
    assert_eq!(told, ["3", "1"]);
}

#[agent(topic = "maybe-keyed", sink = "keys")]
async fn maybe_keyed(_: String, Key(key): Key<Option<u64>>) -> String {
    format!("{key:?}")
}

#[test]
fn a_record_without_a_key_is_not_bad_for_who_takes_an_option() {
    let mut app = TestApp::only((maybe_keyed,));
    app.send("maybe-keyed", 7u64, "a".to_owned());
    app.send_raw("maybe-keyed", None, Some(b"b"));
    app.send_raw("maybe-keyed", Some(b"short"), Some(b"c"));
    let keys: Vec<String> = app
        .sent::<String>("keys")
        .iter()
        .map(|s| s.to_string())
        .collect();
    assert_eq!(keys, ["Some(7)", "None"]);
    assert_eq!(app.dead_letters("maybe_keyed").len(), 1);
}
