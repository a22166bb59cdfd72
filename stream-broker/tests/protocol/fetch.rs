//! Fetch: it waits when there is nothing, and a client that does not read its answers holds up nobody else.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{CreateTopicsRequest, FetchRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};

use crate::wire::{Place, Wire, encode};

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("t"))
}

fn create(wire: &mut Wire) {
    let new = CreatableTopic::default()
        .with_name(topic())
        .with_num_partitions(1)
        .with_replication_factor(1);
    let made = wire.ask(
        &CreateTopicsRequest::default()
            .with_topics(vec![new])
            .with_timeout_ms(1000),
        5,
    );
    assert_eq!(made.topics[0].error_code, 0);
}

fn produce(wire: &mut Wire, size: usize) -> i64 {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: NO_SEQUENCE,
        timestamp: 1000,
        key: Some(Bytes::from_static(b"k")),
        value: Some(Bytes::from(vec![b'v'; size])),
        headers: Default::default(),
    };
    let mut records = BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    RecordBatchEncoder::encode(&mut records, [&record], &options).unwrap();
    let data = PartitionProduceData::default().with_records(Some(records.freeze()));
    let data = TopicProduceData::default()
        .with_name(topic())
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(1000)
        .with_topic_data(vec![data]);
    let answer = wire.ask(&request, 9);
    let result = &answer.responses[0].partition_responses[0];
    assert_eq!(result.error_code, 0);
    result.base_offset
}

fn wanted(offset: i64, wait_ms: i32, min_bytes: i32) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    let of = FetchTopic::default()
        .with_topic(topic())
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(min_bytes)
        .with_max_bytes(50 << 20)
        .with_topics(vec![of])
}

fn fetch(wire: &mut Wire, offset: i64, wait_ms: i32, min_bytes: i32) -> (PartitionData, Duration) {
    let start = Instant::now();
    let mut answer = wire.ask(&wanted(offset, wait_ms, min_bytes), 12);
    (
        answer.responses.remove(0).partitions.remove(0),
        start.elapsed(),
    )
}

fn size(data: &PartitionData) -> usize {
    data.records.as_ref().map_or(0, Bytes::len)
}

#[test]
fn it_waits_for_records_and_no_longer() {
    let place = Place::start();
    let mut wire = Wire::to(place.broker.address());
    create(&mut wire);
    let (nothing, took) = fetch(&mut wire, 0, 300, 1);
    assert!(size(&nothing) == 0 && nothing.error_code == 0);
    assert!(took >= Duration::from_millis(300), "{took:?}");
    let address = place.broker.address();
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        produce(&mut Wire::to(address), 100);
        std::thread::sleep(Duration::from_millis(200));
        produce(&mut Wire::to(address), 100);
    });
    let (one, took) = fetch(&mut wire, 0, 9000, 1);
    assert!(
        size(&one) > 100 && took < Duration::from_secs(5),
        "{took:?}"
    );
    let both = size(&one) + 1;
    let (two, took) = fetch(&mut wire, 0, 9000, both as i32);
    assert!(
        size(&two) == 2 * size(&one) && took < Duration::from_secs(5),
        "{took:?}"
    );
    later.join().unwrap();
    let (beyond, took) = fetch(&mut wire, 3, 9000, 1);
    assert!(
        beyond.error_code == 1 && took < Duration::from_secs(5),
        "out of range is said at once"
    );
}

#[test]
fn a_batch_larger_than_asked_for_comes_whole() {
    let place = Place::start();
    let mut wire = Wire::to(place.broker.address());
    create(&mut wire);
    produce(&mut wire, 10_000);
    produce(&mut wire, 10);
    let mut request = wanted(0, 0, 1);
    request.topics[0].partitions[0].partition_max_bytes = 1;
    let answer = wire.ask(&request, 12);
    let got = size(&answer.responses[0].partitions[0]);
    assert!((10_000..10_200).contains(&got), "{got}");
}

#[test]
fn no_session_is_kept() {
    let place = Place::start();
    let mut wire = Wire::to(place.broker.address());
    create(&mut wire);
    let answer = wire.ask(&wanted(0, 0, 0).with_session_epoch(0), 12);
    assert_eq!((answer.error_code, answer.session_id), (0, 0));
    let answer = wire.ask(
        &wanted(0, 0, 0).with_session_id(7).with_session_epoch(1),
        12,
    );
    assert_eq!(answer.error_code, 70);
}

#[test]
fn one_that_does_not_read_holds_up_nobody() {
    let place = Place::start();
    let mut wire = Wire::to(place.broker.address());
    create(&mut wire);
    (0..8).for_each(|_| {
        produce(&mut wire, 900_000);
    });
    let mut lazy: Vec<Wire> = (0..8).map(|_| Wire::to(place.broker.address())).collect();
    for one in &mut lazy {
        (0..20).for_each(|_| one.frame(&encode(&wanted(0, 0, 0), 12)));
    }
    for _ in 0..20 {
        let (data, took) = fetch(&mut wire, 0, 0, 1);
        assert!(
            size(&data) > 900_000 && took < Duration::from_secs(2),
            "{took:?}"
        );
        produce(&mut wire, 100);
    }
    assert!(
        lazy[0].answer().is_some(),
        "its answers are there when it reads"
    );
}
