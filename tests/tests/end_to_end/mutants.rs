//! The verifier finds a known mistake: what would not prove nothing. The other mutants are the simulation's to find.

use std::time::Duration;
use tests::broker::Broker;
use tests::verifier::{self, At, Guarantee, Kind, Outcome, Setup};

fn verify(mutant: Option<&str>, seed: u64) -> Outcome {
    let setup = Setup {
        program: env!("CARGO_BIN_EXE_verify").into(),
        other: None,
        lasts: Duration::from_secs(45),
        seed,
        workers: 2,
        guarantee: Guarantee::ExactlyOnce,
        rate: 800,
        // A zombie whose next commit holds closed windows and no new offset.
        kinds: vec![Kind::Amid],
        env: mutant
            .map(|name| ("STREAM_MUTANT".to_owned(), name.to_owned()))
            .into_iter()
            .collect(),
        forgive: Vec::new(),
    };
    verifier::run(&setup, At::Ours(&mut Broker::embedded())).expect("it runs")
}

#[test]
fn the_mutant_without_offsets_that_did_not_move_is_found() {
    let found = (1..=5).map(|seed| verify(Some("offsets"), seed));
    let found = found.into_iter().find(|outcome| !outcome.is_ok());
    let outcome = found.expect("the mutant is not found");
    let twice = outcome.checks.iter().find(|check| check.name == "E3");
    assert!(twice.is_some_and(|check| check.differ > 0), "{outcome:#?}");
}

#[test]
fn without_a_mutant_the_same_run_is_well() {
    let outcome = verify(None, 1);
    assert!(outcome.is_ok(), "{outcome:#?}");
}
