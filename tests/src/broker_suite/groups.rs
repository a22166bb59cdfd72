//! Consumer groups.

use super::*;

fn assigned(consumer: &BaseConsumer) -> Vec<i32> {
    let assignment = consumer.assignment().expect("an assignment");
    assignment
        .elements()
        .iter()
        .map(|element| element.partition())
        .collect()
}

/// Two members share a group's partitions; the offsets they commit are there for the one that stays.
pub fn group(bootstrap: &str) {
    let (topic, group) = (create_topic(bootstrap, "group", 4, &[]), unique("group"));
    let producing = Producing::new(bootstrap, &[]);
    (0..400).for_each(|at| producing.send(&topic, at % 4, "k", Some(b"v")));
    producing.flush();
    let (first, second) = (
        consumer(bootstrap, &group, &[]),
        consumer(bootstrap, &group, &[]),
    );
    first.subscribe(&[&topic]).expect("subscribed");
    second.subscribe(&[&topic]).expect("subscribed");
    let until = Instant::now() + Duration::from_secs(40);
    while assigned(&first).len() != 2 || assigned(&second).len() != 2 {
        assert!(
            Instant::now() < until,
            "not shared: {:?} {:?}",
            assigned(&first),
            assigned(&second)
        );
        first.poll(Duration::from_millis(10));
        second.poll(Duration::from_millis(10));
    }
    let mut all = [assigned(&first), assigned(&second)].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    assert_eq!(
        client::group(bootstrap, &group).expect("described"),
        ("Stable".to_owned(), 2)
    );
    for member in [&first, &second] {
        let mut offsets = TopicPartitionList::new();
        for partition in assigned(member) {
            let offset = Offset::Offset(10 + i64::from(partition));
            offsets
                .add_partition_offset(&topic, partition, offset)
                .expect("an offset");
        }
        member
            .commit(&offsets, CommitMode::Sync)
            .expect("committed");
    }
    drop(second);
    let until = Instant::now() + Duration::from_secs(20);
    while assigned(&first).len() != 4 {
        assert!(
            Instant::now() < until,
            "the one that left is missed: {:?}",
            assigned(&first)
        );
        first.poll(Duration::from_millis(10));
    }
    let committed = first.committed(LONG).expect("offsets");
    let offsets: Vec<_> = committed
        .elements()
        .iter()
        .map(|element| element.offset())
        .collect();
    assert_eq!(offsets, [10, 11, 12, 13].map(Offset::Offset));
}

/// A member that is not one any more cannot commit, neither alone nor within a transaction.
pub fn stale_member(bootstrap: &str) {
    let (topic, group) = (create_topic(bootstrap, "stale", 1, &[]), unique("stale"));
    let producing = Producing::new(bootstrap, &[]);
    producing.send(&topic, 0, "k", Some(b"v"));
    producing.flush();
    let first = consumer(bootstrap, &group, &[]);
    first.subscribe(&[&topic]).expect("subscribed");
    poll_until(&first, LONG, |_, _| true);
    let metadata = first.group_metadata().expect("the group's metadata");
    first.unsubscribe();
    let until = Instant::now() + LONG;
    while client::group(bootstrap, &group).expect("described").0 != "Empty" {
        assert!(Instant::now() < until, "the group does not become empty");
        first.poll(Duration::from_millis(20));
    }
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset(&topic, 0, Offset::Offset(1))
        .expect("an offset");
    let transaction = Producing::transactional(bootstrap, &unique("stale"), 30_000);
    transaction.producer.begin_transaction().expect("begun");
    let sent = transaction
        .producer
        .send_offsets_to_transaction(&offsets, &metadata, LONG);
    let error = sent.expect_err("a member that has left sends offsets");
    let code = error.rdkafka_error_code();
    assert!(
        matches!(
            code,
            Some(RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::IllegalGeneration)
        ),
        "{error:?}"
    );
    transaction
        .producer
        .abort_transaction(LONG)
        .expect("aborted");
    let none = consumer(bootstrap, &group, &[])
        .committed_offsets(partition_of(&topic), LONG)
        .expect("offsets");
    assert_eq!(none.elements()[0].offset(), Offset::Invalid);
}
