//! Tests of groups, without a socket and with a clock of their own.

mod fixture;
mod histories;

use std::time::Duration;

use fixture::{House, JoinAnswer, commit, nobody, who};

use super::{Joined, Who};
use crate::log::Outcome;
use crate::wire::Code;

#[test]
fn two_members_share_and_one_takes_over() {
    let mut house = House::new(Duration::ZERO);
    let (first, second) = house.of_two();
    assert_eq!((house.beat(&first), house.beat(&second)), (Ok(()), Ok(())));
    house.groups.leave("g", &who(&first), house.now).unwrap();
    assert_eq!(house.beat(&first), Err(Code::UnknownMemberId));
    assert_eq!(house.beat(&second), Err(Code::RebalanceInProgress));
    let alone = house
        .ask(&second.member, None, &["range"])
        .try_recv()
        .unwrap()
        .unwrap();
    assert_eq!((alone.generation, &alone.leader), (3, &second.member));
    house.groups.leave("g", &who(&alone), house.now).unwrap();
    assert_eq!(house.state(), "Empty");
}

#[test]
fn a_silent_member_is_missed_after_its_session() {
    let mut house = House::new(Duration::ZERO);
    let (first, second) = house.of_two();
    for _ in 0..4 {
        house.pass(1500);
        let _ = house.beat(&first);
    }
    assert_eq!(house.beat(&second), Err(Code::UnknownMemberId));
    assert_eq!(house.beat(&first), Err(Code::RebalanceInProgress));
    assert!(
        house
            .ask(&first.member, None, &["range"])
            .try_recv()
            .unwrap()
            .is_ok()
    );
    let ghost = house
        .ask(&second.member, None, &["range"])
        .try_recv()
        .unwrap()
        .unwrap_err();
    assert_eq!(ghost.code, Code::UnknownMemberId);
}

#[test]
fn a_rebalance_does_not_wait_longer_than_its_timeout() {
    let mut house = House::new(Duration::ZERO);
    let first = house.of_one();
    let (_, mut second) = house.join();
    for _ in 0..10 {
        house.pass(1000);
        // Alive, but it does not join.
        let _ = house.beat(&first);
    }
    let joined = second.try_recv().unwrap().unwrap();
    assert_eq!((joined.generation, joined.members.len()), (2, 1));
    assert_eq!(house.beat(&first), Err(Code::UnknownMemberId));
}

#[test]
fn a_leader_that_never_assigns_is_removed() {
    let mut house = House::new(Duration::ZERO);
    let first = house.of_one();
    let (_, mut second) = house.join();
    let first = house
        .ask(&first.member, None, &["range"])
        .try_recv()
        .unwrap()
        .unwrap();
    let second = second.try_recv().unwrap().unwrap();
    let mut waits = house.sync(&second, &[]);
    for _ in 0..10 {
        house.pass(1000);
        let _ = house.beat(&first);
    }
    assert_eq!(waits.try_recv().unwrap(), Err(Code::RebalanceInProgress));
    assert_eq!(house.beat(&first), Err(Code::UnknownMemberId));
    assert_eq!(
        house
            .ask(&second.member, None, &["range"])
            .try_recv()
            .unwrap()
            .unwrap()
            .members
            .len(),
        1
    );
}

#[test]
fn the_first_members_may_wait_for_more() {
    let mut house = House::new(Duration::from_secs(3));
    let (_, mut first) = house.join();
    house.pass(2000);
    let (_, mut second) = house.join();
    house.pass(900);
    assert!(first.try_recv().is_err());
    house.pass(100);
    let (first, second) = (
        first.try_recv().unwrap().unwrap(),
        second.try_recv().unwrap().unwrap(),
    );
    assert_eq!(
        (
            first.generation,
            second.generation,
            first.members.len() + second.members.len()
        ),
        (1, 1, 2)
    );
}

#[test]
fn what_cannot_join_is_told_why() {
    let mut house = House::new(Duration::ZERO);
    let code = |answer: &mut JoinAnswer| answer.try_recv().unwrap().unwrap_err().code;
    assert_eq!(
        code(&mut house.ask("stranger", None, &["range"])),
        Code::UnknownMemberId
    );
    let joined = house.of_one();
    assert_eq!(
        code(&mut house.ask("stranger", None, &["range"])),
        Code::UnknownMemberId
    );
    assert_eq!(
        code(&mut house.ask("", None, &["sticky"])),
        Code::InconsistentGroupProtocol
    );
    assert_eq!(
        code(&mut house.ask(&joined.member, Some("x"), &["range"])),
        Code::UnknownMemberId
    );
    let late = Joined {
        generation: 0,
        ..joined.clone()
    };
    assert_eq!(house.beat(&late), Err(Code::IllegalGeneration));
    assert_eq!(
        house.sync(&late, &[]).try_recv().unwrap(),
        Err(Code::IllegalGeneration)
    );
}

#[test]
fn an_id_that_was_given_out_is_waited_for_only_for_a_session() {
    let mut house = House::new(Duration::ZERO);
    house
        .ask("", None, &["range"])
        .try_recv()
        .unwrap()
        .unwrap_err();
    let (_, mut second) = house.join();
    assert!(second.try_recv().is_err(), "the first id may still be used");
    house.pass(6000);
    assert!(second.try_recv().unwrap().is_ok());
}

#[test]
fn a_named_member_takes_its_place_again_without_a_rebalance() {
    let mut house = House::new(Duration::ZERO);
    let leader = house.of_one();
    let mut named = house.ask("", Some("n"), &["range"]);
    let leader = house
        .ask(&leader.member, None, &["range"])
        .try_recv()
        .unwrap()
        .unwrap();
    let named = named.try_recv().unwrap().unwrap();
    house
        .sync(&leader, &[(&leader.member, "a"), (&named.member, "b")])
        .try_recv()
        .unwrap()
        .unwrap();
    let back = house
        .ask("", Some("n"), &["range"])
        .try_recv()
        .unwrap()
        .unwrap();
    assert_eq!(back.generation, named.generation);
    assert_ne!(back.member, named.member);
    assert_eq!(
        house
            .sync(&back, &[])
            .try_recv()
            .unwrap()
            .unwrap()
            .assignment,
        "b"
    );
    let old = Who {
        instance: Some("n".into()),
        ..who(&named)
    };
    assert_eq!(
        house.groups.heartbeat("g", &old, house.now),
        Err(Code::FencedInstanceId)
    );
    assert_eq!(house.commit(old, 1), Err(Code::FencedInstanceId));
    let new = Who {
        instance: Some("n".into()),
        ..who(&back)
    };
    assert_eq!(house.commit(new, 1), Ok(()));
}

#[test]
fn only_members_of_the_generation_commit() {
    let mut house = House::new(Duration::ZERO);
    assert_eq!(house.commit(nobody(), 3), Ok(()), "nobody is a member");
    let joined = house.of_one();
    assert_eq!(house.commit(nobody(), 4), Err(Code::UnknownMemberId));
    let late = Who {
        generation: joined.generation - 1,
        ..who(&joined)
    };
    assert_eq!(house.commit(late, 4), Err(Code::IllegalGeneration));
    assert_eq!(house.commit(who(&joined), 5), Ok(()));
    let (_, _second) = house.join();
    assert_eq!(
        house.commit(who(&joined), 6),
        Ok(()),
        "a commit before it joins the next generation"
    );
    house
        .ask(&joined.member, None, &["range"])
        .try_recv()
        .unwrap()
        .unwrap();
    let next = Who {
        generation: joined.generation + 1,
        ..who(&joined)
    };
    assert_eq!(house.commit(next, 7), Err(Code::RebalanceInProgress));
    assert_eq!(house.committed(true), (6, None));
}

#[test]
fn offsets_of_a_transaction_hold_when_it_is_committed() {
    let mut house = House::new(Duration::ZERO);
    house.commit(nobody(), 3).unwrap();
    for (outcome, expected) in [(Outcome::Abort, 3), (Outcome::Commit, 9)] {
        house
            .groups
            .commit_in_transaction(commit(nobody(), 9), 7)
            .unwrap();
        for restarted in [false, true] {
            if restarted {
                house.restart();
            }
            assert_eq!(
                house.committed(true),
                (-1, Some(Code::UnstableOffsetCommit))
            );
            assert_eq!(house.committed(false), (3, None));
        }
        for _ in 0..2 {
            house
                .groups
                .end_transaction([&"g".to_owned()].into_iter(), 7, outcome)
                .unwrap();
        }
        house.restart();
        assert_eq!(house.committed(true), (expected, None));
    }
    let stale = Who {
        member: "gone".into(),
        instance: None,
        generation: 4,
    };
    assert_eq!(
        house.groups.commit_in_transaction(commit(stale, 9), 7),
        Err(Code::UnknownMemberId)
    );
}

#[test]
fn a_group_survives_a_restart() {
    let mut house = House::new(Duration::ZERO);
    let (first, second) = house.of_two();
    house.commit(who(&first), 5).unwrap();
    house.restart();
    assert_eq!(
        (house.state(), house.committed(true)),
        ("Stable", (5, None))
    );
    assert_eq!((house.beat(&first), house.beat(&second)), (Ok(()), Ok(())));
    assert_eq!(
        house
            .sync(&second, &[])
            .try_recv()
            .unwrap()
            .unwrap()
            .assignment,
        "b"
    );
    house.pass(6000);
    assert_eq!(
        house.state(),
        "Empty",
        "a whole session after the restart, and nobody was heard of"
    );
    house.restart();
    assert_eq!(
        house.of_one().generation,
        4,
        "generations are never used twice"
    );
}

#[test]
fn a_long_life_does_not_fill_the_disk() {
    let mut house = House::new(Duration::ZERO);
    for offset in 0..80_000 {
        house.commit(nobody(), offset).unwrap();
    }
    let size = std::fs::metadata(house.directory.path().join("groups.journal"))
        .unwrap()
        .len();
    assert!(size < 5 << 20, "{size}");
    house.restart();
    assert_eq!(house.committed(true), (79_999, None));
}

#[test]
fn a_group_with_members_is_not_deleted() {
    let mut house = House::new(Duration::ZERO);
    assert_eq!(house.groups.delete("g"), Err(Code::GroupIdNotFound));
    let joined = house.of_one();
    assert_eq!(house.groups.delete("g"), Err(Code::NonEmptyGroup));
    house.groups.leave("g", &who(&joined), house.now).unwrap();
    assert_eq!(house.groups.delete("g"), Ok(()));
    house.restart();
    assert_eq!(house.state(), "none");
}
