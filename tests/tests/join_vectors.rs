//! Joins against a model of them, through the test kit and in the user's language: what is late, who meets whom, what
//! goes without a partner, once, and who comes too late for it, with and without something happening after every event.

use std::path::PathBuf;

use stream_runtime::prelude::*;
use stream_runtime::testing::{TestApp, at};
use tests::joins::{self, Scenario};

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

impl From<&joins::Pair> for Pair {
    fn from(pair: &joins::Pair) -> Self {
        Pair {
            left: pair.left,
            right: pair.right,
            time: pair.time,
        }
    }
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
            #[join(left = "left", right = "right", within = $within, grace = $grace, sink = "out", late = "late")]
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

fn file() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "cases", "joins.json"]
        .iter()
        .collect()
}

fn scenarios() -> Vec<Scenario> {
    let text = std::fs::read_to_string(file()).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Sends one event after the other; `then` happens after each. A process counts what is late once more when it does it
/// again after an aborted commit.
fn agrees(scenario: &Scenario, aborts: bool, then: impl Fn(&mut TestApp, usize)) {
    let (kind, within, grace) = (&scenario.kind, scenario.within_ms, scenario.grace_ms);
    let name = format!("{kind}_{within}_{grace}");
    let mut app = app(&name);
    let mut expected: Vec<Pair> = Vec::new();
    let mut late_records: Vec<(usize, Vec<String>)> = Vec::new();
    let mut late = 0;
    // Offsets of the events in their topics.
    let mut places = Vec::new();
    for (n, event) in scenario.events.iter().enumerate() {
        let (key, time) = (event.key.as_str(), event.time);
        let before = scenario.events[..n].iter();
        let offset = before.filter(|other| other.side == event.side).count();
        places.push(format!("{}[0]@{offset}", event.side));
        match event.side.as_str() {
            "left" => app.send("left", key, Left { time, n }),
            side => {
                assert_eq!(side, "right");
                app.send("right", key, Right { time, n });
            }
        }
        let results = event.joined.iter().chain(&event.unmatched);
        expected.extend(results.map(Pair::from));
        let sent = app.sent::<Pair>("out");
        let got: Vec<Pair> = sent.iter().map(|pair| (**pair).clone()).collect();
        assert_eq!(got, expected, "{name}: event {n}");
        for pair in &sent {
            // The result's time is the larger one, as far as Kafka's stamp can say it.
            assert_eq!(pair.timestamp(), pair.time.max(1), "{name}: event {n}");
        }
        let missed = event.missed.len() as u64 + u64::from(event.late);
        let counted = app.late() - late;
        let again = aborts && counted == 2 * missed;
        assert!(
            counted == missed || again,
            "{name}: event {n}: {counted} late"
        );
        if missed > 0 {
            let rows = event.missed.iter().map(|&row| places[row].clone());
            late_records.push((n, rows.collect()));
        }
        late = app.late();
        then(&mut app, n);
        // A process counts from its beginning.
        late = late.min(app.late());
    }
    // What came too late was sent on, with what it missed.
    let mut told: Vec<(usize, Vec<String>)> = app
        .sent::<Left>("late")
        .iter()
        .map(|sent| {
            let rows = sent.header("late.rows").unwrap_or_default().split(',');
            let rows = rows.filter(|row| !row.is_empty()).map(str::to_owned);
            assert!(
                sent.header("late.windows")
                    .is_some_and(|text| !text.is_empty())
            );
            (sent.n, rows.collect())
        })
        .collect();
    told.sort();
    late_records.iter_mut().for_each(|(_, rows)| rows.sort());
    told.iter_mut().for_each(|(_, rows)| rows.sort());
    assert_eq!(told, late_records, "{name}: what was late");
    // What is kept and has met nobody goes alone at the end of times, unless it has gone.
    let results = || {
        let events = scenario.events.iter();
        events.flat_map(|event| event.joined.iter().chain(&event.unmatched))
    };
    let had_result = |n: usize| results().any(|pair| [pair.left, pair.right].contains(&Some(n)));
    let left_over = scenario.kept_at_end.iter().copied();
    let mut left_over: Vec<usize> = left_over
        .filter(|&n| !had_result(n) && scenario.goes_alone(&scenario.events[n].side))
        .collect();
    let before = expected.len();
    app.close_until(at("2100-01-01T00:00:00Z"));
    let mut rest: Vec<usize> = app.sent::<Pair>("out")[before..]
        .iter()
        .map(|pair| match (pair.left, pair.right) {
            (Some(n), None) | (None, Some(n)) => n,
            _ => panic!("{name}: {:?} met at the end", **pair),
        })
        .collect();
    rest.sort_unstable();
    left_over.sort_unstable();
    assert_eq!(rest, left_over, "{name}: what was kept");
}

fn disturbed(app: &mut TestApp, n: usize) {
    match n % 5 {
        0 => app.crash(),
        1 => {
            app.store();
            app.crash();
        }
        2 => app.restart_with_empty_disk(),
        3 => app.fail_next_commit(),
        _ => app.rebalance(),
    }
}

/// `STREAM_BLESS=1` writes them again.
#[test]
fn the_vectors_are_what_the_model_says() {
    let made = joins::vectors();
    if std::env::var_os("STREAM_BLESS").is_some() {
        let lines: Vec<String> = made
            .iter()
            .map(|scenario| serde_json::to_string(scenario).unwrap())
            .collect();
        std::fs::write(file(), format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
    }
    assert_eq!(scenarios(), made);
    let events = || made.iter().flat_map(|scenario| &scenario.events);
    // They show what they are for.
    assert!(events().filter(|event| event.late).count() > 20);
    assert!(events().filter(|event| !event.missed.is_empty()).count() > 20);
    assert!(events().filter(|event| !event.joined.is_empty()).count() > 100);
}

#[test]
fn joins_are_what_the_vectors_say() {
    for scenario in scenarios() {
        agrees(&scenario, false, |_, _| ());
    }
}

#[test]
fn a_crash_after_every_event_changes_nothing() {
    for scenario in scenarios() {
        agrees(&scenario, true, disturbed);
    }
}

#[test]
fn a_record_that_is_not_late_is_not_half_blind_in_histories_by_chance() {
    let from = 1_000;
    for seed in from..from + 150 {
        let mut chaos = tests::chaos::Chaos::seeded(seed);
        let kind = joins::KINDS[chaos.below(4) as usize];
        let within = joins::WITHIN[chaos.below(4) as usize];
        let grace = joins::GRACE[chaos.below(3) as usize];
        let scenario = Scenario::by_chance(kind, within, grace, 40, seed);
        agrees(&scenario, true, |app, n| {
            if n % 3 == 0 {
                disturbed(app, n / 3);
            }
        });
    }
}
