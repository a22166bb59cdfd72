//! Transactions.

use super::*;

/// What a transaction sent and the offsets it consumed hold together: after a commit both, after an abort neither.
pub fn transaction(bootstrap: &str) {
    for commit in [true, false] {
        let (source, target) = (
            create_topic(bootstrap, "source", 1, &[]),
            create_topic(bootstrap, "target", 1, &[]),
        );
        let group = unique("transaction");
        let producing = Producing::new(bootstrap, &[]);
        (0..100).for_each(|at| producing.send(&source, 0, "k", Some(format!("{at}").as_bytes())));
        producing.flush();
        let consumer = consumer(bootstrap, &group, &[]);
        consumer.subscribe(&[&source]).expect("subscribed");
        poll_until(&consumer, LONG, |offset, _| offset == 99);
        let transaction = Producing::transactional(bootstrap, &unique("transaction"), 30_000);
        transaction.producer.begin_transaction().expect("begun");
        (0..50).for_each(|at| transaction.send(&target, 0, "k", Some(format!("{at}").as_bytes())));
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(&source, 0, Offset::Offset(50))
            .expect("an offset");
        let metadata = consumer.group_metadata().expect("the group's metadata");
        transaction
            .producer
            .send_offsets_to_transaction(&offsets, &metadata, LONG)
            .expect("offsets are sent");
        transaction.flush();
        if commit {
            transaction
                .producer
                .commit_transaction(LONG)
                .expect("committed");
        } else {
            transaction
                .producer
                .abort_transaction(LONG)
                .expect("aborted");
        }
        let committed = consumer
            .committed_offsets(partition_of(&source), LONG)
            .expect("offsets");
        let expected = if commit {
            Offset::Offset(50)
        } else {
            Offset::Invalid
        };
        assert_eq!(committed.elements()[0].offset(), expected);
        let seen = values(bootstrap, &target, Isolation::Committed).len();
        assert_eq!(seen, if commit { 50 } else { 0 });
        assert_eq!(values(bootstrap, &target, Isolation::Uncommitted).len(), 50);
        assert_eq!(
            ends(bootstrap, &target, Isolation::Committed),
            51,
            "records and a marker"
        );
    }
}

/// Many transactions of one producer, committed and aborted in turn: read_committed shows the committed ones.
pub fn transactions_in_turn(bootstrap: &str) {
    let topic = create_topic(bootstrap, "turn", 2, &[]);
    let transaction = Producing::transactional(bootstrap, &unique("turn"), 30_000);
    let mut expected = Vec::new();
    for at in 0..40 {
        transaction.producer.begin_transaction().expect("begun");
        for partition in 0..2 {
            transaction.send(&topic, partition, "k", Some(format!("{at}").as_bytes()));
        }
        transaction.flush();
        if at % 3 == 0 {
            transaction
                .producer
                .abort_transaction(LONG)
                .expect("aborted");
        } else {
            transaction
                .producer
                .commit_transaction(LONG)
                .expect("committed");
            expected.push(at.to_string());
        }
    }
    let twice = [expected.clone(), expected].concat();
    assert_eq!(values(bootstrap, &topic, Isolation::Committed), twice);
    assert_eq!(values(bootstrap, &topic, Isolation::Uncommitted).len(), 80);
}

/// While a transaction is open, read_committed ends where it begins; read_uncommitted does not.
pub fn last_stable_offset(bootstrap: &str) {
    let topic = create_topic(bootstrap, "stable", 1, &[]);
    let producing = Producing::new(bootstrap, &[]);
    (0..10).for_each(|_| producing.send(&topic, 0, "k", Some(b"a")));
    producing.flush();
    let transaction = Producing::transactional(bootstrap, &unique("stable"), 30_000);
    transaction.producer.begin_transaction().expect("begun");
    (0..5).for_each(|_| transaction.send(&topic, 0, "k", Some(b"b")));
    transaction.flush();
    (0..3).for_each(|_| producing.send(&topic, 0, "k", Some(b"c")));
    producing.flush();
    assert_eq!(ends(bootstrap, &topic, Isolation::Committed), 10);
    assert_eq!(ends(bootstrap, &topic, Isolation::Uncommitted), 18);
    assert_eq!(values(bootstrap, &topic, Isolation::Committed).len(), 10);
    transaction
        .producer
        .commit_transaction(LONG)
        .expect("committed");
    assert_eq!(ends(bootstrap, &topic, Isolation::Committed), 19);
    assert_eq!(values(bootstrap, &topic, Isolation::Committed).len(), 18);
}

/// A second producer of the same transactional id aborts the first one's transaction and shuts it out.
pub fn fencing(bootstrap: &str) {
    let (topic, id) = (create_topic(bootstrap, "fence", 1, &[]), unique("fence"));
    let old = Producing::transactional(bootstrap, &id, 30_000);
    old.producer.begin_transaction().expect("begun");
    old.send(&topic, 0, "k", Some(b"old"));
    old.flush();
    let new = Producing::transactional(bootstrap, &id, 30_000);
    old.send(&topic, 0, "k", Some(b"zombie"));
    old.settle();
    let committed = old.producer.commit_transaction(Duration::from_secs(8));
    committed.expect_err("the old producer commits after the new one has begun");
    new.producer.begin_transaction().expect("begun");
    new.send(&topic, 0, "k", Some(b"new"));
    new.flush();
    new.producer.commit_transaction(LONG).expect("committed");
    assert_eq!(values(bootstrap, &topic, Isolation::Committed), ["new"]);
}

/// A transaction that is open longer than its timeout is aborted by the broker, and its producer is told.
pub fn timeout(bootstrap: &str) {
    let topic = create_topic(bootstrap, "timeout", 1, &[]);
    let transaction = Producing::transactional(bootstrap, &unique("timeout"), 2_000);
    transaction.producer.begin_transaction().expect("begun");
    transaction.send(&topic, 0, "k", Some(b"forgotten"));
    transaction.flush();
    let producing = Producing::new(bootstrap, &[]);
    producing.send(&topic, 0, "k", Some(b"after"));
    producing.flush();
    let reader = consumer(bootstrap, &unique("timeout"), &[]);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Beginning)
        .expect("an offset");
    reader.assign(&list).expect("assigned");
    poll_until(&reader, Duration::from_secs(40), |offset, value| {
        assert_eq!((offset, value), (1, &b"after"[..]));
        true
    });
    transaction
        .producer
        .commit_transaction(Duration::from_secs(8))
        .expect_err("an aborted transaction is committed");
}
