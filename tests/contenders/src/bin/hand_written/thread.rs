//! One stream thread: a consumer of the group, a producer, the tables of its partitions.

use crate::table::{HOUR, Mean, Table};
use crate::{Args, Guarantee};
use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use contenders::{Reading, mark};
use hashbrown::HashMap;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct AverageVoltage {
    start_time: DateTime<Utc>,
    count: u64,
    mean: f64,
}

/// Takes its partitions once the group is complete: tables do not move between threads here.
struct Whole {
    share: usize,
    taken: AtomicBool,
}

impl ClientContext for Whole {}

impl ConsumerContext for Whole {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let assigned = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let outcome = if assigned && list.count() == self.share {
            self.taken.store(true, Ordering::Relaxed);
            consumer.assign(list)
        } else if assigned {
            consumer.assign(&TopicPartitionList::new())
        } else {
            assert!(
                !self.taken.load(Ordering::Relaxed),
                "the group changed in the middle of a measurement"
            );
            consumer.unassign()
        };
        outcome.expect("an assignment the group gave");
    }
}

#[derive(Default)]
struct Partition {
    table: Table,
    position: i64,
}

pub struct Thread<'a> {
    args: &'a Args,
    consumer: BaseConsumer<Whole>,
    producer: BaseProducer,
    partitions: HashMap<i32, Partition>,
}

/// Processes until all threads together have processed all records, and commits the last of them. What is returned
/// still is a member of the group: leaving before the others have committed would disturb them.
pub fn run<'a>(ix: usize, args: &'a Args, processed: &AtomicU64) -> Result<Thread<'a>> {
    let mut thread = Thread::start(ix, args)?;
    let (mut committed, mut heard) = (Instant::now(), Instant::now());
    loop {
        let got = thread.poll_batch()?;
        if got > 0 {
            if processed.fetch_add(got, Ordering::Relaxed) == 0 {
                mark("started");
            }
            heard = Instant::now();
        }
        let done = processed.load(Ordering::Relaxed) >= args.records;
        let due = committed.elapsed() >= Duration::from_millis(args.commit_ms);
        if (due || done) && !thread.partitions.is_empty() {
            thread.commit()?;
            committed = Instant::now();
        }
        if done {
            // From here on the group may change.
            thread
                .consumer
                .context()
                .taken
                .store(false, Ordering::Relaxed);
            return Ok(thread);
        }
        if heard.elapsed() > LONG {
            bail!(
                "thread {ix} hears nothing; all have {} records",
                processed.load(Ordering::Relaxed)
            );
        }
    }
}

impl<'a> Thread<'a> {
    fn start(ix: usize, args: &'a Args) -> Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &args.broker)
            .set("broker.address.family", "v4");
        let mut consumer = config.clone();
        consumer
            .set("group.id", &args.group)
            .set("partition.assignment.strategy", "range");
        consumer
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed");
        consumer
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false");
        consumer.set("queued.min.messages", "100000");
        consumer
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.wait.max.ms", "10");
        let mut producer = config;
        producer
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true");
        producer.set("linger.ms", args.linger_ms.to_string());
        producer
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "262144");
        if args.guarantee == Guarantee::ExactlyOnce {
            producer.set("transactional.id", format!("{}-{ix}", args.group));
        }
        let producer: BaseProducer = producer.create()?;
        if args.guarantee == Guarantee::ExactlyOnce {
            producer
                .init_transactions(LONG)
                .context("init_transactions")?;
        }
        let share = args.partitions / args.threads;
        let consumer: BaseConsumer<_> = consumer.create_with_context(Whole {
            share,
            taken: AtomicBool::new(false),
        })?;
        consumer.subscribe(&[&args.topic])?;
        Ok(Self {
            args,
            consumer,
            producer,
            partitions: HashMap::new(),
        })
    }

    /// Processes up to 1024 records and says how many.
    fn poll_batch(&mut self) -> Result<u64> {
        let mut got = 0;
        while got < 1024 {
            let wait = if got == 0 {
                Duration::from_millis(1)
            } else {
                Duration::ZERO
            };
            let Some(message) = self.consumer.poll(wait) else {
                break;
            };
            let message = message?;
            let reading: Reading = serde_json::from_slice(message.payload().context("no value")?)?;
            let key = std::str::from_utf8(message.key().context("no key")?)?;
            let partition = self.partitions.entry(message.partition()).or_default();
            partition
                .table
                .add(reading.datetime.timestamp_millis(), key, reading.voltage);
            partition.position = message.offset() + 1;
            got += 1;
        }
        self.producer.poll(Duration::ZERO);
        Ok(got)
    }

    /// Outputs, changelog and offsets of everything processed: one transaction, or flushed before the offsets.
    fn commit(&mut self) -> Result<()> {
        let exactly_once = self.args.guarantee == Guarantee::ExactlyOnce;
        if exactly_once {
            self.producer.begin_transaction()?;
        }
        let mut offsets = TopicPartitionList::new();
        let mut buffer = Vec::with_capacity(128);
        for (ix, partition) in &mut self.partitions {
            offsets.add_partition_offset(
                &self.args.topic,
                *ix,
                Offset::Offset(partition.position),
            )?;
            let (producer, args) = (&self.producer, self.args);
            partition.table.take_dirty(|start, key, mean| {
                buffer.clear();
                serde_json::to_writer(&mut buffer, &mean).expect("a row as JSON");
                let key = changelog_key(start, key);
                enqueue(
                    producer,
                    BaseRecord::to(&args.changelog)
                        .partition(*ix)
                        .key(&key)
                        .payload(&buffer),
                );
            });
            partition
                .table
                .take_closed(|start, key, Mean { count, sum }| {
                    buffer.clear();
                    let start_time =
                        DateTime::from_timestamp_millis(start).expect("a time that was read");
                    let average = AverageVoltage {
                        start_time,
                        count,
                        mean: sum / count as f64,
                    };
                    serde_json::to_writer(&mut buffer, &average).expect("an output as JSON");
                    let output = BaseRecord::<str, [u8]>::to(&args.sink)
                        .key(key)
                        .payload(&buffer);
                    enqueue(producer, output.timestamp(start + HOUR - 1));
                    let key = changelog_key(start, key);
                    enqueue(
                        producer,
                        BaseRecord::<[u8], [u8]>::to(&args.changelog)
                            .partition(*ix)
                            .key(&key),
                    );
                });
        }
        // Not `flush`, which waits in steps of 100 ms.
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(1));
        }
        if exactly_once {
            let group = self.consumer.group_metadata().context("no group")?;
            self.producer
                .send_offsets_to_transaction(&offsets, &group, LONG)?;
            self.producer.commit_transaction(LONG)?;
        } else {
            self.consumer.commit(&offsets, CommitMode::Sync)?;
        }
        Ok(())
    }
}

fn changelog_key(start: i64, key: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + key.len());
    bytes.extend_from_slice(&start.to_be_bytes());
    bytes.extend_from_slice(key.as_bytes());
    bytes
}

/// Waits while the producer's queue is full.
fn enqueue<K: rdkafka::message::ToBytes + ?Sized>(
    producer: &BaseProducer,
    mut record: BaseRecord<'_, K, [u8]>,
) {
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => panic!("cannot send: {error}"),
        }
    }
}
