//! SIGKILL at any moment, and again: what was acknowledged is there, what was not committed is not seen, and producers
//! go on where they were.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};
use tests::broker_suite::{Producing, consumer};
use tests::chaos::Chaos;
use tests::client::{self, Isolation, Sender};
use tests::killable::Killable;

const LONG: Duration = Duration::from_secs(30);

const QUICK: [(&str, &str); 2] = [
    ("reconnect.backoff.ms", "20"),
    ("reconnect.backoff.max.ms", "100"),
];

fn numbers(bootstrap: &str, topic: &str, isolation: Isolation) -> Vec<(i32, u64)> {
    let records = client::read_all(bootstrap, topic, isolation).unwrap();
    let number =
        |value: Option<Vec<u8>>| String::from_utf8(value.unwrap()).unwrap().parse().unwrap();
    records
        .into_iter()
        .map(|record| (record.partition, number(record.value)))
        .collect()
}

#[test]
fn an_open_transaction_outlives_the_broker() {
    let mut broker = Killable::start(env!("CARGO_BIN_EXE_embedded-broker"));
    let bootstrap = broker.bootstrap();
    client::create_topic(&bootstrap, "open", 1, &[]).unwrap();
    for commit in [true, false] {
        let id = format!("open-{commit}");
        let transaction = Producing::new(
            &bootstrap,
            &[
                QUICK[0],
                QUICK[1],
                ("transactional.id", &id),
                ("transaction.timeout.ms", "60000"),
            ],
        );
        transaction.producer.init_transactions(LONG).unwrap();
        transaction.producer.begin_transaction().unwrap();
        transaction.send("open", 0, "k", Some(b"1"));
        transaction.flush();
        broker.kill();
        broker.restart();
        let before = client::end_offsets(&bootstrap, "open", Isolation::Committed).unwrap()[0];
        let after = client::end_offsets(&bootstrap, "open", Isolation::Uncommitted).unwrap()[0];
        assert_eq!(after, before + 1, "it is still open");
        transaction.send("open", 0, "k", Some(b"2"));
        transaction.flush();
        if commit {
            transaction.producer.commit_transaction(LONG).unwrap();
        } else {
            transaction.producer.abort_transaction(LONG).unwrap();
        }
    }
    assert_eq!(
        numbers(&bootstrap, "open", Isolation::Committed),
        [(0, 1), (0, 2)]
    );
}

#[test]
fn a_group_keeps_its_members_and_offsets_over_a_kill() {
    let mut broker = Killable::start(env!("CARGO_BIN_EXE_embedded-broker"));
    let bootstrap = broker.bootstrap();
    client::create_topic(&bootstrap, "kept", 1, &[]).unwrap();
    let producing = Producing::new(&bootstrap, &QUICK);
    (0..10).for_each(|_| producing.send("kept", 0, "k", Some(b"v")));
    producing.flush();
    let member = consumer(&bootstrap, "kept", &QUICK);
    member.subscribe(&["kept"]).unwrap();
    let mut read = 0;
    let until = Instant::now() + LONG;
    while read < 10 {
        assert!(Instant::now() < until);
        read += member
            .poll(Duration::from_millis(50))
            .map_or(0, |record| record.map_or(0, |_| 1));
    }
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset("kept", 0, Offset::Offset(7))
        .unwrap();
    offsets
        .set_partition_offset("kept", 0, Offset::Offset(7))
        .unwrap();
    member
        .commit(&offsets, rdkafka::consumer::CommitMode::Sync)
        .unwrap();
    broker.kill();
    broker.restart();
    assert_eq!(
        client::group(&bootstrap, "kept").unwrap(),
        ("Stable".to_owned(), 1)
    );
    let committed = client::Committed::of(&bootstrap, "kept", "kept").unwrap();
    assert_eq!(committed.offsets().unwrap(), [Some(7)]);
    member
        .commit(&offsets, rdkafka::consumer::CommitMode::Sync)
        .unwrap();
}

/// How the transactions of a producer ended.
#[derive(Default)]
struct Outcomes {
    committed: Vec<u64>,
    aborted: usize,
}

/// One transaction after the other: a record to each of two partitions, and an offset that says which it was.
fn transact(bootstrap: &str, metadata: &ConsumerGroupMetadata, stop: &AtomicBool) -> Outcomes {
    let settings = [
        QUICK[0],
        QUICK[1],
        ("transactional.id", "turns"),
        ("transaction.timeout.ms", "60000"),
    ];
    let it = Producing::new(bootstrap, &settings);
    it.producer.init_transactions(LONG).unwrap();
    let mut outcomes = Outcomes::default();
    for number in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        it.producer.begin_transaction().unwrap();
        for partition in 0..2 {
            it.send(
                "transactions",
                partition,
                "k",
                Some(number.to_string().as_bytes()),
            );
        }
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset("transactions", 0, Offset::Offset(number as i64))
            .unwrap();
        let sent = it
            .producer
            .send_offsets_to_transaction(&offsets, metadata, LONG);
        it.settle();
        let ended = sent.and_then(|()| {
            if number % 5 == 0 {
                return it.producer.abort_transaction(LONG).map(|()| false);
            }
            it.producer.commit_transaction(LONG).map(|()| true)
        });
        match ended {
            Ok(true) => outcomes.committed.push(number),
            Ok(false) => outcomes.aborted += 1,
            Err(error) => {
                // The broker was away for moments only: whatever happened can be put right by the same producer.
                it.producer
                    .abort_transaction(LONG)
                    .unwrap_or_else(|again| panic!("{error}, then {again}"));
                outcomes.aborted += 1;
            }
        }
    }
    outcomes
}

/// Records one after the other as fast as they go; gives how many were sent, all of which must be delivered.
fn stream(bootstrap: &str, stop: &AtomicBool) -> u64 {
    let it = Producing::new(bootstrap, &QUICK);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        it.send("plain", 0, "k", Some(number.to_string().as_bytes()));
        number += 1;
        if number % 50 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    it.flush();
    number
}

#[test]
fn killed_ten_times_it_has_lost_nothing_that_was_acknowledged() {
    let mut broker = Killable::start(env!("CARGO_BIN_EXE_embedded-broker"));
    let bootstrap = broker.bootstrap();
    client::create_topic(&bootstrap, "transactions", 2, &[]).unwrap();
    client::create_topic(&bootstrap, "plain", 1, &[("segment.bytes", "1048576")]).unwrap();
    let group: BaseConsumer = consumer(&bootstrap, "turns", &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let spawn = |work: fn(&str, &AtomicBool) -> u64| {
        let (bootstrap, stop) = (bootstrap.clone(), stop.clone());
        std::thread::spawn(move || work(&bootstrap, &stop))
    };
    let plain = spawn(stream);
    let transactions = {
        let (bootstrap, stop, metadata) = (
            bootstrap.clone(),
            stop.clone(),
            group.group_metadata().unwrap(),
        );
        std::thread::spawn(move || transact(&bootstrap, &metadata, &stop))
    };
    for kill in 0..10u64 {
        // Irregular, but the same in every run.
        std::thread::sleep(Duration::from_millis(150 + kill * 7919 % 400));
        broker.kill();
        broker.restart();
    }
    std::thread::sleep(Duration::from_millis(300));
    stop.store(true, Ordering::Relaxed);
    let sent = plain.join().unwrap();
    let outcomes = transactions.join().unwrap();
    assert!(
        outcomes.committed.len() > 10 && outcomes.aborted > 2,
        "the test has to have something to show"
    );

    let expected: Vec<(i32, u64)> = (0..sent).map(|number| (0, number)).collect();
    assert!(
        numbers(&bootstrap, "plain", Isolation::Committed) == expected,
        "each once and in order"
    );
    let each = |partition: i32| {
        outcomes
            .committed
            .iter()
            .map(move |number| (partition, *number))
    };
    let expected: Vec<_> = each(0).chain(each(1)).collect();
    assert_eq!(
        numbers(&bootstrap, "transactions", Isolation::Committed),
        expected
    );
    let all: BTreeSet<_> = numbers(&bootstrap, "transactions", Isolation::Uncommitted)
        .into_iter()
        .collect();
    assert!(
        all.len() > expected.len(),
        "aborted records are in the log, unseen"
    );
    let stable = client::end_offsets(&bootstrap, "transactions", Isolation::Committed).unwrap();
    assert_eq!(
        stable,
        client::end_offsets(&bootstrap, "transactions", Isolation::Uncommitted).unwrap()
    );
    let committed = client::Committed::of(&bootstrap, "turns", "transactions")
        .unwrap()
        .offsets()
        .unwrap();
    assert_eq!(
        committed[0],
        outcomes.committed.last().map(|number| *number as i64)
    );
}

/// The broker is away for up to a second and a half each time, so that hundreds of records wait in the client and then
/// come as one batch behind those that were in flight.
#[test]
fn what_waited_while_the_broker_was_away_is_there_once_and_in_order() {
    const PARTITIONS: usize = 4;
    let mut broker = Killable::start(env!("CARGO_BIN_EXE_embedded-broker"));
    let bootstrap = broker.bootstrap();
    client::create_topic(&bootstrap, "queued", PARTITIONS as i32, &[]).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let feeding = {
        let (bootstrap, stop) = (bootstrap.clone(), stop.clone());
        std::thread::spawn(move || {
            let it = Sender::new(&bootstrap).unwrap();
            let mut sent = 0u64;
            while !stop.load(Ordering::Relaxed) {
                let partition = (sent % PARTITIONS as u64) as i32;
                let value = format!("{sent:060}");
                it.send(
                    "queued",
                    Some(b"a-key"),
                    Some(value.as_bytes()),
                    Some(partition),
                )
                .unwrap();
                sent += 1;
                if sent.is_multiple_of(4) {
                    std::thread::sleep(Duration::from_millis(3));
                }
            }
            // Fails where a record was not delivered, or has no offset of its own.
            it.finish().unwrap();
            sent
        })
    };
    let mut chaos = Chaos::new();
    for _ in 0..6 {
        chaos.sleep(Duration::from_millis(1200));
        broker.kill();
        chaos.sleep(Duration::from_millis(1500));
        broker.restart();
    }
    stop.store(true, Ordering::Relaxed);
    let sent = feeding.join().unwrap();
    let found = numbers(&bootstrap, "queued", Isolation::Committed);
    for partition in 0..PARTITIONS as u64 {
        let of = found.iter().filter(|(it, _)| *it as u64 == partition);
        let found: Vec<u64> = of.map(|(_, number)| *number).collect();
        let expected: Vec<u64> = (partition..sent).step_by(PARTITIONS).collect();
        let differs = found
            .iter()
            .zip(&expected)
            .position(|(one, other)| one != other);
        assert!(
            found == expected,
            "partition {partition}: {} of {} records, the first that differs is number {differs:?}",
            found.len(),
            expected.len()
        );
    }
}
