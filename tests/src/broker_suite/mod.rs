//! What a broker must do for a client, as functions that take the address of one: they run on the embedded broker and
//! on Apache Kafka. Each makes topics, groups and transactional ids of its own, so several can run at once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::client::{self, Isolation};

mod groups;
mod records;
mod transactions;

pub use groups::{group, stale_member};
pub use records::{
    compaction, compaction_of_compressed, create, delete_records, offsets_by_time,
    produce_and_consume, too_large,
};
pub use transactions::{fencing, last_stable_offset, timeout, transaction, transactions_in_turn};

const LONG: Duration = Duration::from_secs(15);

/// A name nobody else uses.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    format!("{what}-{process}-{count}")
}

/// Delivery errors, as they come in.
#[derive(Clone, Default)]
pub struct Undelivered(Arc<Mutex<Vec<RDKafkaErrorCode>>>);

impl Undelivered {
    /// The codes of all records that were not delivered.
    pub fn codes(&self) -> Vec<RDKafkaErrorCode> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ClientContext for Undelivered {}

impl ProducerContext for Undelivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let code = error
                .rdkafka_error_code()
                .unwrap_or(RDKafkaErrorCode::Unknown);
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(code);
        }
    }
}

/// A producer that knows what was not delivered.
pub struct Producing {
    pub producer: BaseProducer<Undelivered>,
    pub undelivered: Undelivered,
}

impl Producing {
    /// An idempotent producer, with these settings beside.
    pub fn new(bootstrap: &str, settings: &[(&str, &str)]) -> Self {
        let mut config = client::config(bootstrap);
        config
            .set("linger.ms", "5")
            .set("enable.idempotence", "true")
            .set("queue.buffering.max.messages", "1000000");
        settings.iter().for_each(|(name, value)| {
            config.set(*name, *value);
        });
        let undelivered = Undelivered::default();
        let producer = config
            .create_with_context(undelivered.clone())
            .expect("a producer");
        Self {
            producer,
            undelivered,
        }
    }

    /// A transactional producer, ready to begin.
    pub fn transactional(bootstrap: &str, id: &str, timeout_ms: u32) -> Self {
        let timeout = timeout_ms.to_string();
        let it = Self::new(
            bootstrap,
            &[
                ("transactional.id", id),
                ("transaction.timeout.ms", &timeout),
            ],
        );
        it.producer
            .init_transactions(LONG)
            .expect("transactions are initialised");
        it
    }

    pub fn send(&self, topic: &str, partition: i32, key: &str, value: Option<&[u8]>) {
        loop {
            let mut record = BaseRecord::<str, [u8]>::to(topic)
                .partition(partition)
                .key(key);
            record.payload = value;
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.producer.poll(Duration::from_millis(2));
                }
                Err((error, _)) => panic!("cannot send to {topic}: {error}"),
            }
        }
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until everything is delivered.
    pub fn flush(&self) {
        self.settle();
        assert_eq!(self.undelivered.codes(), [], "delivery failed");
    }

    /// Waits until everything is delivered or given up; before a transaction ends somebody has to.
    pub fn settle(&self) {
        let until = Instant::now() + 2 * LONG;
        while self.producer.in_flight_count() > 0 {
            let left = self.producer.in_flight_count();
            assert!(Instant::now() < until, "{left} records are not delivered");
            self.producer.poll(Duration::from_millis(1));
        }
    }
}

/// A consumer without automatic commits, with these settings beside.
pub fn consumer(bootstrap: &str, group: &str, settings: &[(&str, &str)]) -> BaseConsumer {
    let mut config = client::config(bootstrap);
    config
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "10")
        .set("isolation.level", "read_committed")
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "500");
    settings.iter().for_each(|(name, value)| {
        config.set(*name, *value);
    });
    config.create().expect("a consumer")
}

fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    client::config(bootstrap).create().expect("an admin client")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

/// Tries to create a topic.
pub fn try_create(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<(), RDKafkaErrorCode> {
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        new = new.set(name, value);
    }
    let options = AdminOptions::new()
        .request_timeout(Some(LONG))
        .operation_timeout(Some(LONG));
    let results = block_on(admin(bootstrap).create_topics(&[new], &options)).expect("an answer");
    results
        .into_iter()
        .next()
        .expect("one result")
        .map(|_| ())
        .map_err(|(_, code)| code)
}

fn create_topic(bootstrap: &str, what: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
    let topic = unique(what);
    client::create_topic(bootstrap, &topic, partitions, settings).expect("the topic is created");
    topic
}

fn values(bootstrap: &str, topic: &str, isolation: Isolation) -> Vec<String> {
    let records = client::read_all(bootstrap, topic, isolation).expect("the topic is read");
    let text = |value: Option<Vec<u8>>| {
        value.map_or("tombstone".into(), |value| {
            String::from_utf8(value).expect("text")
        })
    };
    records
        .into_iter()
        .map(|record| text(record.value))
        .collect()
}

fn ends(bootstrap: &str, topic: &str, isolation: Isolation) -> i64 {
    client::end_offsets(bootstrap, topic, isolation).expect("end offsets")[0]
}

/// Reads until `enough` says so.
fn poll_until(
    consumer: &BaseConsumer,
    within: Duration,
    mut enough: impl FnMut(i64, &[u8]) -> bool,
) {
    let until = Instant::now() + within;
    while Instant::now() < until {
        match consumer.poll(Duration::from_millis(50)) {
            Some(Ok(message))
                if enough(message.offset(), message.payload().unwrap_or_default()) =>
            {
                return;
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => panic!("cannot read: {error}"),
            None => {}
        }
    }
    panic!("not there within {within:?}");
}

fn partition_of(topic: &str) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 0);
    list
}

/// A check, which takes the address of a broker and panics if it fails.
pub type Check = fn(&str);

/// Every check, by name.
pub const ALL: &[(&str, Check)] = &[
    ("create", create),
    ("produce_and_consume", produce_and_consume),
    ("too_large", too_large),
    ("group", group),
    ("stale_member", stale_member),
    ("transaction", transaction),
    ("transactions_in_turn", transactions_in_turn),
    ("last_stable_offset", last_stable_offset),
    ("fencing", fencing),
    ("timeout", timeout),
    ("delete_records", delete_records),
    ("compaction", compaction),
    ("compaction_of_compressed", compaction_of_compressed),
    ("offsets_by_time", offsets_by_time),
];
