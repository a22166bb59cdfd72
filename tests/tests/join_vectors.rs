//! The join vectors, through the test kit and in the user's language: what is late, who meets whom, what goes without a
//! partner, and what is still kept at the end, with and without something happening after every event.

use std::path::PathBuf;

use serde::Deserialize;
use stream_runtime::prelude::*;

#[record(timestamp = time)]
struct Left {
    time: i64,
    n: usize,
}

#[record(timestamp = time)]
struct Right {
    time: i64,
    n: usize,
}

#[record]
#[derive(Clone, Debug, PartialEq)]
struct Pair {
    left: Option<usize>,
    right: Option<usize>,
    time: i64,
}

/// One side of a result: number and time of its event.
trait Side {
    fn side(self) -> Option<(usize, i64)>;
}

macro_rules! sides {
    ($($t:ident)*) => {$(
        impl Side for $t {
            fn side(self) -> Option<(usize, i64)> {
                Some((self.n, self.time))
            }
        }
        impl Side for Option<$t> {
            fn side(self) -> Option<(usize, i64)> {
                self.map(|record| (record.n, record.time))
            }
        }
    )*};
}
sides!(Left Right);

/// A join of each kind and times, by the words of the vectors.
macro_rules! joins {
    ($($name:ident: $left:ty, $right:ty, $within:literal, $grace:literal;)*) => {
        $(
            #[join(left = "left", right = "right", within = $within, grace = $grace, sink = "out")]
            async fn $name(left: $left, right: $right) -> Pair {
                let (left, right) = (left.side(), right.side());
                let times = left.iter().chain(&right).map(|(_, time)| *time);
                Pair {
                    time: times.max().unwrap(),
                    left: left.map(|(n, _)| n),
                    right: right.map(|(n, _)| n),
                }
            }
        )*

        fn app(name: &str) -> TestApp {
            match name {
                $(stringify!($name) => TestApp::only(($name,)),)*
                _ => panic!("no join of the kind and times `{name}`"),
            }
        }
    };
}

joins! {
    inner_0_0: Left, Right, "0ms", "0ms";
    inner_0_3: Left, Right, "0ms", "3ms";
    inner_0_60000: Left, Right, "0ms", "1m";
    inner_1_0: Left, Right, "1ms", "0ms";
    inner_1_3: Left, Right, "1ms", "3ms";
    inner_1_60000: Left, Right, "1ms", "1m";
    inner_10_0: Left, Right, "10ms", "0ms";
    inner_10_3: Left, Right, "10ms", "3ms";
    inner_10_60000: Left, Right, "10ms", "1m";
    inner_600000_0: Left, Right, "10m", "0ms";
    inner_600000_3: Left, Right, "10m", "3ms";
    inner_600000_60000: Left, Right, "10m", "1m";
    left_0_0: Left, Option<Right>, "0ms", "0ms";
    left_0_3: Left, Option<Right>, "0ms", "3ms";
    left_0_60000: Left, Option<Right>, "0ms", "1m";
    left_1_0: Left, Option<Right>, "1ms", "0ms";
    left_1_3: Left, Option<Right>, "1ms", "3ms";
    left_1_60000: Left, Option<Right>, "1ms", "1m";
    left_10_0: Left, Option<Right>, "10ms", "0ms";
    left_10_3: Left, Option<Right>, "10ms", "3ms";
    left_10_60000: Left, Option<Right>, "10ms", "1m";
    left_600000_0: Left, Option<Right>, "10m", "0ms";
    left_600000_3: Left, Option<Right>, "10m", "3ms";
    left_600000_60000: Left, Option<Right>, "10m", "1m";
    right_0_0: Option<Left>, Right, "0ms", "0ms";
    right_0_3: Option<Left>, Right, "0ms", "3ms";
    right_0_60000: Option<Left>, Right, "0ms", "1m";
    right_1_0: Option<Left>, Right, "1ms", "0ms";
    right_1_3: Option<Left>, Right, "1ms", "3ms";
    right_1_60000: Option<Left>, Right, "1ms", "1m";
    right_10_0: Option<Left>, Right, "10ms", "0ms";
    right_10_3: Option<Left>, Right, "10ms", "3ms";
    right_10_60000: Option<Left>, Right, "10ms", "1m";
    right_600000_0: Option<Left>, Right, "10m", "0ms";
    right_600000_3: Option<Left>, Right, "10m", "3ms";
    right_600000_60000: Option<Left>, Right, "10m", "1m";
    outer_0_0: Option<Left>, Option<Right>, "0ms", "0ms";
    outer_0_3: Option<Left>, Option<Right>, "0ms", "3ms";
    outer_0_60000: Option<Left>, Option<Right>, "0ms", "1m";
    outer_1_0: Option<Left>, Option<Right>, "1ms", "0ms";
    outer_1_3: Option<Left>, Option<Right>, "1ms", "3ms";
    outer_1_60000: Option<Left>, Option<Right>, "1ms", "1m";
    outer_10_0: Option<Left>, Option<Right>, "10ms", "0ms";
    outer_10_3: Option<Left>, Option<Right>, "10ms", "3ms";
    outer_10_60000: Option<Left>, Option<Right>, "10ms", "1m";
    outer_600000_0: Option<Left>, Option<Right>, "10m", "0ms";
    outer_600000_3: Option<Left>, Option<Right>, "10m", "3ms";
    outer_600000_60000: Option<Left>, Option<Right>, "10m", "1m";
}

#[derive(Deserialize)]
struct Cases {
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    kind: String,
    within_ms: i64,
    grace_ms: i64,
    events: Vec<Event>,
    kept_at_end: Vec<usize>,
}

#[derive(Deserialize)]
struct Event {
    side: String,
    key: String,
    time: i64,
    late: bool,
    joined: Vec<Pair>,
    unmatched: Vec<Pair>,
}

impl Scenario {
    fn name(&self) -> String {
        format!("{}_{}_{}", self.kind, self.within_ms, self.grace_ms)
    }

    /// Whether records of a side go without a partner.
    fn goes_alone(&self, side: &str) -> bool {
        self.kind == "outer" || self.kind == side
    }
}

/// The vectors: of the folder `STREAM_CASES`, else the shared ones when they are there.
fn scenarios() -> Option<Vec<Scenario>> {
    let shared = [env!("CARGO_MANIFEST_DIR"), "..", "..", "shared", "cases"];
    let folder =
        std::env::var_os("STREAM_CASES").map_or_else(|| shared.iter().collect(), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join("joins.json")) else {
        eprintln!("skipped: no vectors here; STREAM_CASES names their folder");
        return None;
    };
    let cases: Cases = serde_json::from_str(&text).unwrap();
    assert!(!cases.scenarios.is_empty());
    Some(cases.scenarios)
}

/// Sends one event after the other; `then` happens after each.
fn agrees(scenario: &Scenario, then: impl Fn(&mut TestApp, usize)) {
    let name = scenario.name();
    let mut app = app(&name);
    let mut expected: Vec<Pair> = Vec::new();
    let (mut late, mut left_over) = (0, Vec::new());
    for (n, event) in scenario.events.iter().enumerate() {
        let (key, time) = (event.key.as_str(), event.time);
        match event.side.as_str() {
            "left" => app.send("left", key, Left { time, n }),
            side => {
                assert_eq!(side, "right");
                app.send("right", key, Right { time, n });
            }
        }
        expected.extend(event.joined.iter().chain(&event.unmatched).cloned());
        let sent = app.sent::<Pair>("out");
        let got: Vec<Pair> = sent.iter().map(|pair| (**pair).clone()).collect();
        assert_eq!(got, expected, "{name}: event {n}");
        for pair in &sent {
            // The result's time is the larger one, as far as Kafka's stamp can say it.
            assert_eq!(pair.timestamp(), pair.time.max(1), "{name}: event {n}");
        }
        let is_late = app.late() > late;
        late = app.late();
        assert_eq!(is_late, event.late, "{name}: event {n}");
        then(&mut app, n);
        // A process counts from its beginning.
        late = late.min(app.late());
    }
    // What is kept and has met nobody goes alone at the end of times.
    let met = |n: usize| {
        let joined = scenario.events.iter().flat_map(|event| &event.joined);
        joined
            .flat_map(|pair| [pair.left, pair.right])
            .any(|side| side == Some(n))
    };
    for &n in &scenario.kept_at_end {
        let side = &scenario.events[n].side;
        if !met(n) && scenario.goes_alone(side) {
            left_over.push((side == "right", n));
        }
    }
    let before = expected.len();
    app.close_until(at("2100-01-01T00:00:00Z"));
    let mut rest: Vec<(bool, usize)> = app.sent::<Pair>("out")[before..]
        .iter()
        .map(|pair| match (pair.left, pair.right) {
            (Some(n), None) => (false, n),
            (None, Some(n)) => (true, n),
            _ => panic!("{name}: {:?} met at the end", **pair),
        })
        .collect();
    rest.sort_unstable();
    left_over.sort_unstable();
    assert_eq!(rest, left_over, "{name}: what was kept");
}

#[test]
fn joins_are_what_the_vectors_say() {
    for scenario in scenarios().into_iter().flatten() {
        agrees(&scenario, |_, _| ());
    }
}

#[test]
fn a_crash_after_every_event_changes_nothing() {
    for scenario in scenarios().into_iter().flatten() {
        agrees(&scenario, |app, n| match n % 4 {
            0 => app.crash(),
            1 => {
                app.store();
                app.crash();
            }
            2 => app.restart_with_empty_disk(),
            _ => app.rebalance(),
        });
    }
}
