//! The window vectors: for each event, what is late and what closes.

use std::path::PathBuf;

use serde::Deserialize;

use super::driver::{Driver, Input};
use super::specs::*;
use crate::table::TableSpec;

#[derive(Deserialize)]
struct Cases {
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    window: Shape,
    events: Vec<Step>,
    open_at_end: Vec<Out>,
}

#[derive(Deserialize, Debug)]
struct Shape {
    kind: String,
    grace_ms: i64,
    #[serde(default)]
    size_ms: i64,
    #[serde(default)]
    step_ms: i64,
    #[serde(default)]
    gap_ms: i64,
}

#[derive(Deserialize)]
struct Step {
    key: String,
    time: i64,
    value: i64,
    late: Vec<(i64, i64)>,
    closed: Vec<Out>,
}

/// Returns the text of a file of vectors.
fn vectors(file: &str) -> String {
    let path = [env!("CARGO_MANIFEST_DIR"), "..", "tests", "cases", file];
    std::fs::read_to_string(path.iter().collect::<PathBuf>()).unwrap()
}

#[derive(Clone, Copy)]
enum Between {
    Nothing,
    Commit,
    Abort,
    Crash,
    CrashEmpty,
}

fn run<S>(scenario: &Scenario, between: Between)
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    let mut driver = Driver::new(topology::<S>());
    let mut seen = 0;
    let mut late = 0;
    for (at, step) in scenario.events.iter().enumerate() {
        driver.send(Input::reading(&step.key, step.time, step.value));
        driver.run_all();
        if let Between::Abort = between {
            let before = driver.task.late();
            driver.abort();
            assert!(driver.task.late() >= before);
            late = driver.task.late();
            driver.run_all();
        }
        assert_eq!(
            driver.task.late() - late,
            step.late.len() as u64,
            "{:?} event {at}: late",
            scenario.window
        );
        late = driver.task.late();
        match between {
            Between::Nothing => {}
            Between::Commit | Between::Abort => {
                driver.commit();
            }
            Between::Crash | Between::CrashEmpty => {
                driver.commit();
                driver.store();
                driver.crash(matches!(between, Between::CrashEmpty));
                late = 0;
            }
        }
        if !matches!(between, Between::Nothing) {
            let out = driver.cluster.out("out");
            assert_eq!(
                out[seen..],
                step.closed[..],
                "{:?} event {at}: closed",
                scenario.window
            );
            seen = out.len();
        }
    }
    driver.settle();
    let expected: Vec<&Out> = scenario.events.iter().flat_map(|s| &s.closed).collect();
    assert_eq!(
        driver.cluster.out("out").iter().collect::<Vec<_>>(),
        expected
    );
    let mut open = scenario.open_at_end.clone();
    open.sort_by(|a, b| (a.end, &a.key).cmp(&(b.end, &b.key)));
    assert_eq!(
        driver.rows::<S>(),
        open,
        "{:?}: open at the end",
        scenario.window
    );
    let late: Vec<(i64, i64)> = scenario
        .events
        .iter()
        .flat_map(|s| s.late.clone())
        .collect();
    let missed: Vec<(i64, i64)> = driver.missed();
    assert_eq!(missed, late, "{:?}: late", scenario.window);
}

#[test]
fn window_vectors_hold_with_and_without_crashes() {
    let text = vectors("windows.json");
    let cases: Cases = serde_json::from_str(&text).unwrap();
    let mut ran = 0;
    for s in &cases.scenarios {
        for between in [
            Between::Nothing,
            Between::Commit,
            Between::Abort,
            Between::Crash,
            Between::CrashEmpty,
        ] {
            match (
                s.window.kind.as_str(),
                s.window.size_ms,
                s.window.step_ms,
                s.window.grace_ms,
            ) {
                ("tumbling", 3_600_000, _, 30_000) => run::<Tumbling3600000Grace30000>(s, between),
                ("tumbling", 1_000, _, 0) => run::<Tumbling1000Grace0>(s, between),
                ("tumbling", 7, _, 3) => run::<Tumbling7Grace3>(s, between),
                ("hopping", 10_000, 5_000, 0) => run::<Hopping10000By5000Grace0>(s, between),
                ("hopping", 57_000, 23_000, 5_000) => {
                    run::<Hopping57000By23000Grace5000>(s, between)
                }
                ("hopping", 60_000, 60_000, 0) => run::<Hopping60000By60000Grace0>(s, between),
                ("hopping", 10, 3, 4) => run::<Hopping10By3Grace4>(s, between),
                ("hopping", 1_000, 1, 0) => run::<Hopping1000By1Grace0>(s, between),
                ("session", ..) => match (s.window.gap_ms, s.window.grace_ms) {
                    (30_000, 0) => run::<Session30000Grace0>(s, between),
                    (10, 5) => run::<Session10Grace5>(s, between),
                    (1_000, 60_000) => run::<Session1000Grace60000>(s, between),
                    _ => panic!("no table for the window {:?}", s.window),
                },
                _ => panic!("no table for the window {:?}", s.window),
            }
            ran += 1;
        }
    }
    assert!(ran > 0);
    println!("{ran} window runs");
}

#[derive(Deserialize)]
struct Starts {
    tumbling: Vec<StartCase>,
    hopping: Vec<StartCase>,
    commit: Commits,
}

#[derive(Deserialize)]
struct StartCase {
    size: i64,
    #[serde(default)]
    step: i64,
    time: i64,
    starts: Vec<i64>,
}

#[derive(Deserialize)]
struct Commits {
    cases: Vec<CommitCase>,
}

#[derive(Deserialize)]
struct CommitCase {
    committed: i64,
    position: i64,
    open: Vec<i64>,
    commit: Option<i64>,
}

#[test]
fn start_and_commit_vectors_hold() {
    let text = vectors("starts.json");
    let cases: Starts = serde_json::from_str(&text).unwrap();
    assert!(
        !cases.tumbling.is_empty() && !cases.hopping.is_empty() && !cases.commit.cases.is_empty()
    );
    for c in &cases.tumbling {
        let window = crate::Window::Tumbling { size: c.size };
        assert_eq!(window.starts(c.time).collect::<Vec<_>>(), c.starts);
    }
    for c in &cases.hopping {
        let window = crate::Window::Hopping {
            size: c.size,
            step: c.step,
        };
        assert_eq!(window.starts(c.time).collect::<Vec<_>>(), c.starts);
    }
    for c in &cases.commit.cases {
        let offset = crate::task::commit_offset(c.position, c.open.iter().copied().min());
        assert_eq!((offset != c.committed).then_some(offset), c.commit);
    }
}
