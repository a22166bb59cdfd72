//! The room against a real broker: the embedded one, or the one that `STREAM_TEST_BROKER=host:port` names.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::*;

fn broker() -> Properties {
    static EMBEDDED: OnceLock<(stream_broker::Broker, tempfile::TempDir)> = OnceLock::new();
    let address = std::env::var("STREAM_TEST_BROKER").unwrap_or_else(|_| {
        let (broker, _) = EMBEDDED.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let config = stream_broker::Config::new(dir.path());
            (stream_broker::Broker::start(config).unwrap(), dir)
        });
        broker.address().to_string()
    });
    Properties::broker(&address)
}

fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!("{name}-{nanos}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn admin(properties: &Properties) -> Admin {
    Admin::new(properties, Duration::from_secs(15)).unwrap()
}

fn topic(properties: &Properties, name: &str, partitions: i32) -> Arc<str> {
    let name = unique(name);
    let settings = TopicSettings {
        name: name.clone(),
        partitions: Some(partitions),
        replication: None,
        config: vec![],
    };
    admin(properties).create(&[settings]).unwrap();
    name.into()
}

fn record<'a>(
    topic: &'a str,
    partition: i32,
    key: &'a [u8],
    value: Option<&'a [u8]>,
) -> Outgoing<'a> {
    Outgoing {
        topic,
        partition: Some(partition),
        key: Some(key),
        value,
        timestamp: None,
        headers: None,
        slot: 0,
    }
}

type Seen = (
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    i64,
    Vec<(String, Option<Vec<u8>>)>,
);

/// Reads one queue until its end was seen and `wanted` records came.
fn drain(serve: impl Fn(), queue: &PartitionQueue, wanted: usize) -> (Vec<Seen>, i64) {
    let (mut seen, mut end, mut batch) = (Vec::new(), -1, Batch::new(64));
    let start = Instant::now();
    while seen.len() < wanted || end < 0 {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "only {} of {wanted}, end {end}",
            seen.len()
        );
        serve();
        let got = queue.read(&mut batch, |fetched| match fetched {
            Fetched::Record(r) => seen.push((
                r.offset,
                r.key.map(<[u8]>::to_vec),
                r.value.map(<[u8]>::to_vec),
                r.timestamp,
                r.headers
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                    .collect(),
            )),
            Fetched::End { offset } => end = offset,
            Fetched::Error { code, text } => panic!("{code}: {text}"),
        });
        if got == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    (seen, end)
}

#[test]
fn a_client_whose_brokers_are_gone_reads_on_when_it_is_told_of_some() {
    use rdkafka::consumer::Consumer;
    let properties = broker();
    let topic = topic(&properties, "revived", 1);
    let sender = Sender::new(&properties).unwrap();
    sender.send(record(&topic, 0, b"k", Some(b"v"))).unwrap();
    sender.flush(Duration::from_secs(10)).unwrap();
    // Nobody listens on a port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = Properties::broker(&free.local_addr().unwrap().to_string());
    drop(free);
    let reader = Reader::new(&nobody, "readers", Isolation::Committed, &Wake::new()).unwrap();
    let queues = reader
        .add(&[TopicPartitionOffset::new(Arc::clone(&topic), 0, 0)])
        .unwrap();
    let start = Instant::now();
    while reader.trouble().is_none() {
        assert!(minute(start.elapsed()), "it says nothing");
        let _ = reader.serve();
        std::thread::sleep(Duration::from_millis(20));
    }
    ffi::add_brokers(
        reader.consumer.client(),
        properties.bootstrap().unwrap_or_default(),
    );
    let (seen, _) = drain(|| drop(reader.serve()), &queues[0], 1);
    assert_eq!(seen.len(), 1);
}

/// Slow machines take more than one try.
fn minute(spent: Duration) -> bool {
    spent < Duration::from_secs(60)
}

#[test]
fn topics_are_created_seen_configured_and_deleted() {
    let properties = broker();
    let admin = admin(&properties);
    let name = unique("created");
    assert_eq!(admin.topic(&name).unwrap(), None);
    let settings = TopicSettings {
        name: name.clone(),
        partitions: Some(3),
        replication: Some(1),
        config: vec![("cleanup.policy".into(), "compact".into())],
    };
    admin.create(std::slice::from_ref(&settings)).unwrap();
    admin
        .create(&[settings])
        .expect("the second worker finds it there");
    let view = admin.topic(&name).unwrap().expect("exists");
    assert_eq!((view.partitions, view.replication), (3, 1));
    assert!(admin.topics().unwrap().contains_key(&name));
    assert_eq!(
        admin
            .config(&name)
            .unwrap()
            .get("cleanup.policy")
            .map(String::as_str),
        Some("compact")
    );
    let bad = TopicSettings {
        name: "no/slash".into(),
        partitions: Some(1),
        replication: None,
        config: vec![],
    };
    let error = admin.create(&[bad]).unwrap_err().to_string();
    assert!(error.contains("no/slash"), "{error}");
    admin.delete(&[&name]).unwrap();
    admin.delete(&[&name]).expect("gone already");
}

#[test]
fn a_record_comes_back_as_it_was_sent() {
    let properties = broker();
    let topic = topic(&properties, "roundtrip", 2);
    let sender = Sender::new(&properties).unwrap();
    sender
        .send(Outgoing {
            timestamp: Some(1_166_289_840_000),
            headers: Some(OutHeaders::new([("a", Some(&b"1"[..])), ("none", None)])),
            slot: 2,
            ..record(&topic, 1, b"power", Some(b"{}"))
        })
        .unwrap();
    sender
        .send(Outgoing {
            slot: 2,
            timestamp: Some(-5),
            ..record(&topic, 1, b"power", None)
        })
        .unwrap();
    let deliveries = sender.flush(Duration::from_secs(10)).unwrap();
    assert_eq!((deliveries.delivered, deliveries.failed), (2, 0));
    assert_eq!(deliveries.offsets, [None, Some(1)]);

    let wake = Wake::new();
    let reader = Reader::new(&properties, "readers", Isolation::Committed, &wake).unwrap();
    let queues = reader
        .add(&[TopicPartitionOffset::new(Arc::clone(&topic), 1, 0)])
        .unwrap();
    let (seen, end) = drain(|| reader.serve().unwrap(), &queues[0], 2);
    let headers = vec![
        ("a".to_owned(), Some(b"1".to_vec())),
        ("none".to_owned(), None),
    ];
    assert_eq!(
        seen[0],
        (
            0,
            Some(b"power".to_vec()),
            Some(b"{}".to_vec()),
            1_166_289_840_000,
            headers
        )
    );
    assert_eq!(seen[1], (1, Some(b"power".to_vec()), None, 1, vec![]));
    assert_eq!(end, 2);
    let both = [(Arc::clone(&topic), 0), (Arc::clone(&topic), 1)];
    assert_eq!(admin(&properties).ends(&both).unwrap(), [0, 2]);
    assert_eq!(admin(&properties).starts(&both).unwrap(), [0, 0]);
}

#[test]
fn a_queue_that_fills_wakes_the_thread() {
    let properties = broker();
    let topic = topic(&properties, "wakes", 1);
    let wake = Wake::new();
    let reader = Reader::new(&properties, "readers", Isolation::Committed, &wake).unwrap();
    let first = reader
        .add(&[TopicPartitionOffset::new(Arc::clone(&topic), 0, 0)])
        .unwrap();
    drain(|| reader.serve().unwrap(), &first[0], 0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    // Take the wake-ups of what was read so far.
    runtime.block_on(async {
        while tokio::time::timeout(Duration::from_millis(300), wake.wait())
            .await
            .is_ok()
        {}
    });
    let sender = Sender::new(&properties).unwrap();
    sender.send(record(&topic, 0, b"k", Some(b"v"))).unwrap();
    sender.flush(Duration::from_secs(10)).unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(5), wake.wait())
            .await
            .expect("the queue wakes the thread");
    });
    assert_eq!(drain(|| reader.serve().unwrap(), &first[0], 1).0.len(), 1);
}

fn wait_for<T>(consumer: &GroupConsumer, mut want: impl FnMut(GroupEvent) -> Option<T>) -> T {
    let start = Instant::now();
    let mut events = Vec::new();
    loop {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "no such event of the group"
        );
        consumer.events(&mut events);
        for event in events.drain(..) {
            if let Some(found) = want(event) {
                return found;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn assigned(event: GroupEvent) -> Option<Vec<TopicPartition>> {
    match event {
        GroupEvent::Assigned(partitions) => Some(partitions),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_transaction_commits_outputs_and_offsets_or_neither() {
    let properties = broker();
    let input = topic(&properties, "in", 1);
    let output = topic(&properties, "out", 1);
    let group = unique("group");
    let sender = Sender::new(&properties).unwrap();
    for _ in 0..10 {
        sender.send(record(&input, 0, b"k", Some(b"v"))).unwrap();
    }
    sender.flush(Duration::from_secs(10)).unwrap();

    let wake = Wake::new();
    let member = GroupConsumer::new(&properties, &group, None, None, &wake).unwrap();
    assert!(!member.token().is_some_and(|token| token.is_member()));
    member.subscribe(&[&input]).unwrap();
    let mine = wait_for(&member, assigned);
    assert_eq!(mine, [(Arc::clone(&input), 0)]);
    assert!(member.token().unwrap().is_member());
    let committed = admin(&properties).committed(&group, &mine).unwrap();
    assert_eq!(committed[0].offset, None);
    let queues = member
        .assign(&[TopicPartitionOffset::new(Arc::clone(&input), 0, 0)])
        .unwrap();
    let serve = || member.events(&mut Vec::new());
    assert_eq!(drain(serve, &queues[0], 10).0.len(), 10);

    let producer = TransactionalProducer::new(&properties, &unique("tx")).unwrap();
    again(minute, || producer.init()).unwrap();
    let run = |commit: bool, offset: i64| {
        producer.begin().unwrap();
        producer
            .send(Outgoing {
                slot: 1,
                ..record(&output, 0, b"o", Some(b"v"))
            })
            .unwrap();
        let deliveries = producer.settle(|| true).unwrap();
        assert_eq!((deliveries.delivered, deliveries.failed), (1, 0));
        producer
            .send_offsets(
                &[(
                    TopicPartitionOffset::new(Arc::clone(&input), 0, offset),
                    "marks".to_owned(),
                )],
                &member,
                || true,
            )
            .unwrap();
        if commit {
            again(minute, || producer.commit()).unwrap();
        } else {
            again(minute, || producer.abort()).unwrap();
        }
        deliveries.offsets[0].unwrap()
    };
    assert_eq!(run(false, 4), 0);
    let lookup = || {
        admin(&properties)
            .committed(&group, &mine)
            .unwrap()
            .remove(0)
    };
    assert_eq!(lookup().offset, None);
    let at = run(true, 7);
    assert_eq!(
        (lookup().offset, lookup().metadata.as_str()),
        (Some(7), "marks")
    );

    // The end lies behind the commit's marker, which is not a record.
    let reader = Reader::new(&properties, &group, Isolation::Committed, &wake).unwrap();
    let out = reader
        .add(&[TopicPartitionOffset::new(Arc::clone(&output), 0, 0)])
        .unwrap();
    let (seen, end) = drain(|| reader.serve().unwrap(), &out[0], 1);
    assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [at]);
    assert_eq!(
        admin(&properties)
            .ends(&[(Arc::clone(&output), 0)])
            .unwrap(),
        [end]
    );

    // An open transaction: the end moves, the stable end does not.
    producer.begin().unwrap();
    producer.send(record(&output, 0, b"o", Some(b"v"))).unwrap();
    producer.settle(|| true).unwrap();
    let both = [(Arc::clone(&output), 0)];
    assert_eq!(admin(&properties).ends(&both).unwrap(), [end + 1]);
    assert_eq!(
        admin(&properties)
            .ends_as(Isolation::Committed, &both)
            .unwrap(),
        [end]
    );
    again(minute, || producer.abort()).unwrap();

    // Back to an earlier place.
    member
        .seek(&[TopicPartitionOffset::new(Arc::clone(&input), 0, 3)])
        .unwrap();
    let (again, _) = drain(serve, &queues[0], 7);
    assert_eq!(
        again.iter().map(|s| s.0).collect::<Vec<_>>(),
        (3..10).collect::<Vec<_>>()
    );

    // Leaving: the revocation is answered, then the drop is quick.
    drop(queues);
    member.unsubscribe();
    let lost = wait_for(&member, |event| match event {
        GroupEvent::Revoked { lost, .. } => Some(lost),
        _ => None,
    });
    assert!(!lost);
    member.unassign().unwrap();
    // librdkafka leaves on a thread of its own.
    let start = Instant::now();
    while member.token().is_some_and(|token| token.is_member()) {
        assert!(start.elapsed() < Duration::from_secs(10), "still a member");
        let mut events = Vec::new();
        member.events(&mut events);
        std::thread::sleep(Duration::from_millis(5));
    }
    let error = producer
        .send_offsets(
            &[(
                TopicPartitionOffset::new(Arc::clone(&input), 0, 9),
                String::new(),
            )],
            &member,
            || true,
        )
        .unwrap_err();
    assert_eq!(error.kind(), FaultKind::Lost, "{error}");
    let start = Instant::now();
    drop(member);
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "closing took {:?}",
        start.elapsed()
    );
}

#[test]
fn two_members_share_and_one_hands_over() {
    let mut properties = broker();
    properties.set("session.timeout.ms", "2000").unwrap();
    properties.set("heartbeat.interval.ms", "500").unwrap();
    let input = topic(&properties, "shared", 2);
    let group = unique("group");
    let wake = Wake::new();
    let first = GroupConsumer::new(&properties, &group, None, None, &wake).unwrap();
    first.subscribe(&[&input]).unwrap();
    let mine = wait_for(&first, assigned);
    assert_eq!(mine.len(), 2);
    let places: Vec<TopicPartitionOffset> = mine
        .iter()
        .map(|(t, p)| TopicPartitionOffset::new(Arc::clone(t), *p, 0))
        .collect();
    drop(first.assign(&places).unwrap());

    let second = GroupConsumer::new(&properties, &group, None, None, &wake).unwrap();
    second.subscribe(&[&input]).unwrap();
    let gone = wait_for(&first, |event| match event {
        GroupEvent::Revoked { partitions, lost } => Some((partitions.len(), lost)),
        other => panic!("{other:?}"),
    });
    assert_eq!(gone, (2, false));
    first.unassign().unwrap();
    let (start, mut shares) = (Instant::now(), [0, 0]);
    while shares != [1, 1] {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "shares {shares:?}"
        );
        for (member, share) in [&first, &second].into_iter().zip(&mut shares) {
            let mut events = Vec::new();
            member.events(&mut events);
            for event in events {
                *share = assigned(event).map_or(0, |mine| mine.len());
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(admin(&properties).members(&group).unwrap(), 2);
    // Dropped while an assignment waits for its answer: closes all the same.
    let start = Instant::now();
    drop(second);
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "closing took {:?}",
        start.elapsed()
    );
    drop(first);
    let one = [(
        TopicPartitionOffset::new(Arc::clone(&input), 0, 5),
        String::new(),
    )];
    admin(&properties).set_committed(&group, &one).unwrap();
    assert_eq!(
        admin(&properties).committed(&group, &[(input, 0)]).unwrap()[0].offset,
        Some(5)
    );
}

#[test]
fn a_second_producer_with_the_id_fences_the_first() {
    let properties = broker();
    let output = topic(&properties, "fenced", 1);
    let input = topic(&properties, "fenced-in", 1);
    let (id, wake) = (unique("tx"), Wake::new());
    let member = GroupConsumer::new(&properties, &unique("group"), None, None, &wake).unwrap();
    member.subscribe(&[&input]).unwrap();
    wait_for(&member, assigned);
    let first = TransactionalProducer::new(&properties, &id).unwrap();
    again(minute, || first.init()).unwrap();
    first.begin().unwrap();
    first.send(record(&output, 0, b"k", Some(b"old"))).unwrap();
    first.settle(|| true).unwrap();
    let second = TransactionalProducer::new(&properties, &id).unwrap();
    again(minute, || second.init()).unwrap();
    let error = first
        .send_offsets(
            &[(
                TopicPartitionOffset::new(Arc::clone(&input), 0, 0),
                String::new(),
            )],
            &member,
            || true,
        )
        .and_then(|()| again(minute, || first.commit()))
        .unwrap_err();
    assert_eq!(error.kind(), FaultKind::Fatal, "{error}");
}

#[test]
fn records_too_large_and_offsets_out_of_range_are_told() {
    let properties = broker();
    let topic = topic(&properties, "limits", 1);
    let sender = Sender::new(&properties).unwrap();
    let large = vec![b'x'; 2 << 20];
    let error = sender
        .send(record(&topic, 0, b"big", Some(&large)))
        .unwrap_err();
    assert_eq!(error.kind(), FaultKind::Record);
    assert!(
        error.to_string().contains("\"big\"") && error.to_string().contains("2097155"),
        "{error}"
    );

    let (wake, mut batch) = (Wake::new(), Batch::new(4));
    let reader = Reader::new(&properties, "readers", Isolation::Committed, &wake).unwrap();
    let queues = reader
        .add(&[TopicPartitionOffset::new(topic, 0, 17)])
        .unwrap();
    let (start, mut told) = (Instant::now(), None);
    while told.is_none() && start.elapsed() < Duration::from_secs(20) {
        let _ = reader.serve();
        queues[0].read(&mut batch, |fetched| {
            if let Fetched::Error { code, .. } = fetched {
                told = Some(Fault::of_code("read", code));
            }
        });
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(told.expect("an error").is_out_of_range());
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let admin = Admin::new(&Properties::broker("127.0.0.1:1"), Duration::from_secs(2)).unwrap();
    let fault = admin.topics().unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Retriable, "{fault}");
    assert!(fault.to_string().contains("127.0.0.1:1"), "{fault}");
}

/// A commit that fails at its last row is aborted while the rows before it are on their way: librdkafka's abort waits
/// until all delivery reports have been taken, and for ever when nobody takes them.
#[test]
fn a_transaction_whose_reports_nobody_has_taken_can_be_aborted() {
    let properties = broker();
    let output = topic(&properties, "unsettled", 1);
    let large = vec![b'v'; 2_000_000];
    let (ends, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let producer = TransactionalProducer::new(&properties, &unique("tx")).unwrap();
        again(minute, || producer.init()).unwrap();
        for answered in [false, true] {
            producer.begin().unwrap();
            for _ in 0..100 {
                producer.send(record(&output, 0, b"o", Some(b"v"))).unwrap();
            }
            if answered {
                std::thread::sleep(Duration::from_millis(300));
            }
            let error = producer
                .send(record(&output, 0, b"o", Some(&large)))
                .unwrap_err();
            assert_eq!(error.kind(), FaultKind::Record, "{error}");
            again(minute, || producer.abort()).unwrap();
        }
        // It goes on as if nothing had been.
        producer.begin().unwrap();
        producer.send(record(&output, 0, b"o", Some(b"v"))).unwrap();
        let deliveries = producer.settle(|| true).unwrap();
        again(minute, || producer.commit()).unwrap();
        ends.send((deliveries.delivered, deliveries.failed))
            .unwrap();
    });
    let counts = ended.recv_timeout(Duration::from_secs(30));
    assert_eq!(counts, Ok((1, 0)), "the abort does not come back");
}
