//! One stream thread: a consumer of the group, a producer, and what its partitions keep.

use crate::{Args, Guarantee};
use anyhow::{Context, Result, bail};
use contenders::mark;
use hashbrown::HashMap;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, ToBytes};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);

/// What is done with the records of one partition.
pub trait Work: Default {
    /// A record has come.
    fn take(&mut self, message: &BorrowedMessage<'_>, out: &Out<'_>) -> Result<()>;

    /// What was taken is about to be committed.
    fn before_commit(&mut self, _partition: i32, _out: &Out<'_>) {}
}

/// Where records go: a producer that may be in the middle of a transaction.
pub struct Out<'a> {
    producer: &'a BaseProducer,
    pub args: &'a Args,
}

impl Out<'_> {
    /// Queues a record; waits while the producer's queue is full.
    pub fn send<K: ToBytes + ?Sized>(&self, mut record: BaseRecord<'_, K, [u8]>) {
        loop {
            match self.producer.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(Duration::from_millis(1));
                }
                Err((error, _)) => panic!("cannot send: {error}"),
            }
        }
    }
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
struct Partition<W> {
    work: W,
    position: i64,
}

pub struct Thread<'a, W> {
    args: &'a Args,
    consumer: BaseConsumer<Whole>,
    producer: BaseProducer,
    partitions: HashMap<i32, Partition<W>>,
}

/// Processes until all threads together have processed all records, and commits the last of them. What is returned
/// still is a member of the group: leaving before the others have committed would disturb them.
pub fn run<'a, W: Work>(ix: usize, args: &'a Args, processed: &AtomicU64) -> Result<Thread<'a, W>> {
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

impl<'a, W: Work> Thread<'a, W> {
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
            producer.begin_transaction()?;
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
            let partition = self.partitions.entry(message.partition()).or_default();
            let (producer, args) = (&self.producer, self.args);
            partition.work.take(&message, &Out { producer, args })?;
            partition.position = message.offset() + 1;
            got += 1;
        }
        self.producer.poll(Duration::ZERO);
        Ok(got)
    }

    /// Outputs, changelog and offsets of everything processed: one transaction, or flushed before the offsets.
    fn commit(&mut self) -> Result<()> {
        let exactly_once = self.args.guarantee == Guarantee::ExactlyOnce;
        let mut offsets = TopicPartitionList::new();
        let (producer, args) = (&self.producer, self.args);
        for (ix, partition) in &mut self.partitions {
            offsets.add_partition_offset(&args.topic, *ix, Offset::Offset(partition.position))?;
            partition.work.before_commit(*ix, &Out { producer, args });
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
            self.producer.begin_transaction()?;
        } else {
            self.consumer.commit(&offsets, CommitMode::Sync)?;
        }
        Ok(())
    }
}
