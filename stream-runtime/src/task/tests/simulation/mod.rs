//! The simulation: the task and its tables under two workers, a broker and disks in memory, in the orders that seeds
//! decide: commits that succeed, abort or end unknown, crashes, zombies, disks that are empty, old or torn, compaction.
//! Whatever happens, outputs and tables are those of the input, by an oracle of its own.
//!
//! `STREAM_SIMULATION_SEEDS` is how many seeds are tried, `STREAM_SIMULATION_SEED` the first; each is one history. One
//! that fails is shortened to what matters and printed.

mod app;
mod cluster;
mod disk;
mod history;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};

use history::History;

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What is wrong with a history; a panic is wrong too.
fn wrong(history: &History) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| history::run(history))) {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Some(format!("panicked: {}", text.unwrap_or_default()))
        }
    }
}

/// Takes out whatever the failure does not need, larger parts first.
fn shortened(mut history: History) -> History {
    let mut part = history.happens.len() / 2;
    while part > 0 {
        let mut at = 0;
        let mut any = false;
        while at < history.happens.len() {
            let mut less = history.clone();
            let end = (at + part).min(less.happens.len());
            less.happens.drain(at..end);
            if wrong(&less).is_some() {
                history = less;
                any = true;
            } else {
                at += part;
            }
        }
        if !any || part > 1 {
            part /= 2;
        }
    }
    history
}

/// Tries seeds until one fails; returns it with its failure and shortened history.
fn first_failure(seeds: impl Iterator<Item = u64>) -> Option<(u64, String, History)> {
    for seed in seeds {
        let history = History::of(seed);
        if wrong(&history).is_some() {
            let short = shortened(history);
            let why = wrong(&short).unwrap_or_default();
            return Some((seed, why, short));
        }
    }
    None
}

#[test]
fn every_history_ends_as_its_input_says() {
    let from = number("STREAM_SIMULATION_SEED", 1);
    let count = number("STREAM_SIMULATION_SEEDS", 300);
    if let Some((seed, why, short)) = first_failure(from..from + count) {
        panic!("seed {seed}: {why}\n{short:#?}");
    }
}

/// What would not find these proves nothing.
#[cfg(feature = "mutants")]
#[test]
fn each_mutant_is_found() {
    use crate::mutants::{Mutant, choose};
    for mutant in [Mutant::Overlay, Mutant::Offsets, Mutant::Store] {
        choose(Some(mutant));
        let found = first_failure(1..10_000);
        choose(None);
        let (seed, why, short) = found.unwrap_or_else(|| panic!("{mutant:?} is not found"));
        println!("{mutant:?}, seed {seed}: {why}\n{short:#?}");
    }
}
