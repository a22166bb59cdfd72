//! Sending, and what became of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::raw::{Alarm, EventQueue};
use super::report::Reporter;
use super::roles::Role;
use super::{Fault, FaultKind, Properties};
use crate::error::counted;

/// A record to send. Borrowed: librdkafka copies it.
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: &'a str,
    /// `None`: by the key's murmur2 hash, as Java's clients do; without a key, any.
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    /// Epoch milliseconds; `None` is now. librdkafka cannot send times below 1: they become 1.
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Option<OutHeaders>,
    /// Slot whose largest delivered offset is kept, 1-based; 0 for none.
    pub(crate) slot: usize,
}

/// Headers of a record to send.
#[derive(Debug)]
pub(crate) struct OutHeaders(OwnedHeaders);

impl OutHeaders {
    pub(crate) fn new<'h>(headers: impl IntoIterator<Item = (&'h str, Option<&'h [u8]>)>) -> Self {
        Self(
            headers
                .into_iter()
                .fold(OwnedHeaders::new(), |list, (key, value)| {
                    list.insert(Header { key, value })
                }),
        )
    }
}

/// What the delivery reports said since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    /// Largest delivered offset of each slot (index = slot - 1); `None` when none was reported:
    /// after a retried batch librdkafka reports success without an offset.
    pub(crate) offsets: Vec<Option<i64>>,
    pub(crate) delivered: u64,
    /// The first failures, at most 10.
    pub(crate) failures: Vec<DeliveryFailure>,
    pub(crate) failed: u64,
}

/// A record the broker did not take.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryFailure {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) key: String,
    pub(crate) size: usize,
    pub(crate) fault: Fault,
}

impl std::fmt::Display for DeliveryFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "record of {} bytes with key {} to {}-{}: {}",
            self.size, self.key, self.topic, self.partition, self.fault
        )
    }
}

pub(super) struct DeliveryContext {
    deliveries: Mutex<Deliveries>,
    pub(super) reporter: Reporter,
}

impl DeliveryContext {
    pub(super) fn new() -> Self {
        Self {
            deliveries: Mutex::default(),
            reporter: Reporter::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Deliveries> {
        self.deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self) -> Deliveries {
        std::mem::take(&mut *self.lock())
    }
}

impl ClientContext for DeliveryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.reporter.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reporter.error(&error, reason);
    }
}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: usize) {
        let mut deliveries = self.lock();
        match result {
            Ok(message) => {
                deliveries.delivered += 1;
                if slot > 0 && message.offset() >= 0 {
                    if deliveries.offsets.len() < slot {
                        deliveries.offsets.resize(slot, None);
                    }
                    let largest = &mut deliveries.offsets[slot - 1];
                    *largest = (*largest).max(Some(message.offset()));
                }
            }
            Err((error, message)) => {
                deliveries.failed += 1;
                if deliveries.failures.len() < 10 {
                    let failure = DeliveryFailure {
                        topic: message.topic().to_owned(),
                        partition: message.partition(),
                        key: preview(message.key()),
                        size: message.payload_len() + message.key_len(),
                        fault: Fault::of("send", error),
                    };
                    deliveries.failures.push(failure);
                }
            }
        }
    }
}

/// At most 60 characters of a key.
pub(crate) fn preview(key: Option<&[u8]>) -> String {
    key.map_or_else(|| "(none)".to_owned(), crate::key::preview)
}

/// Queues a record; waits for room when the queue is full.
pub(super) fn send(
    producer: &BaseProducer<DeliveryContext>,
    record: Outgoing<'_>,
) -> Result<(), Fault> {
    let mut next = BaseRecord {
        topic: record.topic,
        partition: record.partition,
        payload: record.value,
        key: record.key,
        timestamp: record.timestamp.map(|time| time.max(1)),
        headers: record.headers.map(|headers| headers.0),
        delivery_opaque: record.slot,
    };
    loop {
        match producer.send(next) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                // Bounded: records leave the queue when delivered or when their time is up.
                producer.poll(Duration::from_millis(1));
                next = back;
            }
            Err((error, back)) => {
                let size = back.payload.map_or(0, <[u8]>::len) + back.key.map_or(0, <[u8]>::len);
                let doing = format!(
                    "send {size} bytes with key {} to {}",
                    preview(back.key),
                    back.topic
                );
                return Err(Fault::of(doing, &error));
            }
        }
    }
}

/// Rings when delivery reports have come.
#[derive(Debug, Default)]
pub(super) struct Reports {
    come: Mutex<bool>,
    bell: Condvar,
}

impl Alarm for Reports {
    fn ring(&self) {
        *self.come.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_all();
    }
}

impl Reports {
    /// Waits until they have come, or for `time`.
    fn wait(&self, time: Duration) {
        let come = self.come.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut come, _) = self
            .bell
            .wait_timeout_while(come, time, |come| !*come)
            .unwrap_or_else(PoisonError::into_inner);
        *come = false;
    }
}

/// A producer and the bell of its delivery reports.
pub(super) struct Line {
    // Field order is drop order: the queue before the client.
    reports: EventQueue<Reports>,
    pub(super) producer: Arc<BaseProducer<DeliveryContext>>,
}

impl Line {
    pub(super) fn new(producer: BaseProducer<DeliveryContext>) -> Result<Self, Fault> {
        let producer = Arc::new(producer);
        let reports = EventQueue::of_producer(&producer, Reports::default()).ok_or_else(|| {
            Fault::new(FaultKind::Fatal, "make a producer", "it has no event queue")
        })?;
        Ok(Self { reports, producer })
    }

    /// Serves the delivery reports that have come.
    pub(super) fn serve(&self) {
        // A poll serves one event.
        self.producer.poll(Duration::ZERO);
        while self.reports.has_events() {
            self.producer.poll(Duration::ZERO);
        }
    }

    /// Records queued or on their way, or delivered and not served.
    pub(super) fn in_flight(&self) -> usize {
        usize::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    /// Waits until everything sent is delivered or failed, or until `patience` says no. Sleeps until
    /// reports come: rdkafka's own `flush` polls in steps of 100 ms, which every commit would pay,
    /// and its poll of 1 ms spins.
    pub(super) fn settle(&self, mut patience: impl FnMut() -> bool) {
        loop {
            self.serve();
            if self.in_flight() == 0 || !patience() {
                return;
            }
            self.reports.alarm().wait(Duration::from_millis(20));
        }
    }

    /// Makes a call that ends only when somebody serves the delivery reports meanwhile: a thread of its own does, if
    /// there are any.
    pub(super) fn while_served<R>(&self, call: impl FnOnce() -> R) -> std::io::Result<R> {
        if self.in_flight() == 0 {
            return Ok(call());
        }
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let server = std::thread::Builder::new().name("reports".into());
            server.spawn_scoped(scope, || self.settle(|| !ended.load(Ordering::Acquire)))?;
            let result = call();
            ended.store(true, Ordering::Release);
            Ok(result)
        })
    }
}

/// Sends outside transactions, without duplicates. `Send` and `Sync`: clones share one client.
#[derive(Clone)]
pub(crate) struct Sender {
    line: Arc<Line>,
}

impl Sender {
    pub(crate) fn new(properties: &Properties) -> Result<Self, Fault> {
        let producer = Role::Idempotent
            .config(properties)
            .create_with_context(DeliveryContext::new())
            .map_err(|error| Fault::of("make a producer", &error))?;
        Ok(Self {
            line: Arc::new(Line::new(producer)?),
        })
    }

    /// Queues a record; waits only when the queue is full.
    pub(crate) fn send(&self, record: Outgoing<'_>) -> Result<(), Fault> {
        send(&self.line.producer, record)
    }

    /// Serves delivery reports without waiting.
    pub(crate) fn serve(&self) {
        self.line.serve();
    }

    /// Records queued or on their way.
    pub(crate) fn in_flight(&self) -> usize {
        self.line.in_flight()
    }

    /// Waits until everything is delivered or failed, at most `timeout`; then what became of it.
    pub(crate) fn flush(&self, timeout: Duration) -> Result<Deliveries, Fault> {
        let start = Instant::now();
        self.line.settle(|| start.elapsed() <= timeout);
        if self.in_flight() > 0 {
            let fault = Fault::new(
                FaultKind::Retriable,
                "deliver what was sent",
                format!(
                    "{} still on the way after {timeout:?}",
                    counted(self.in_flight(), "record")
                ),
            );
            return Err(match self.trouble() {
                Some(reason) => fault.because(&reason),
                None => fault,
            });
        }
        Ok(self.line.producer.context().take())
    }

    /// Delivery reports so far.
    pub(crate) fn deliveries(&self) -> Deliveries {
        self.line.producer.context().take()
    }

    /// Why the broker cannot be reached, when that was said lately.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.line
            .producer
            .context()
            .reporter
            .trouble()
            .map(|(_, reason)| reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_s_preview_is_short_and_printable() {
        assert_eq!(preview(None), "(none)");
        assert_eq!(preview(Some(b"meter-1")), "\"meter-1\"");
        assert_eq!(preview(Some(&[0, 255])), "0x00ff");
        assert_eq!(preview(Some(&[b'a'; 100])).chars().count(), 63);
    }
}
