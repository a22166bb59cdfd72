//! Random histories: whatever is aborted, crashes or is wiped, the committed outputs are those of a quiet run.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::driver::{Driver, Input};
use super::more_specs::{TTL, aging, rolled_up, watched};
use super::specs::*;
use crate::table::TableSpec;
use crate::topology::SubTopology;

#[derive(Clone, Debug)]
enum Step {
    Send { key: u8, jump: i64, value: i64 },
    Run(usize),
    Commit,
    Abort,
    Store,
    Crash { empty_disk: bool },
}

fn step(jump: std::ops::Range<i64>) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..6, jump, -9i64..9).prop_map(|(key, jump, value)| Step::Send { key, jump, value }),
        4 => (1usize..8).prop_map(Step::Run),
        3 => Just(Step::Commit),
        1 => Just(Step::Abort),
        2 => Just(Step::Store),
        1 => any::<bool>().prop_map(|empty_disk| Step::Crash { empty_disk }),
    ]
}

fn history<S>(steps: &[Step], cache_bytes: usize)
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    compare(&topology::<S>(), steps, cache_bytes);
}

/// Runs a history with its disturbances, and its records without; returns the quiet one.
fn compare(topology: &Arc<SubTopology>, steps: &[Step], cache_bytes: usize) -> Driver {
    let settings = crate::task::TaskSettings {
        cache_bytes,
        ..super::driver::settings()
    };
    let mut driver = Driver::with(topology.clone(), settings);
    let mut quiet = Driver::new(topology.clone());
    let mut time = 0;
    for step in steps {
        match step {
            Step::Send { key, jump, value } => {
                time += jump;
                let input = Input::reading(&format!("k{key}"), time, *value);
                driver.send(input.clone());
                quiet.send(input);
            }
            Step::Run(records) => driver.run(*records),
            Step::Commit => {
                driver.commit();
            }
            Step::Abort => driver.abort(),
            Step::Store => driver.store(),
            Step::Crash { empty_disk } => driver.crash(*empty_disk),
        }
    }
    driver.settle();
    quiet.settle();
    assert_eq!(driver.cluster.outputs, quiet.cluster.outputs);
    for table in 0..topology.tables.len() {
        assert_eq!(driver.folded(table), quiet.folded(table));
    }
    assert_eq!(driver.cluster.offset, quiet.cluster.offset);
    quiet
}

/// How many histories to try: `STREAM_HISTORIES`, else 150.
pub fn histories() -> u32 {
    let wanted = std::env::var("STREAM_HISTORIES").ok();
    wanted.and_then(|n| n.parse().ok()).unwrap_or(150)
}

/// A history written at-least-once, with crashes in the middle of commits: every window that closes undisturbed closes,
/// with at least what it has; perhaps more than once, perhaps together with another session.
fn at_least_once(topology: &Arc<SubTopology>, steps: &[(Step, usize, bool)]) {
    let settings = crate::task::TaskSettings {
        exactly_once: false,
        read_back: true,
        ..super::driver::settings()
    };
    let mut driver = Driver::with(Arc::clone(topology), settings.clone());
    let mut quiet = Driver::with(Arc::clone(topology), settings);
    let mut time = 0;
    for (step, parts, empty_disk) in steps {
        match step {
            Step::Send { key, jump, .. } => {
                time += jump;
                let input = Input::reading(&format!("k{key}"), time, 1);
                driver.send(input.clone());
                quiet.send(input);
            }
            Step::Run(records) => driver.run(*records),
            Step::Commit => {
                driver.commit();
            }
            Step::Store => driver.store(),
            Step::Abort | Step::Crash { .. } => driver.die_in_commit(*parts, *empty_disk),
        }
    }
    let last = Input::reading("last", time + 1_000, 1);
    driver.send(last.clone());
    quiet.send(last);
    driver.settle();
    quiet.settle();
    for topic in ["out", "out2"] {
        let (closed, truth) = (driver.cluster.out(topic), quiet.cluster.out(topic));
        // Rows may be ahead of the offsets: a record that is read again may then join sessions that it came too early
        // for.
        let holds = |out: &Out, has: &Out| {
            out.key == has.key
                && out.start <= has.start
                && has.end <= out.end
                && out.count >= has.count
        };
        for out in &closed {
            assert!(
                truth.iter().any(|has| holds(out, has)),
                "{out:?} is not whole: {truth:?}"
            );
        }
        for has in &truth {
            assert!(
                closed.iter().any(|out| holds(out, has)),
                "{has:?} never closed to {topic}: {closed:?}"
            );
        }
    }
}

/// Steps over more keys than the smallest cache holds rows.
fn many() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0u8..120, -9i64..12, -9i64..9).prop_map(|(key, jump, value)| Step::Send { key, jump, value }),
        4 => (1usize..12).prop_map(Step::Run),
        3 => Just(Step::Commit),
        1 => Just(Step::Abort),
        3 => Just(Step::Store),
        1 => any::<bool>().prop_map(|empty_disk| Step::Crash { empty_disk }),
    ]
}

/// A history of a table with `ttl`; a last record, far ahead, lets go of all its rows but one.
fn aged(steps: &[Step], cache_bytes: usize) -> Driver {
    let mut steps = steps.to_vec();
    steps.push(Step::Send {
        key: 0,
        jump: 10_000,
        value: 1,
    });
    let quiet = compare(&aging(), &steps, cache_bytes);
    assert_eq!(quiet.folded(0).len(), 1);
    quiet
}

/// What [`aging`] sends: for each record what its row has come to, and the sum of all rows that are there.
fn by_definition(steps: &[Step]) -> Vec<Out> {
    let mut rows: BTreeMap<String, (i64, u64, i64)> = BTreeMap::new();
    let (mut time, mut stream, mut out) = (0, i64::MIN, Vec::new());
    let last = Step::Send {
        key: 0,
        jump: 10_000,
        value: 1,
    };
    for step in steps.iter().chain([&last]) {
        let Step::Send { key, jump, value } = step else {
            continue;
        };
        time += jump;
        rows.retain(|_, (changed, ..)| changed.saturating_add(TTL) > stream);
        let key = format!("k{key}");
        if *value == 0 {
            rows.remove(&key);
        } else {
            let row = rows.entry(key.clone()).or_default();
            *row = (time.max(stream), row.1 + 1, row.2 + value);
        }
        let (_, count, sum) = rows.get(&key).copied().unwrap_or_default();
        let (all, total) = rows
            .values()
            .fold((0, 0), |(n, total), (_, _, sum)| (n + 1, total + sum));
        stream = stream.max(time);
        out.push(Out {
            key,
            start: all,
            end: total,
            count,
            sum,
        });
    }
    out
}

#[test]
fn a_window_that_nobody_is_told_of_stays_so_when_its_row_is_ahead_of_the_mark() {
    let at = |key, jump| Step::Send {
        key,
        jump,
        value: 0,
    };
    // k4 at -4, 0 and, late for its own window and for `[1, 10)`, at 3.
    let sent = [at(4, -4), at(4, 4), at(0, 15), at(4, -12), at(0, 37)];
    let mut steps: Vec<_> = sent.into_iter().map(|send| (send, 0, false)).collect();
    steps.push((Step::Run(5), 0, false));
    // Rows without the windows that are spent by then; a worker that dies before the mark.
    for empty_disk in [false, true] {
        let mut steps = steps.clone();
        steps.push((Step::Abort, 3, empty_disk));
        at_least_once(&topology::<Sliding8Grace4>(), &steps);
    }
}

/// Enough jumps back and forth for windows of this length to begin, meet and close.
const NEAR: std::ops::Range<i64> = -9..12;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(histories()))]

    #[test]
    fn crashes_and_aborts_change_nothing(steps in prop::collection::vec(step(-40..60), 1..120)) {
        history::<Tumbling7Grace3>(&steps, 1 << 20);
        history::<Hopping10By3Grace4>(&steps, 1 << 20);
        history::<Retained>(&steps, 1 << 20);
    }

    #[test]
    fn nor_does_a_cache_smaller_than_the_table(steps in prop::collection::vec(step(-40..60), 1..200)) {
        // The least a cache holds is 64 rows; hopping windows of ten by three make more.
        history::<Hopping10By3Grace4>(&steps, 0);
        history::<Retained>(&steps, 0);
    }

    #[test]
    fn sessions_and_sliding_windows_survive_it(steps in prop::collection::vec(step(NEAR), 1..120)) {
        history::<Session10Grace5>(&steps, 1 << 20);
        history::<SessionRetained>(&steps, 1 << 20);
        history::<Sliding8Grace4>(&steps, 1 << 20);
        history::<SlidingRetained>(&steps, 1 << 20);
    }

    #[test]
    fn so_do_more_of_them_than_the_cache_holds(steps in prop::collection::vec(many(), 1..300)) {
        history::<Session10Grace5>(&steps, 0);
        history::<SessionRetained>(&steps, 0);
        history::<SlidingRetained>(&steps, 0);
    }

    #[test]
    fn at_least_once_a_window_is_never_closed_with_less_than_it_has(
        steps in prop::collection::vec((step(NEAR), 0usize..6, any::<bool>()), 1..80),
    ) {
        at_least_once(&topology::<Tumbling7Grace3>(), &steps);
        at_least_once(&topology::<Session10Grace5>(), &steps);
        at_least_once(&topology::<SessionRetained>(), &steps);
        at_least_once(&topology::<Sliding8Grace4>(), &steps);
    }

    // G6: At-least-once, a commit that is cut off between two tables never makes a window of a part of its records.
    /// The changelog of one table takes the rows of a commit and that of another does not, as where a broker goes.
    #[test]
    fn at_least_once_nor_where_one_table_has_its_rows_of_a_commit_and_another_not(
        steps in prop::collection::vec((step(NEAR), 0usize..9, any::<bool>()), 1..80),
    ) {
        at_least_once(&two_tables::<Tumbling7Grace3, Tumbling20Grace3>(), &steps);
        at_least_once(&two_tables::<Session10Grace5, Sliding8Grace4>(), &steps);
        at_least_once(&two_tables::<Sliding8Grace4, Tumbling7Grace3>(), &steps);
    }

    #[test]
    fn windows_that_feed_others_survive_it(steps in prop::collection::vec(step(NEAR), 1..120)) {
        compare(&rolled_up::<Tumbling7Grace3, Session10Grace5>(), &steps, 1 << 20);
        compare(&rolled_up::<Session10Grace5, Hopping60000By60000Grace5>(), &steps, 1 << 20);
        compare(&rolled_up::<Sliding8Grace4, Sliding8Grace4Too>(), &steps, 1 << 20);
        compare(&rolled_up::<SessionRetained, Tumbling20Grace3>(), &steps, 0);
    }

    #[test]
    fn nor_does_it_show_in_what_is_read(steps in prop::collection::vec(step(NEAR), 1..120)) {
        compare(&watched::<Retained>(), &steps, 1 << 20);
        compare(&watched::<SessionRetained>(), &steps, 1 << 20);
        compare(&watched::<SlidingRetained>(), &steps, 1 << 20);
    }

    #[test]
    fn nor_when_most_of_it_is_on_disk(steps in prop::collection::vec(many(), 1..300)) {
        compare(&watched::<Retained>(), &steps, 0);
        compare(&watched::<Hopping10By3Grace4>(), &steps, 0);
        compare(&watched::<SlidingRetained>(), &steps, 0);
    }

    #[test]
    fn rows_that_live_for_so_long_survive_it(steps in prop::collection::vec(step(-4..9), 1..200)) {
        let quiet = aged(&steps, 1 << 20);
        // And they live exactly that long.
        prop_assert_eq!(quiet.cluster.out("out"), by_definition(&steps));
    }

    #[test]
    fn and_so_do_more_of_them_than_the_cache_holds(steps in prop::collection::vec(many(), 1..300)) {
        let quiet = aged(&steps, 0);
        prop_assert_eq!(quiet.cluster.out("out"), by_definition(&steps));
    }
}
