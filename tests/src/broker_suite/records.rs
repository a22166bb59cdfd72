//! Topics and their records.

use super::*;

/// Time in which a topic is to be cleaned twice. Kafka's cleaner begins every 15 s, and on a busy machine takes its
/// time.
const CLEANED: Duration = Duration::from_secs(180);

/// Topics are created with their configuration, once, and show it; what is wrong is refused.
pub fn create(bootstrap: &str) {
    let topic = create_topic(
        bootstrap,
        "create",
        4,
        &[("cleanup.policy", "compact"), ("retention.ms", "100000")],
    );
    assert_eq!(client::partitions(bootstrap, &topic).expect("metadata"), 4);
    assert_eq!(
        try_create(bootstrap, &topic, 4, &[]),
        Err(RDKafkaErrorCode::TopicAlreadyExists)
    );
    assert_eq!(
        try_create(bootstrap, "no spaces", 1, &[]),
        Err(RDKafkaErrorCode::InvalidTopic)
    );
    assert_eq!(
        try_create(bootstrap, &unique("none"), 0, &[]),
        Err(RDKafkaErrorCode::InvalidPartitions)
    );
    let wrong = try_create(
        bootstrap,
        &unique("wrong"),
        1,
        &[("cleanup.policy", "shrink")],
    );
    assert_eq!(wrong, Err(RDKafkaErrorCode::InvalidConfig));
    let resource = rdkafka::admin::ResourceSpecifier::Topic(&topic);
    let described = block_on(admin(bootstrap).describe_configs([&resource], &AdminOptions::new()))
        .expect("an answer");
    let config = described
        .into_iter()
        .next()
        .expect("one result")
        .expect("a configuration");
    let value = |name: &str| config.get(name).and_then(|entry| entry.value.clone());
    assert_eq!(value("cleanup.policy").as_deref(), Some("compact"));
    assert_eq!(value("retention.ms").as_deref(), Some("100000"));
    assert_eq!(value("delete.retention.ms").as_deref(), Some("86400000"));
    client::delete_topics(bootstrap, &[&topic]).expect("the topic is deleted");
}

/// Many records over four partitions are all delivered, and all read back in order.
pub fn produce_and_consume(bootstrap: &str) {
    const RECORDS: usize = 100_000;
    let topic = create_topic(bootstrap, "produce", 4, &[]);
    let producing = Producing::new(bootstrap, &[("batch.num.messages", "10000")]);
    for at in 0..RECORDS {
        let value = format!("{{\"datetime\":\"2006-12-16T17:24:00Z\",\"voltage\":{at:>6}}}");
        producing.send(&topic, (at % 4) as i32, "meter", Some(value.as_bytes()));
    }
    producing.flush();
    let records =
        client::read_all(bootstrap, &topic, Isolation::Committed).expect("the topic is read");
    assert_eq!(records.len(), RECORDS);
    for (at, record) in records.iter().enumerate() {
        let (partition, offset) = (at / (RECORDS / 4), at % (RECORDS / 4));
        assert_eq!(
            (record.partition as usize, record.offset as usize),
            (partition, offset)
        );
        assert_eq!(
            record.json()["voltage"].as_u64(),
            Some((4 * offset + partition) as u64)
        );
    }
}

/// A record larger than the topic allows is refused by name, and the next one is taken.
pub fn too_large(bootstrap: &str) {
    let topic = create_topic(bootstrap, "large", 1, &[("max.message.bytes", "10000")]);
    let producing = Producing::new(bootstrap, &[("message.max.bytes", "4000000")]);
    producing.send(&topic, 0, "k", Some(&[b'x'; 20_000]));
    let until = Instant::now() + LONG;
    while producing.producer.in_flight_count() > 0 && Instant::now() < until {
        producing.producer.poll(Duration::from_millis(10));
    }
    assert_eq!(
        producing.undelivered.codes(),
        [RDKafkaErrorCode::MessageSizeTooLarge]
    );
    let producing = Producing::new(bootstrap, &[]);
    producing.send(&topic, 0, "k", Some(b"small"));
    producing.flush();
    assert_eq!(values(bootstrap, &topic, Isolation::Committed), ["small"]);
}

/// Records are deleted up to an offset.
pub fn delete_records(bootstrap: &str) {
    let topic = create_topic(bootstrap, "delete", 1, &[]);
    let producing = Producing::new(bootstrap, &[]);
    (0..100).for_each(|at| producing.send(&topic, 0, "k", Some(format!("{at}").as_bytes())));
    producing.flush();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(60))
        .expect("an offset");
    let deleted =
        block_on(admin(bootstrap).delete_records(&list, &AdminOptions::new())).expect("an answer");
    assert_eq!(deleted.elements()[0].offset(), Offset::Offset(60));
    assert!(deleted.elements()[0].error().is_ok());
    let bounds = consumer(bootstrap, "bounds", &[])
        .fetch_watermarks(&topic, 0, LONG)
        .expect("bounds");
    assert_eq!(bounds, (60, 100));
    let left: Vec<String> = (60..100).map(|at: i32| at.to_string()).collect();
    assert_eq!(values(bootstrap, &topic, Isolation::Committed), left);
}

/// Compaction keeps the last record of each key, and in the end removes keys with a tombstone.
pub fn compaction(bootstrap: &str) {
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1048576"),
        ("segment.ms", "500"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "100"),
        ("min.compaction.lag.ms", "0"),
        ("max.compaction.lag.ms", "1000"),
    ];
    let topic = create_topic(bootstrap, "compact", 1, &settings);
    let producing = Producing::new(bootstrap, &[]);
    for at in 0..20_000 {
        producing.send(
            &topic,
            0,
            &format!("k{}", at % 10),
            Some(format!("{at}-{:050}", 0).as_bytes()),
        );
        if at % 200 == 0 {
            producing.flush();
        }
    }
    (0..5).for_each(|key| producing.send(&topic, 0, &format!("k{key}"), None));
    producing.flush();
    let until = Instant::now() + CLEANED;
    loop {
        std::thread::sleep(Duration::from_millis(700));
        // Only closed segments are compacted, and only a record closes one.
        producing.send(&topic, 0, "roll", Some(b"v"));
        producing.flush();
        let records =
            client::read_all(bootstrap, &topic, Isolation::Committed).expect("the topic is read");
        let of = |key: &str| {
            records
                .iter()
                .filter(|record| record.key() == key)
                .collect::<Vec<_>>()
        };
        let gone = (0..5).all(|key| of(&format!("k{key}")).is_empty());
        let kept = (5..10).all(|key| {
            let left = of(&format!("k{key}"));
            let last = format!("{}-", 19_990 + key);
            left.len() == 1
                && left[0]
                    .value
                    .as_deref()
                    .is_some_and(|value| value.starts_with(last.as_bytes()))
        });
        if gone && kept {
            return;
        }
        assert!(
            Instant::now() < until,
            "{} records are left after {CLEANED:?}",
            records.len()
        );
    }
}

/// A deleted key does not live again where its values lie in compressed batches and its tombstone does not.
pub fn compaction_of_compressed(bootstrap: &str) {
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "300"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "100"),
        ("max.compaction.lag.ms", "500"),
    ];
    let topic = create_topic(bootstrap, "compressed", 1, &settings);
    let plain = Producing::new(bootstrap, &[]);
    plain.send(&topic, 0, "plain", Some(b"v"));
    plain.send(&topic, 0, "plain", None);
    plain.flush();
    let long = "0".repeat(500);
    let codecs = ["gzip", "snappy", "lz4", "zstd"];
    for codec in codecs {
        let packed = Producing::new(bootstrap, &[("compression.codec", codec)]);
        (0..50).for_each(|_| packed.send(&topic, 0, codec, Some(long.as_bytes())));
        packed.flush();
    }
    for codec in codecs {
        plain.send(&topic, 0, codec, None);
    }
    plain.flush();
    // Until a tombstone with nothing compressed before it has gone, and then for some passes more.
    let (until, mut more) = (Instant::now() + CLEANED, 6);
    while more > 0 {
        std::thread::sleep(Duration::from_millis(500));
        // Only closed segments are compacted, and only a record closes one.
        plain.send(&topic, 0, "roll", Some(b"v"));
        plain.flush();
        let records =
            client::read_all(bootstrap, &topic, Isolation::Committed).expect("the topic is read");
        for codec in codecs {
            let last = records.iter().rfind(|record| record.key() == codec);
            let lives = last.is_some_and(|record| record.value.is_some());
            assert!(
                !lives,
                "a key whose values were packed by {codec} lives again"
            );
        }
        if records.iter().all(|record| record.key() != "plain") {
            more -= 1;
        }
        assert!(Instant::now() < until, "{} records are left", records.len());
    }
}

/// Offsets are found by time, and only those read_committed may see.
pub fn offsets_by_time(bootstrap: &str) {
    let topic = create_topic(bootstrap, "time", 1, &[]);
    let producing = Producing::new(bootstrap, &[]);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock")
        .as_millis() as i64;
    let start = now - 100_000;
    for at in 0..100 {
        let record = BaseRecord::<str, [u8]>::to(&topic)
            .partition(0)
            .key("k")
            .payload(b"v")
            .timestamp(start + 10 * at);
        producing
            .producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("sent");
    }
    producing.flush();
    let consumer = consumer(bootstrap, &unique("time"), &[]);
    let at_time = |time: i64| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, Offset::Offset(time))
            .expect("a time");
        consumer
            .offsets_for_times(list, LONG)
            .expect("an answer")
            .elements()[0]
            .offset()
    };
    assert_eq!(at_time(start), Offset::Offset(0));
    assert_eq!(at_time(start + 501), Offset::Offset(51));
    assert_eq!(at_time(start + 990), Offset::Offset(99));
    assert_eq!(at_time(start + 991), Offset::End);
}
