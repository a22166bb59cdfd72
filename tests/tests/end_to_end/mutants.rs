//! A known mistake that end-to-end tests find: what would not prove nothing. The other mutants are the simulations' to
//! find.

use crate::faults::closings;
use tests::broker::Broker;

#[test]
fn the_mutant_without_offsets_that_did_not_move_is_found() {
    let told = closings::told_by_a_zombie_and_its_heir(&Broker::embedded(), Some("offsets"));
    assert!(told.values().any(|times| *times > 1), "it is not found");
}
