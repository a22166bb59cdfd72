//! A short run of the end-to-end verifier: every kind of fault, then every output compared with a replay of the input.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tests::broker::{Broker, SharedApache};
use tests::chaos::Chaos;
use tests::verifier::{self, At, Check, Guarantee, Kind, Setup};

/// One run at a time: beside others a worker on a small machine is too late for some faults while input is left.
static TURN: Mutex<()> = Mutex::new(());

fn verify(broker: &mut Broker, guarantee: Guarantee, kinds: &[Kind], seconds: u64) {
    let setup = Setup {
        program: env!("CARGO_BIN_EXE_verify").into(),
        other: None,
        lasts: Duration::from_secs(seconds),
        seed: Chaos::new().below(1 << 32),
        workers: 2,
        guarantee,
        rate: 1_200,
        kinds: kinds.to_vec(),
        env: Vec::new(),
        forgive: Vec::new(),
    };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = verifier::run(&setup, At::Ours(broker)).unwrap();
    // By chance the store that a kill leaves is none that a worker reads again: longer runs must have some.
    let is_ok = |check: &Check| check.is_ok() || (check.name == "E6" && check.differ == 0);
    let all_ok = outcome.problems.is_empty() && outcome.checks.iter().all(is_ok);
    assert!(all_ok, "{outcome:#?}");
}

#[test]
fn exactly_once_on_the_embedded_broker() {
    verify(&mut Broker::embedded(), Guarantee::ExactlyOnce, &[], 40);
}

// G2: Every window closes once, also where workers and the broker are killed while it closes.
#[test]
fn exactly_once_on_apache_kafka() {
    let Some(mut broker) = SharedApache::take() else {
        return;
    };
    // Its restart takes too long for a short run.
    let kinds = [Kind::Kill, Kind::Freeze, Kind::Amid, Kind::Join];
    verify(&mut broker, Guarantee::ExactlyOnce, &kinds, 40);
}

// G5: At-least-once, no record is lost, whatever crashes.
#[test]
fn at_least_once_on_the_embedded_broker() {
    verify(&mut Broker::embedded(), Guarantee::AtLeastOnce, &[], 40);
}
