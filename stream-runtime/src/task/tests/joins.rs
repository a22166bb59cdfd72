//! Stream–stream joins: against an oracle that looks at all pairs, and through random histories.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::driver::{Driver, Input, open, settings};
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

/// What a join does with events in this order.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    /// Results with their times.
    out: Vec<(Pair, i64)>,
    /// Events that are kept at the end.
    kept: BTreeSet<usize>,
    /// How often an event was late: whole, or for one that had gone alone.
    late: u64,
}

/// The same by looking at all pairs.
fn oracle(how: How, events: &[(usize, Sent)]) -> Expected {
    let end = |event: &Sent| event.time + how.within + 1 + how.grace;
    let mut stream_time = i64::MIN;
    let mut expected = Expected::default();
    // Events that were not late, whether each has met another, and whether it has gone alone.
    let mut seen: Vec<(usize, Sent, bool, bool)> = Vec::new();
    for (n, event) in events {
        if end(event) <= stream_time {
            expected.late += 1;
        } else {
            let near = |i: &usize| {
                let (_, other, ..) = &seen[*i];
                other.right != event.right
                    && other.key == event.key
                    && (other.time - event.time).abs() <= how.within
            };
            let (gone, mut met): (Vec<usize>, Vec<usize>) =
                (0..seen.len()).filter(near).partition(|&i| seen[i].3);
            expected.late += gone.len() as u64;
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
                expected.out.push((pair, event.time.max(seen[i].1.time)));
            }
            seen.push((*n, event.clone(), !met.is_empty(), false));
        }
        stream_time = stream_time.max(event.time);
        let mut over: Vec<usize> = (0..seen.len())
            .filter(|&i| {
                let (_, event, met, gone) = &seen[i];
                let alone = how.alone()[usize::from(event.right)];
                alone && !met && !gone && end(event) <= stream_time
            })
            .collect();
        over.sort_by_key(|&i| (seen[i].1.time, seen[i].1.key, seen[i].1.right, i));
        for i in over {
            seen[i].3 = true;
            let (n, event, ..) = &seen[i];
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
            expected.out.push((pair, event.time));
        }
    }
    // As long as a record that is not late may be near to it.
    let kept = seen
        .iter()
        .filter(|(_, event, ..)| end(event) + how.within > stream_time);
    expected.kept = kept.map(|(n, ..)| *n).collect();
    expected
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

/// The rounds of a join's rows once had the number of the commit after theirs.
#[test]
fn a_row_of_a_join_that_is_restored_again_while_its_round_is_written_is_not_lost() {
    let how = How {
        kind: "inner",
        within: 5,
        grace: 3,
    };
    let mut driver = how.driver(settings());
    for right in [false, true] {
        let (key, time) = (0, 200);
        let event = Sent { right, key, time };
        match right {
            false => driver.send(event.input(0)),
            true => driver.cluster.more[0].0.push(event.input(1)),
        }
    }
    driver.run_all();
    driver.fetch_from(1, 1);
    driver.turn();
    driver.commit();
    let mut task = open(&driver.topology, &driver.store, &driver.settings);
    for table in 0..2 {
        let rows: Vec<_> = driver.folded(table).into_iter().collect();
        let [(key, value)] = &rows[..] else {
            panic!("{rows:?}");
        };
        task.restore(table, key, Some(value)).unwrap();
        let (first, commit, _) = task.take_round(table, false).unwrap();
        task.restore(table, key, Some(value)).unwrap();
        task.round_done(table, commit, true);
        let (again, ..) = task.take_round(table, false).unwrap();
        assert_eq!((first.len(), again), (1, first));
    }
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

/// One event after the other, in the order they are sent; commits in between. What comes of it, and what should.
fn one_by_one(how: How, all: &[Sent], commits: bool) -> (Expected, Expected) {
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
        if commits {
            driver.commit();
        }
    }
    driver.settle();
    let kept = kept(&driver).into_iter();
    let found = Expected {
        out: results(&driver),
        kept: kept
            .map(|(side, offset)| sides[side][offset as usize])
            .collect(),
        late: driver.task.late(),
    };
    (found, oracle(how, &events))
}

macro_rules! against_the_oracle {
    ($($test:ident: $kind:literal;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(1_000))]
            $(
                #[test]
                fn $test(how in hows($kind), all in sent(), commits: bool) {
                    let (found, expected) = one_by_one(how, &all, commits);
                    prop_assert_eq!(found, expected);
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

fn side(right: bool, time: i64) -> Sent {
    Sent {
        right,
        key: 0,
        time,
    }
}

/// Within 5: at 117 the right record of 108 has gone alone, and a left one of 113 is not late.
fn half_blind() -> (How, [Sent; 4]) {
    let how = How {
        kind: "right",
        within: 5,
        grace: 0,
    };
    let all = [
        side(true, 112),
        side(true, 108),
        side(true, 117),
        side(false, 113),
    ];
    (how, all)
}

#[test]
fn a_record_that_is_not_late_meets_all_that_have_not_gone_alone() {
    let (how, all) = half_blind();
    let (found, expected) = one_by_one(how, &all, true);
    assert_eq!(found, expected);
    // 108 went alone at 114, and 113 meets the two others.
    assert_eq!((found.out.len(), found.late), (3, 1));
    // An inner join declares nothing, and loses no pair.
    let how = How {
        kind: "inner",
        ..how
    };
    let (found, expected) = one_by_one(how, &all, true);
    assert_eq!(found, expected);
    assert_eq!((found.out.len(), found.late), (3, 0));
}

#[test]
fn what_an_older_worker_sent_alone_and_dropped_is_not_sent_again() {
    let (how, all) = half_blind();
    let mut driver = how.driver(settings());
    for (n, event) in all[..3].iter().enumerate() {
        driver.cluster.more[0].0.push(event.input(n));
        driver.fetch_from(0, 1);
        driver.fetch_from(1, 1);
        driver.turn();
        driver.commit();
    }
    assert_eq!(results(&driver).len(), 1);
    // It dropped the row when it sent it, and left the cursor.
    let rows = driver.folded(1).into_keys();
    let of_108 = |row: &Vec<u8>| BufferKey::decode_ordered(&row[1..]).unwrap().1 == 108;
    let gone: Vec<_> = rows.filter(of_108).collect();
    assert_eq!(gone.len(), 1);
    driver.cluster.changelogs[1].extend(gone.into_iter().map(|row| (row, None)));
    driver.crash(true);
    driver.send(all[3].input(3));
    driver.fetch_from(1, 1);
    driver.settle();
    let pairs = results(&driver).split_off(1);
    assert_eq!(pairs.len(), 2);
    assert!(pairs.iter().all(|(pair, _)| pair.left == Some(3)));
    assert_eq!(driver.task.late(), 0);
}

/// What would not find it proves nothing.
#[cfg(feature = "mutants")]
#[test]
fn the_mutant_that_takes_partners_gone_alone_is_found() {
    use crate::mutants::{Mutant, choose};
    let (how, all) = half_blind();
    choose(Some(Mutant::Partners));
    let (found, expected) = one_by_one(how, &all, true);
    choose(None);
    assert_ne!(found, expected);
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
