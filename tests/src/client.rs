//! A plain client's view of a broker, for tests: topics, records, offsets. It shares nothing with the framework.

mod admin;

pub use admin::{
    bounded, create_topic, delete_everything, delete_group, delete_records, delete_topics,
};

use anyhow::{Context, Result, bail};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::groups::GroupList;
use rdkafka::message::{Header, Headers as _, Message, Timestamp};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);

/// A record as it lies in a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(found, _)| found == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The key as text.
    pub fn key(&self) -> &str {
        std::str::from_utf8(self.key.as_deref().expect("a key")).expect("a text key")
    }

    /// The value's bytes; none where there is no value.
    pub fn bytes(&self) -> &[u8] {
        self.value.as_deref().unwrap_or_default()
    }

    /// The value read as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.value.as_deref().expect("a value")).expect("a JSON value")
    }
}

pub fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("broker.address.family", "v4");
    config
}

const KAFKA_S_OWN: [&str; 4] = [
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
    "__cluster_metadata",
];

/// All topics but Kafka's own.
pub fn topics(bootstrap: &str) -> Result<Vec<String>> {
    let consumer: BaseConsumer = config(bootstrap).create()?;
    let metadata = answered(|| consumer.fetch_metadata(None, LONG))?;
    let names = metadata
        .topics()
        .iter()
        .map(|topic| topic.name().to_owned());
    Ok(names
        .filter(|name| !KAFKA_S_OWN.contains(&name.as_str()))
        .collect())
}

/// How many partitions a topic has; 0 when there is none.
pub fn partitions(bootstrap: &str, topic: &str) -> Result<i32> {
    let consumer: BaseConsumer = config(bootstrap).create()?;
    let metadata = answered(|| consumer.fetch_metadata(None, LONG))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    Ok(found.map_or(0, |found| found.partitions().len() as i32))
}

/// What became of the records sent.
#[derive(Default)]
struct Fates {
    delivered: u64,
    failed: u64,
    /// The offset of the last one delivered, by topic and partition.
    last: HashMap<String, HashMap<i32, i64>>,
    /// Said to be delivered, and yet without an offset, or with one that an earlier record has.
    doubtful: Vec<String>,
}

/// librdkafka's word for an offset that it does not know.
const WHEREVER: i64 = -1001;

impl Fates {
    fn note(&mut self, result: &DeliveryResult<'_>) {
        let Ok(message) = result else {
            self.failed += 1;
            return;
        };
        self.delivered += 1;
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        if !self.last.contains_key(topic) {
            self.last.insert(topic.to_owned(), HashMap::new());
        }
        let partitions = self.last.get_mut(topic).expect("just put there");
        // It was written, and the answer was lost: of its second try the broker says no more than that it is a second.
        if offset == WHEREVER {
            return;
        }
        let last = partitions.entry(partition).or_insert(-1);
        if offset <= *last {
            self.doubtful
                .push(format!("{topic} [{partition}]: {offset} after {last}"));
        } else {
            *last = offset;
        }
    }
}

#[derive(Clone, Default)]
struct Deliveries(Arc<Mutex<Fates>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(result);
    }
}

/// An idempotent producer with Java's partitioner that knows what was not delivered.
pub struct Sender {
    producer: BaseProducer<Deliveries>,
    deliveries: Deliveries,
    sent: AtomicU64,
}

impl Sender {
    pub fn new(bootstrap: &str) -> Result<Self> {
        Self::with(config(bootstrap))
    }

    /// For a broker that is killed meanwhile. One request at a time: when one of several comes out of order, librdkafka
    /// numbers all that waits again, and what the broker had written and not acknowledged is then written twice.
    pub fn one_by_one(bootstrap: &str) -> Result<Self> {
        let mut config = config(bootstrap);
        config.set("max.in.flight.requests.per.connection", "1");
        Self::with(config)
    }

    fn with(mut config: ClientConfig) -> Result<Self> {
        config
            .set("linger.ms", "5")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random");
        config
            .set("queue.buffering.max.messages", "500000")
            .set("message.max.bytes", "4000000");
        // Back soon when a broker is: a feed that pauses longer than `idle` lets windows close.
        config.set("reconnect.backoff.max.ms", "250");
        let deliveries = Deliveries::default();
        Ok(Self {
            producer: config.create_with_context(deliveries.clone())?,
            deliveries,
            sent: AtomicU64::new(0),
        })
    }

    /// Hands a record over; its partition is that of its key, or `partition`.
    pub fn send(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        partition: Option<i32>,
    ) -> Result<()> {
        self.send_at(None, topic, key, value, partition)
    }

    /// The same with a Kafka timestamp; -1 says that there is none.
    pub fn send_at(
        &self,
        timestamp: Option<i64>,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        partition: Option<i32>,
    ) -> Result<()> {
        loop {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic);
            record.timestamp = timestamp;
            record.key = key;
            record.payload = value;
            record.partition = partition;
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.producer.poll(Duration::from_millis(2));
                }
                Err((error, _)) => return Err(error).context(format!("cannot send to {topic}")),
            }
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    /// Waits until everything is delivered, each record to an offset of its own.
    pub fn finish(&self) -> Result<()> {
        self.producer.flush(LONG)?;
        let sent = self.sent.load(Ordering::Relaxed);
        let fates = self.deliveries.0.lock();
        let fates = fates.unwrap_or_else(PoisonError::into_inner);
        if fates.failed > 0 || fates.delivered != sent {
            let (delivered, failed) = (fates.delivered, fates.failed);
            bail!("of {sent} records {delivered} were delivered and {failed} were not");
        }
        if !fates.doubtful.is_empty() {
            let some: Vec<_> = fates.doubtful.iter().take(5).collect();
            let count = fates.doubtful.len();
            bail!("{count} records were acknowledged without a place of their own: {some:?}");
        }
        Ok(())
    }
}

/// What a reader sees: committed records only, or all of them.
#[derive(Clone, Copy, PartialEq)]
pub enum Isolation {
    Committed,
    Uncommitted,
}

fn reader(bootstrap: &str, isolation: Isolation) -> Result<BaseConsumer> {
    let mut config = config(bootstrap);
    let level = if isolation == Isolation::Committed {
        "read_committed"
    } else {
        "read_uncommitted"
    };
    config
        .set("isolation.level", level)
        .set("group.id", "tests-reader")
        .set("enable.auto.commit", "false");
    config
        .set("fetch.wait.max.ms", "20")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error");
    Ok(config.create()?)
}

/// Every record of a topic, partition by partition in the order of offsets, up to the end as of now.
pub fn read_all(bootstrap: &str, topic: &str, isolation: Isolation) -> Result<Vec<Record>> {
    let from = vec![Offset::Beginning; partitions(bootstrap, topic)? as usize];
    read_from(bootstrap, topic, isolation, &from)
}

/// Like [`read_all`], from one offset a partition.
pub fn read_from(
    bootstrap: &str,
    topic: &str,
    isolation: Isolation,
    from: &[Offset],
) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    each_from(bootstrap, topic, isolation, from, |record| {
        records.push(record);
    })?;
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

/// Calls `f` with every record of a topic up to the end as of now; those of one partition come in the order of offsets.
pub fn each(
    bootstrap: &str,
    topic: &str,
    isolation: Isolation,
    f: impl FnMut(Record),
) -> Result<()> {
    let from = vec![Offset::Beginning; partitions(bootstrap, topic)? as usize];
    each_from(bootstrap, topic, isolation, &from, f)
}

fn each_from(
    bootstrap: &str,
    topic: &str,
    isolation: Isolation,
    from: &[Offset],
    mut f: impl FnMut(Record),
) -> Result<()> {
    let consumer = reader(bootstrap, isolation)?;
    let mut assignment = TopicPartitionList::new();
    for (partition, offset) in from.iter().enumerate() {
        assignment.add_partition_offset(topic, partition as i32, *offset)?;
    }
    let mut open: Vec<bool> = vec![true; from.len()];
    consumer.assign(&assignment)?;
    let mut heard = Instant::now();
    while open.contains(&true) {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let timestamp = match message.timestamp() {
                    Timestamp::NotAvailable => None,
                    Timestamp::CreateTime(time) | Timestamp::LogAppendTime(time) => Some(time),
                };
                let headers = message
                    .headers()
                    .into_iter()
                    .flat_map(|headers| headers.iter());
                let owned = |header: Header<'_, &[u8]>| {
                    (
                        header.key.to_owned(),
                        header.value.unwrap_or_default().to_vec(),
                    )
                };
                f(Record {
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp,
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: headers.map(owned).collect(),
                });
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => open[partition as usize] = false,
            Some(Err(error)) if heard.elapsed() > LONG => return Err(error.into()),
            Some(Err(_)) => {}
            None if heard.elapsed() > LONG => bail!("the end of {topic} does not come"),
            None => {}
        }
    }
    Ok(())
}

/// The first offset whose record is stamped at or after `time` (ms since the epoch); the end when there is none.
pub fn offset_at(bootstrap: &str, topic: &str, partition: i32, time: i64) -> Result<i64> {
    let consumer = reader(bootstrap, Isolation::Uncommitted)?;
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition_offset(topic, partition, Offset::Offset(time))?;
    let found = answered(|| consumer.offsets_for_times(wanted.clone(), LONG))?;
    match found.elements().first().map(|element| element.offset()) {
        Some(Offset::Offset(offset)) => Ok(offset),
        _ => Ok(watermarks(&consumer, topic, partition)?.1),
    }
}

/// The end offset of each partition.
pub fn end_offsets(bootstrap: &str, topic: &str, isolation: Isolation) -> Result<Vec<i64>> {
    let consumer = reader(bootstrap, isolation)?;
    let partitions = 0..partitions(bootstrap, topic)?;
    partitions
        .map(|partition| Ok(watermarks(&consumer, topic, partition)?.1))
        .collect()
}

/// The first offset of a partition.
pub fn start_offset(bootstrap: &str, topic: &str, partition: i32) -> Result<i64> {
    let consumer = reader(bootstrap, Isolation::Uncommitted)?;
    Ok(watermarks(&consumer, topic, partition)?.0)
}

fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<(i64, i64)> {
    answered(|| consumer.fetch_watermarks(topic, partition, LONG))
}

/// Asks until there is an answer: a coordinator takes a moment after a broker's start, a leader that moves does too.
fn answered<T>(mut ask: impl FnMut() -> Result<T, KafkaError>) -> Result<T> {
    let until = Instant::now() + LONG;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > until => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn group_list(consumer: &BaseConsumer, group: Option<&str>) -> Result<GroupList> {
    answered(|| consumer.fetch_group_list(group, LONG))
}

/// A group's state, such as `Stable`, and how many members it has.
pub fn group(bootstrap: &str, group: &str) -> Result<(String, usize)> {
    let consumer: BaseConsumer = config(bootstrap).create()?;
    let list = group_list(&consumer, Some(group))?;
    let found = list.groups().iter().find(|found| found.name() == group);
    Ok(found.map_or((String::new(), 0), |found| {
        (found.state().to_owned(), found.members().len())
    }))
}

/// Commits an offset for a group without members, as someone with Kafka's own tools would.
pub fn set_committed(
    bootstrap: &str,
    group: &str,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<()> {
    let consumer: BaseConsumer = config(bootstrap)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    answered(|| consumer.commit(&list, CommitMode::Sync))
}

/// A transaction that stays open until it is dropped or [`ended`](OpenTransaction::abort).
pub struct OpenTransaction {
    producer: BaseProducer,
}

impl OpenTransaction {
    /// Writes a record into a partition within a transaction that may stay open for `timeout`.
    pub fn write(bootstrap: &str, topic: &str, partition: i32, timeout: Duration) -> Result<Self> {
        let producer: BaseProducer = config(bootstrap)
            .set("transactional.id", format!("tests-{topic}-{partition}"))
            .set("transaction.timeout.ms", timeout.as_millis().to_string())
            .create()?;
        producer.init_transactions(LONG)?;
        producer.begin_transaction()?;
        let record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
        let sent = producer.send(record.key(b"k").payload(b"v"));
        sent.map_err(|(error, _)| error)?;
        producer.flush(LONG)?;
        Ok(Self { producer })
    }

    pub fn abort(self) -> Result<()> {
        Ok(self.producer.abort_transaction(LONG)?)
    }
}

/// Asks for a group's committed offsets of a topic, again and again.
pub struct Committed {
    consumer: BaseConsumer,
    list: TopicPartitionList,
}

impl Committed {
    pub fn of(bootstrap: &str, group: &str, topic: &str) -> Result<Self> {
        let consumer: BaseConsumer = config(bootstrap).set("group.id", group).create()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions(bootstrap, topic)? - 1);
        Ok(Self { consumer, list })
    }

    /// One offset a partition; `None` where nothing was committed yet.
    pub fn offsets(&self) -> Result<Vec<Option<i64>>> {
        let offsets = answered(|| self.consumer.committed_offsets(self.list.clone(), LONG))?;
        let raw = |offset: Offset| {
            if let Offset::Offset(offset) = offset {
                Some(offset)
            } else {
                None
            }
        };
        Ok(offsets
            .elements()
            .iter()
            .map(|element| raw(element.offset()))
            .collect())
    }

    /// Their sum: how far the group has come in a topic that nothing was deleted from.
    pub fn total(&self) -> Result<i64> {
        Ok(self.offsets()?.into_iter().flatten().sum())
    }
}
