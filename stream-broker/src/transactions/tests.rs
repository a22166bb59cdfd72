//! Tests of transactions, without a socket and with a clock of their own.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;

use super::{Effects, Producer, Transactions};
use crate::groups::Place;
use crate::log::Outcome;
use crate::wire::Code;

/// Writes down what it is told; fails when told to.
#[derive(Default)]
struct Told {
    admitted: RefCell<Vec<(String, Producer)>>,
    ended: RefCell<Vec<(String, i16, Outcome)>>,
    offsets: RefCell<Vec<(String, Outcome)>>,
    full: RefCell<bool>,
}

impl Effects for Told {
    fn exists(&self, _: &Place) -> bool {
        true
    }

    fn admit(&self, place: &Place, producer: Producer) {
        self.admitted.borrow_mut().push((place.0.clone(), producer));
    }

    fn end(&self, place: &Place, producer: Producer, outcome: Outcome) -> io::Result<()> {
        if *self.full.borrow() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.ended
            .borrow_mut()
            .push((place.0.clone(), producer.epoch, outcome));
        Ok(())
    }

    fn end_offsets(
        &self,
        groups: &BTreeSet<String>,
        _: Producer,
        outcome: Outcome,
    ) -> io::Result<()> {
        self.offsets
            .borrow_mut()
            .extend(groups.iter().map(|group| (group.clone(), outcome)));
        Ok(())
    }
}

struct House {
    directory: tempfile::TempDir,
    told: Told,
    transactions: Transactions,
}

impl House {
    fn new() -> Self {
        let (directory, told) = (tempfile::tempdir().unwrap(), Told::default());
        let transactions = Transactions::open(directory.path(), &told, 0).unwrap();
        Self {
            directory,
            told,
            transactions,
        }
    }

    fn restart(&mut self, now: i64) {
        self.told.admitted.borrow_mut().clear();
        self.transactions = Transactions::open(self.directory.path(), &self.told, now).unwrap();
    }

    fn init(&mut self, current: Option<Producer>) -> Result<Producer, Code> {
        self.transactions.init("id", 1000, current, &self.told)
    }

    fn add(&mut self, producer: Producer, topic: &str) -> Result<(), Code> {
        self.transactions
            .add_partitions("id", producer, vec![(topic.into(), 0)], &self.told, 0)
    }

    fn end(&mut self, producer: Producer, commit: bool) -> Result<(), Code> {
        self.transactions.end("id", producer, commit, &self.told)
    }

    fn ended(&self) -> Vec<(String, i16, Outcome)> {
        self.told.ended.take()
    }
}

#[test]
fn a_transaction_ends_everywhere_it_went() {
    for commit in [true, false] {
        let mut house = House::new();
        let outcome = if commit {
            Outcome::Commit
        } else {
            Outcome::Abort
        };
        let producer = house.init(None).unwrap();
        assert_eq!(
            house.end(producer, commit),
            Err(Code::InvalidTxnState),
            "nothing has begun"
        );
        house.add(producer, "a").unwrap();
        house.add(producer, "b").unwrap();
        house
            .transactions
            .add_group("id", producer, "g", 0)
            .unwrap();
        assert_eq!(
            house.transactions.check_offsets("id", producer, "g"),
            Ok(())
        );
        assert_eq!(
            house.transactions.check_offsets("id", producer, "h"),
            Err(Code::InvalidTxnState)
        );
        house.end(producer, commit).unwrap();
        assert_eq!(
            house.ended(),
            [("a".into(), 0, outcome), ("b".into(), 0, outcome)]
        );
        assert_eq!(house.told.offsets.take(), [("g".into(), outcome)]);
        assert_eq!(
            house.end(producer, commit),
            Ok(()),
            "the answer was lost and it asks again"
        );
        assert_eq!(house.end(producer, !commit), Err(Code::InvalidTxnState));
        assert_eq!(house.ended(), []);
        house.add(producer, "a").unwrap();
        house.end(producer, true).unwrap();
        assert_eq!(
            house.ended(),
            [("a".into(), 0, Outcome::Commit)],
            "same producer, same epoch"
        );
    }
}

#[test]
fn a_new_producer_shuts_out_the_old_one() {
    let mut house = House::new();
    let old = house.init(None).unwrap();
    house.add(old, "a").unwrap();
    let new = house.init(None).unwrap();
    assert_eq!((new.id, new.epoch), (old.id, 2));
    assert_eq!(house.ended(), [("a".into(), 1, Outcome::Abort)]);
    assert_eq!(house.end(old, true), Err(Code::ProducerFenced));
    assert_eq!(house.add(old, "a"), Err(Code::ProducerFenced));
    assert_eq!(
        house.transactions.add_group("id", old, "g", 0),
        Err(Code::ProducerFenced)
    );
    assert_eq!(
        house.transactions.check_offsets("id", old, "g"),
        Err(Code::InvalidProducerEpoch)
    );
    assert_eq!(
        house.add(Producer { id: 99, epoch: 0 }, "a"),
        Err(Code::InvalidProducerIdMapping)
    );
    house.add(new, "a").unwrap();
    house.end(new, true).unwrap();
    house.restart(0);
    assert_eq!(
        house.init(None).unwrap(),
        Producer {
            id: old.id,
            epoch: 3
        }
    );
}

#[test]
fn a_producer_may_raise_its_own_epoch_once_per_answer() {
    let mut house = House::new();
    let first = house.init(None).unwrap();
    let second = house.init(Some(first)).unwrap();
    assert_eq!(
        second,
        Producer {
            id: first.id,
            epoch: 1
        }
    );
    assert_eq!(
        house.init(Some(first)).unwrap(),
        second,
        "the answer was lost"
    );
    let third = house.init(None).unwrap();
    assert_eq!(house.init(Some(first)), Err(Code::ProducerFenced));
    assert_eq!(house.init(Some(second)), Err(Code::ProducerFenced));
    assert_eq!(
        house.init(Some(Producer { id: 99, epoch: 0 })),
        Err(Code::ProducerFenced)
    );
    assert_eq!(house.init(Some(third)).unwrap().epoch, 3);
}

#[test]
fn epochs_run_out_and_a_new_id_follows() {
    let mut house = House::new();
    let mut producer = house.init(None).unwrap();
    let first = producer;
    while producer.id == first.id {
        let next = house.init(None).unwrap();
        assert!(next.id != producer.id || next.epoch == producer.epoch + 1);
        producer = next;
    }
    assert_eq!(producer.epoch, 0);
}

#[test]
fn an_open_transaction_outlives_a_restart_and_not_its_timeout() {
    let mut house = House::new();
    let producer = house.init(None).unwrap();
    house.add(producer, "a").unwrap();
    house.restart(1000);
    assert_eq!(house.told.admitted.take(), [("a".into(), producer)]);
    assert_eq!(house.ended(), []);
    assert!(house.transactions.unfinished().contains(&producer.id));
    house.transactions.tick(&house.told, 1001);
    assert_eq!(house.ended(), [("a".into(), 1, Outcome::Abort)]);
    assert_eq!(house.end(producer, true), Err(Code::ProducerFenced));
}

#[test]
fn an_end_that_was_decided_is_carried_out_when_there_is_room_or_after_a_restart() {
    for restarts in [true, false] {
        let mut house = House::new();
        let producer = house.init(None).unwrap();
        house.add(producer, "a").unwrap();
        *house.told.full.borrow_mut() = true;
        assert_eq!(house.end(producer, true), Ok(()));
        assert_eq!(house.end(producer, true), Err(Code::ConcurrentTransactions));
        assert_eq!(house.add(producer, "b"), Err(Code::ConcurrentTransactions));
        assert_eq!(house.ended(), []);
        *house.told.full.borrow_mut() = false;
        if restarts {
            house.restart(0);
        } else {
            house.transactions.tick(&house.told, 0);
        }
        assert_eq!(house.ended(), [("a".into(), 0, Outcome::Commit)]);
        assert_eq!(house.add(producer, "b"), Ok(()));
    }
}

#[test]
fn ids_are_never_given_twice() {
    let mut house = House::new();
    let mut seen = BTreeSet::new();
    for _ in 0..5 {
        for _ in 0..700 {
            assert!(seen.insert(house.transactions.new_producer().unwrap().id));
        }
        house.restart(0);
    }
}

#[test]
fn timeouts_have_bounds() {
    let mut house = House::new();
    for (timeout, expected) in [
        (0, false),
        (-1, false),
        (1, true),
        (900_000, true),
        (900_001, false),
    ] {
        let result = house.transactions.init("id", timeout, None, &house.told);
        assert_eq!(result.is_ok(), expected, "{timeout}: {result:?}");
    }
    let nameless = house.transactions.init("", 1000, None, &house.told);
    assert_eq!(nameless, Err(Code::InvalidRequest));
}

#[test]
fn a_long_life_does_not_fill_the_disk() {
    let mut house = House::new();
    let producer = house.init(None).unwrap();
    for _ in 0..20_000 {
        house.add(producer, "a").unwrap();
        house.end(producer, true).unwrap();
    }
    let size = std::fs::metadata(house.directory.path().join("transactions.journal"))
        .unwrap()
        .len();
    assert!(size < 5 << 20, "{size}");
    house.restart(0);
    assert_eq!(house.add(producer, "a"), Ok(()));
}
