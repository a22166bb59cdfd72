//! Known mistakes that end-to-end tests and the verifier find: what would not prove nothing. The other mutants are the
//! simulations' to find.

use std::time::Duration;

use crate::faults::closings;
use tests::broker::Broker;
use tests::verifier::{self, At, Guarantee, Kind, Outcome, Setup};

#[test]
fn the_mutant_without_offsets_that_did_not_move_is_found() {
    let told = closings::told_by_a_zombie_and_its_heir(&Broker::embedded(), Some("offsets"));
    assert!(told.values().any(|times| *times > 1), "it is not found");
}

fn verify(mutant: Option<&str>, seed: u64) -> Outcome {
    let setup = Setup {
        program: env!("CARGO_BIN_EXE_verify").into(),
        other: None,
        lasts: Duration::from_secs(30),
        seed,
        workers: 2,
        guarantee: Guarantee::ExactlyOnce,
        rate: 800,
        kinds: vec![Kind::Kill, Kind::Amid, Kind::Broker],
        env: mutant
            .map(|name| ("STREAM_MUTANT".to_owned(), name.to_owned()))
            .into_iter()
            .collect(),
        forgive: Vec::new(),
    };
    verifier::run(&setup, At::Ours(&mut Broker::embedded())).expect("it runs")
}

/// Rows of work that was undone are rows of what was committed, for it.
#[test]
fn the_mutant_that_commits_rows_before_their_commit_is_found_by_the_verifier() {
    let found = (1..=5).map(|seed| verify(Some("overlay"), seed));
    let found = found.into_iter().find(|outcome| !outcome.is_ok());
    found.expect("the mutant is not found");
}

#[test]
fn without_a_mutant_the_same_run_is_well() {
    let outcome = verify(None, 1);
    assert!(outcome.is_ok(), "{outcome:#?}");
}
