//! Stream–stream joins: against an oracle that looks at all pairs, and through random histories.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::driver::{Driver, Input, settings};
use super::histories::histories;
use super::specs::sub_topology;
use crate::key::StreamKey;
use crate::prelude::*;
use crate::record::Record;
use crate::table::BufferKey;
use crate::task::TaskSettings;
use crate::topology::AgentDescriptor;

/// A record of the left side; `n` is its place among all events.
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

/// Who met whom.
#[record]
#[derive(Clone, Debug, PartialEq)]
struct Pair {
    left: Option<usize>,
    right: Option<usize>,
}

trait Number {
    fn n(self) -> Option<usize>;
}

macro_rules! numbers {
    ($($t:ident)*) => {$(
        impl Number for $t {
            fn n(self) -> Option<usize> {
                Some(self.n)
            }
        }
        impl Number for Option<$t> {
            fn n(self) -> Option<usize> {
                self.map(|record| record.n)
            }
        }
    )*};
}
numbers!(Left Right);

macro_rules! joins {
    ($($name:ident: $left:ty, $right:ty, $within:literal, $grace:literal;)*) => {$(
        #[join(left = "left", right = "right", within = $within, grace = $grace, sink = "out")]
        async fn $name(left: $left, right: $right) -> Pair {
            Pair { left: left.n(), right: right.n() }
        }
    )*};
}

joins! {
    inner_0_0: Left, Right, "0ms", "0ms";
    inner_0_3: Left, Right, "0ms", "3ms";
    inner_5_0: Left, Right, "5ms", "0ms";
    inner_5_3: Left, Right, "5ms", "3ms";
    left_0_0: Left, Option<Right>, "0ms", "0ms";
    left_0_3: Left, Option<Right>, "0ms", "3ms";
    left_5_0: Left, Option<Right>, "5ms", "0ms";
    left_5_3: Left, Option<Right>, "5ms", "3ms";
    right_0_0: Option<Left>, Right, "0ms", "0ms";
    right_0_3: Option<Left>, Right, "0ms", "3ms";
    right_5_0: Option<Left>, Right, "5ms", "0ms";
    right_5_3: Option<Left>, Right, "5ms", "3ms";
    outer_0_0: Option<Left>, Option<Right>, "0ms", "0ms";
    outer_0_3: Option<Left>, Option<Right>, "0ms", "3ms";
    outer_5_0: Option<Left>, Option<Right>, "5ms", "0ms";
    outer_5_3: Option<Left>, Option<Right>, "5ms", "3ms";
}

#[derive(Clone, Copy, Debug)]
struct How {
    kind: &'static str,
    within: i64,
    grace: i64,
}

impl How {
    /// Which sides are emitted alone.
    fn alone(self) -> [bool; 2] {
        match self.kind {
            "inner" => [false, false],
            "left" => [true, false],
            "right" => [false, true],
            _ => [true, true],
        }
    }

    fn driver(self, settings: TaskSettings) -> Driver {
        let name = format!("{}_{}_{}", self.kind, self.within, self.grace);
        let mut all = inventory::iter::<AgentDescriptor>.into_iter();
        let agent = all.find(|a| a.name == name && a.place.module == module_path!());
        Driver::with(sub_topology(vec![agent.unwrap()]), settings)
    }
}

/// A record that is sent to one side.
#[derive(Clone, Debug)]
struct Sent {
    right: bool,
    key: u8,
    time: i64,
}

impl Sent {
    fn input(&self, n: usize) -> Input {
        let mut bytes = Vec::new();
        let time = self.time;
        match self.right {
            false => Left { time, n }.encode(&mut bytes).unwrap(),
            true => Right { time, n }.encode(&mut bytes).unwrap(),
        };
        Input {
            key: Some(format!("k{}", self.key)),
            stamp: time.max(1),
            value: Some(bytes),
        }
    }
}

/// What a join does with events in this order, by looking at all pairs: results with their times, and the events that
/// are kept at the end.
fn oracle(how: How, events: &[(usize, Sent)]) -> (Vec<(Pair, i64)>, BTreeSet<usize>) {
    let end = |event: &Sent| event.time + how.within + 1 + how.grace;
    let (mut out, mut stream_time) = (Vec::new(), i64::MIN);
    // Events that were not late, whether each has met another, and whether it has gone.
    let mut seen: Vec<(usize, Sent, bool, bool)> = Vec::new();
    for (n, event) in events {
        let late = end(event) <= stream_time;
        if !late {
            let mut met: Vec<usize> = (0..seen.len())
                .filter(|&i| {
                    let (_, other, ..) = &seen[i];
                    other.right != event.right
                        && other.key == event.key
                        && (other.time - event.time).abs() <= how.within
                        && end(other) > stream_time
                })
                .collect();
            met.sort_by_key(|&i| (seen[i].1.time, i));
            for &i in &met {
                seen[i].2 = true;
                let (left, right) = if event.right {
                    (seen[i].0, *n)
                } else {
                    (*n, seen[i].0)
                };
                let pair = Pair {
                    left: Some(left),
                    right: Some(right),
                };
                out.push((pair, event.time.max(seen[i].1.time)));
            }
            seen.push((*n, event.clone(), !met.is_empty(), false));
        }
        stream_time = stream_time.max(event.time);
        let mut over: Vec<usize> = (0..seen.len())
            .filter(|&i| !seen[i].3 && end(&seen[i].1) <= stream_time)
            .collect();
        over.sort_by_key(|&i| (seen[i].1.time, seen[i].1.key, seen[i].1.right, i));
        for i in over {
            seen[i].3 = true;
            let (n, event, met, _) = &seen[i];
            if !met && how.alone()[usize::from(event.right)] {
                let pair = match event.right {
                    false => Pair {
                        left: Some(*n),
                        right: None,
                    },
                    true => Pair {
                        left: None,
                        right: Some(*n),
                    },
                };
                out.push((pair, event.time));
            }
        }
    }
    let kept = seen.iter().filter(|(.., gone)| !gone);
    (out, kept.map(|(n, ..)| *n).collect())
}

/// What the task has sent. Its times are all at least 1, so that Kafka's stamps can say them.
fn results(driver: &Driver) -> Vec<(Pair, i64)> {
    let outputs = driver.cluster.outputs.iter();
    outputs
        .map(|sent| (Pair::decode(sent.value.as_deref()).unwrap(), sent.stamp))
        .collect()
}

/// The records in the changelogs of both sides: side, offset.
fn kept(driver: &Driver) -> BTreeSet<(usize, i64)> {
    let side = |table: usize| {
        let rows = driver.folded(table).into_keys();
        rows.map(move |row| {
            let (_, _, offset) = BufferKey::decode_ordered(&row[1..]).unwrap();
            (table, offset)
        })
    };
    side(0).chain(side(1)).collect()
}

fn sent() -> impl Strategy<Value = Vec<Sent>> {
    // Small steps, so that times are equal and distances exact often; at times a jump that ends everything.
    let step = prop_oneof![
        12 => -9i64..9,
        1 => 15i64..40,
    ];
    let one = (any::<bool>(), 0u8..3, step);
    prop::collection::vec(one, 1..50).prop_map(|all| {
        let mut now = 200;
        let send = |(right, key, step): (bool, u8, i64)| {
            now += step;
            Sent {
                right,
                key,
                time: now,
            }
        };
        all.into_iter().map(send).collect()
    })
}

fn hows(kind: &'static str) -> impl Strategy<Value = How> {
    (
        prop::sample::select(vec![0, 5]),
        prop::sample::select(vec![0, 3]),
    )
        .prop_map(move |(within, grace)| How {
            kind,
            within,
            grace,
        })
}

/// One event after the other, in the order they are sent.
fn one_by_one(how: How, all: &[Sent]) {
    let mut driver = how.driver(settings());
    let (mut events, mut sides) = (Vec::new(), [Vec::new(), Vec::new()]);
    for (n, event) in all.iter().enumerate() {
        let input = event.input(n);
        match event.right {
            false => driver.send(input),
            true => driver.cluster.more[0].0.push(input),
        }
        events.push((n, event.clone()));
        sides[usize::from(event.right)].push(n);
        driver.fetch_from(0, 1);
        driver.fetch_from(1, 1);
        driver.turn();
        driver.commit();
    }
    driver.settle();
    let (expected, left_over) = oracle(how, &events);
    assert_eq!(results(&driver), expected, "{how:?}");
    let kept: BTreeSet<usize> = kept(&driver)
        .into_iter()
        .map(|(side, offset)| sides[side][offset as usize])
        .collect();
    assert_eq!(kept, left_over, "{how:?}: what is kept");
}

macro_rules! against_the_oracle {
    ($($test:ident: $kind:literal;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(1_000))]
            $(
                #[test]
                fn $test(how in hows($kind), all in sent()) {
                    one_by_one(how, &all);
                }
            )*
        }
    };
}

against_the_oracle! {
    an_inner_join_is_what_the_oracle_says: "inner";
    a_left_join_is_what_the_oracle_says: "left";
    a_right_join_is_what_the_oracle_says: "right";
    an_outer_join_is_what_the_oracle_says: "outer";
}

#[derive(Clone, Debug)]
enum Step {
    Fetch(usize, usize),
    Commit,
    Abort,
    Store,
    Crash { empty_disk: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..4, 0usize..4).prop_map(|(left, right)| Step::Fetch(left, right)),
        3 => Just(Step::Commit),
        1 => Just(Step::Abort),
        2 => Just(Step::Store),
        1 => any::<bool>().prop_map(|empty_disk| Step::Crash { empty_disk }),
    ]
}

/// All records lie there from the beginning, so that the order of processing is that of their times.
fn laden(how: How, settings: TaskSettings, all: &[Sent]) -> Driver {
    let mut driver = how.driver(settings);
    for (n, event) in all.iter().enumerate() {
        let input = event.input(n);
        match event.right {
            false => driver.send(input),
            true => driver.cluster.more[0].0.push(input),
        }
    }
    driver
}

fn finish(driver: &mut Driver) {
    driver.fetch_from(0, usize::MAX / 2);
    driver.fetch_from(1, usize::MAX / 2);
    driver.turn();
    driver.commit();
    driver.settle();
}

fn history(how: How, all: &[Sent], steps: &[Step], cache_bytes: usize) {
    let disturbed = TaskSettings {
        cache_bytes,
        ..settings()
    };
    let mut driver = laden(how, disturbed, all);
    for step in steps {
        match step {
            Step::Fetch(left, right) => {
                driver.fetch_from(0, *left);
                driver.fetch_from(1, *right);
                driver.turn();
            }
            Step::Commit => drop(driver.commit()),
            Step::Abort => driver.abort(),
            Step::Store => driver.store(),
            Step::Crash { empty_disk } => driver.crash(*empty_disk),
        }
    }
    finish(&mut driver);
    let mut quiet = laden(how, settings(), all);
    finish(&mut quiet);
    assert_eq!(driver.cluster.outputs, quiet.cluster.outputs, "{how:?}");
    for side in 0..2 {
        assert_eq!(driver.folded(side), quiet.folded(side), "{how:?}");
    }
    assert_eq!(driver.cluster.offset, quiet.cluster.offset);
    assert_eq!(driver.cluster.more[0].1, quiet.cluster.more[0].1);
}

fn any_how() -> impl Strategy<Value = How> {
    prop::sample::select(vec!["inner", "left", "right", "outer"]).prop_flat_map(hows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(histories()))]

    #[test]
    fn crashes_and_aborts_change_nothing_in_a_join(
        how in any_how(),
        all in sent(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        history(how, &all, &steps, 1 << 20);
    }

    #[test]
    fn nor_does_a_cache_smaller_than_what_a_join_keeps(
        how in any_how(),
        // The least a cache holds is 64 rows: all within reach of each other.
        all in prop::collection::vec((any::<bool>(), 0u8..3), 150..220),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let at = |(n, (right, key)): (usize, (bool, u8))| Sent {
            right,
            key,
            time: 100 + n as i64 % (how.within + how.grace + 1),
        };
        let all: Vec<Sent> = all.into_iter().enumerate().map(at).collect();
        history(how, &all, &steps, 0);
    }
}

#[test]
fn thousands_of_records_may_fall_due_at_once_in_commits_of_bounded_size() {
    let how = How {
        kind: "left",
        within: 5,
        grace: 0,
    };
    let small = TaskSettings {
        commit_rows: 500,
        ..settings()
    };
    let all: Vec<Sent> = (0..5_000)
        .map(|n| Sent {
            right: n % 2 == 1,
            key: (n % 200) as u8,
            time: 100,
        })
        .chain([Sent {
            right: false,
            key: 250,
            time: 10_000,
        }])
        .collect();
    let mut driver = laden(how, small, &all);
    finish(&mut driver);
    // Keys of the left side are even, those of the right side odd: nobody meets.
    let alone = results(&driver);
    assert_eq!(alone.len(), 2_500);
    assert!(
        alone
            .iter()
            .all(|(pair, time)| pair.right.is_none() && *time == 100)
    );
    assert_eq!(kept(&driver).len(), 1);
}
