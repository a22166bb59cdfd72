//! The window vectors, through the test kit and in the user's language: what is late, what closes, what is open at the
//! end, with and without something happening after every event.

use std::path::PathBuf;

use serde::Deserialize;
use stream_runtime::prelude::*;
use stream_runtime::testing::{TestApp, at};

#[record(timestamp = time)]
struct Reading {
    time: i64,
    value: i64,
}

#[record]
#[derive(Clone, Debug, PartialEq)]
struct Window {
    key: String,
    start: i64,
    end: i64,
    count: u64,
    sum: i64,
}

/// A table of each window that occurs, with its agents, by the words of the vectors.
macro_rules! tables {
    ($($module:ident: $window:literal => $($option:ident = $value:literal),*;)*) => {
        $(mod $module {
            use super::{Reading, Window};
            use stream_runtime::prelude::*;

            #[table($($option = $value,)* late = "late")]
            #[derive(Clone, Default)]
            pub struct Sum {
                count: u64,
                sum: i64,
            }

            impl Merge for Sum {
                fn merge(&mut self, later: Self) {
                    self.count += later.count;
                    self.sum += later.sum;
                }
            }

            #[agent(topic = "readings")]
            pub async fn collect(mut readings: Stream<Reading>, mut sums: Table<Sum>) {
                while let Some(reading) = readings.next().await {
                    let _ = sums.update(reading.key(), |sum| {
                        sum.count += 1;
                        sum.sum += reading.value;
                    });
                }
            }

            #[agent(on_close = Sum, sink = "windows")]
            pub async fn close(sum: Closed<Sum>) -> Window {
                Window {
                    key: sum.key().clone(),
                    start: sum.start().timestamp_millis(),
                    end: sum.end().timestamp_millis(),
                    count: sum.count,
                    sum: sum.sum,
                }
            }

            pub fn app() -> stream_runtime::testing::TestApp {
                stream_runtime::testing::TestApp::only((collect, close))
            }
        })*

        fn app(window: &str) -> TestApp {
            match window {
                $($window => $module::app(),)*
                _ => panic!("no table for the window `{window}`"),
            }
        }
    };
}

tables! {
    tumbling_hour: "tumbling 3600000 grace 30000" => tumbling = "1h", grace = "30s";
    tumbling_second: "tumbling 1000 grace 0" => tumbling = "1s";
    tumbling_seven: "tumbling 7 grace 3" => tumbling = "7ms", grace = "3ms";
    hopping_ten_seconds: "hopping 10000 step 5000 grace 0" => hopping = "10s", step = "5s";
    hopping_odd: "hopping 57000 step 23000 grace 5000" => hopping = "57s", step = "23s", grace = "5s";
    hopping_minute: "hopping 60000 step 60000 grace 0" => hopping = "1m", step = "1m";
    hopping_ten: "hopping 10 step 3 grace 4" => hopping = "10ms", step = "3ms", grace = "4ms";
    hopping_thousand: "hopping 1000 step 1 grace 0" => hopping = "1s", step = "1ms";
    session_half_minute: "session 30000 grace 0" => session = "30s";
    session_ten: "session 10 grace 5" => session = "10ms", grace = "5ms";
    session_second: "session 1000 grace 60000" => session = "1s", grace = "1m";
}

#[derive(Deserialize)]
struct Cases {
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    window: Shape,
    events: Vec<Event>,
    open_at_end: Vec<Window>,
}

#[derive(Deserialize)]
struct Shape {
    kind: String,
    grace_ms: i64,
    size_ms: Option<i64>,
    step_ms: Option<i64>,
    gap_ms: Option<i64>,
}

impl Shape {
    fn name(&self) -> String {
        let length = self.size_ms.or(self.gap_ms).unwrap();
        let step = self
            .step_ms
            .map_or_else(String::new, |step| format!(" step {step}"));
        format!("{} {length}{step} grace {}", self.kind, self.grace_ms)
    }
}

#[derive(Deserialize)]
struct Event {
    key: String,
    time: i64,
    value: i64,
    late: Vec<(i64, i64)>,
    closed: Vec<Window>,
}

/// Returns the vectors.
fn scenarios() -> Vec<Scenario> {
    let path = [env!("CARGO_MANIFEST_DIR"), "cases", "windows.json"];
    let text = std::fs::read_to_string(path.iter().collect::<PathBuf>()).unwrap();
    let cases: Cases = serde_json::from_str(&text).unwrap();
    assert!(!cases.scenarios.is_empty());
    cases.scenarios
}

fn millis(text: &str) -> i64 {
    at(text).timestamp_millis()
}

/// The windows named by the late records.
fn missed(app: &mut TestApp) -> Vec<(i64, i64)> {
    let mut all = Vec::new();
    for late in app.sent::<Reading>("late") {
        for window in late.header("late.windows").unwrap().split(',') {
            let (start, end) = window.split_once('/').unwrap();
            assert!(
                (millis(start)..millis(end)).contains(&late.time),
                "{} is in {window}",
                late.time
            );
            all.push((millis(start), millis(end)));
        }
    }
    all
}

fn windows(app: &mut TestApp) -> Vec<Window> {
    app.sent::<Window>("windows")
        .into_iter()
        .map(|sent| sent.into_value())
        .collect()
}

fn run(scenario: &Scenario, after_each: fn(&mut TestApp)) {
    let name = scenario.window.name();
    let mut app = app(&name);
    let (mut closed, mut late) = (Vec::new(), Vec::new());
    for (n, event) in scenario.events.iter().enumerate() {
        let reading = Reading {
            time: event.time,
            value: event.value,
        };
        app.send("readings", event.key.as_str(), reading);
        after_each(&mut app);
        closed.extend(event.closed.iter().cloned());
        late.extend(event.late.iter().copied());
        assert_eq!(windows(&mut app), closed, "{name}: closed by event {n}");
        assert_eq!(missed(&mut app), late, "{name}: late in event {n}");
    }
    if let Some(last) = scenario.open_at_end.iter().map(|window| window.end).max() {
        let over = last + scenario.window.grace_ms;
        app.close_until(DateTime::from_timestamp_millis(over).unwrap());
        let mut open = scenario.open_at_end.clone();
        open.sort_by(|a, b| (a.end, &a.key).cmp(&(b.end, &b.key)));
        closed.append(&mut open);
    }
    assert_eq!(windows(&mut app), closed, "{name}: open at the end");
}

fn all(after_each: fn(&mut TestApp)) {
    for scenario in scenarios() {
        run(&scenario, after_each);
    }
}

#[test]
fn undisturbed() {
    all(|_| {});
}

#[test]
fn with_a_crash_after_every_event() {
    all(TestApp::crash);
}

#[test]
fn with_a_crash_after_every_commit_and_an_empty_disk() {
    all(|app| {
        windows(app);
        app.restart_with_empty_disk();
    });
}

#[test]
fn with_a_crash_after_every_store() {
    all(|app| {
        app.store();
        app.crash();
    });
}

#[test]
fn with_an_aborted_commit_and_a_rebalance_after_every_event() {
    all(|app| {
        app.fail_next_commit();
        windows(app);
        app.rebalance();
    });
}
