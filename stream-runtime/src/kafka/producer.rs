//! Sending, and what became of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, MutexGuard};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::client_config::Role;
use super::client_log::Reporter;
use super::ffi::{Alarm, EventQueue};
use super::{Fault, FaultKind, Properties};
use crate::error::{counted, quiet};
use crate::sync::{Mutex, whole};

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
    /// Slot whose largest delivered offset is kept, 1-based; 0 for none; from [`NUMBERED`] on the number by which it is
    /// named when it is not delivered. An [`Account`] sets its own.
    pub(crate) slot: usize,
}

/// Slots from here on are numbers of records, not places of offsets.
pub(crate) const NUMBERED: usize = 1 << (usize::BITS - 1);
/// Slots from here to [`NUMBERED`] are accounts.
const ACCOUNTS: usize = NUMBERED >> 1;

fn is_account(slot: usize) -> bool {
    (ACCOUNTS..NUMBERED).contains(&slot)
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
    /// Failures, at most 10: those of a record for what it is first, what only follows from others last.
    pub(crate) failures: Vec<DeliveryFailure>,
    pub(crate) failed: u64,
    /// Slots of what was not delivered, and why.
    pub(crate) undelivered: Vec<(usize, Undelivered)>,
    /// Records that will never be taken, at most [`REFUSALS`].
    pub(crate) refused: Vec<DeliveryFailure>,
    /// Partitions whose broker told what it refuses from what lay beside it.
    pub(crate) told: Vec<(String, i32)>,
}

/// Refused records that are told of in words, at most.
const REFUSALS: usize = 1_000;

/// Why a record was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// For what it is.
    Refused,
    /// It lay in one batch with one that was refused; the broker would have taken it.
    Beside,
    /// Something else.
    Other,
}

impl Deliveries {
    /// Puts what was reported later behind this.
    pub(crate) fn append(&mut self, later: Deliveries) {
        self.delivered += later.delivered;
        self.failed += later.failed;
        self.undelivered.extend(later.undelivered);
        self.refused.extend(later.refused);
        self.told.extend(later.told);
        for failure in later.failures {
            self.note(failure);
        }
    }

    /// What a record that could not be queued adds.
    pub(crate) fn unsent(&mut self, failure: DeliveryFailure) {
        self.failed += 1;
        let why = match failure.fault.kind() {
            FaultKind::Record => Undelivered::Refused,
            _ => Undelivered::Other,
        };
        self.undelivered.push((failure.slot, why));
        if why == Undelivered::Refused {
            self.refused.push(failure.clone());
        }
        self.note(failure);
    }

    fn note(&mut self, failure: DeliveryFailure) {
        let rank = failure.rank();
        let at = self.failures.partition_point(|f| f.rank() <= rank);
        self.failures.insert(at, failure);
        self.failures.truncate(10);
    }
}

/// A record the broker did not take.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryFailure {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) key: String,
    pub(crate) has_key: bool,
    pub(crate) size: usize,
    pub(crate) fault: Fault,
    /// As it was sent with.
    pub(crate) slot: usize,
}

impl DeliveryFailure {
    /// A record that could not even be queued.
    pub(crate) fn unsent(
        topic: &str,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        slot: usize,
        fault: Fault,
    ) -> Self {
        Self {
            topic: topic.to_owned(),
            partition: -1,
            key: preview(key),
            has_key: key.is_some(),
            size: key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len),
            fault,
            slot,
        }
    }

    /// Causes before what follows from them.
    fn rank(&self) -> u8 {
        match self.fault.kind() {
            FaultKind::Record => 0,
            _ if self.fault.is_consequence() => 2,
            _ => 1,
        }
    }
}

impl std::fmt::Display for DeliveryFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "record of {} bytes with key {} to {}",
            self.size, self.key, self.topic
        )?;
        // A record that never left has no partition.
        if self.partition >= 0 {
            write!(f, "[{}]", self.partition)?;
        }
        write!(f, ": {}", self.fault)?;
        match self.fault.record_hint(self.has_key) {
            Some(hint) => write!(f, ": {hint}"),
            None => Ok(()),
        }
    }
}

/// Reports of the records of one account.
#[derive(Debug, Default)]
struct Owed {
    on_the_way: usize,
    deliveries: Deliveries,
    /// Nobody asks any more: what is told later goes to the log, and to who asks for the rest.
    closed: bool,
}

/// Delivery reports by who asks for them.
#[derive(Debug, Default)]
struct Reported {
    /// Of records that belong to no account that is open.
    rest: Deliveries,
    accounts: HashMap<usize, Owed>,
    opened: usize,
}

impl Reported {
    /// Where a report about a record with this slot goes, and whether somebody waits for it.
    fn of(&mut self, slot: usize) -> (&mut Deliveries, bool) {
        if !is_account(slot) {
            return (&mut self.rest, true);
        }
        match self.accounts.get_mut(&slot) {
            Some(owed) if !owed.closed => (&mut owed.deliveries, true),
            _ => (&mut self.rest, false),
        }
    }

    /// Counts a record of an account as no longer on its way.
    fn arrived(&mut self, slot: usize) {
        let Some(owed) = self.accounts.get_mut(&slot) else {
            return;
        };
        owed.on_the_way = owed.on_the_way.saturating_sub(1);
        if owed.closed && owed.on_the_way == 0 {
            self.accounts.remove(&slot);
        }
    }
}

/// Says that a record was lost whose sender has gone on.
fn say_lost(failure: &DeliveryFailure) {
    let text = format!("not delivered, and nobody waits for it: {failure}");
    if let Some(more) = quiet::news(&failure.topic, &text) {
        tracing::error!("{text}{}", quiet::and(more));
    }
}

pub(super) struct DeliveryContext {
    reported: Mutex<Reported>,
    pub(super) reporter: Reporter,
    bootstrap: String,
}

impl DeliveryContext {
    pub(super) fn new(properties: &Properties) -> Self {
        Self {
            reported: Mutex::default(),
            reporter: Reporter::default(),
            bootstrap: properties.bootstrap().unwrap_or_default().to_owned(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Reported> {
        self.reported.lock()
    }

    pub(super) fn take(&self) -> Deliveries {
        let mut reported = self.lock();
        let mut all = std::mem::take(&mut reported.rest);
        for owed in reported.accounts.values_mut() {
            all.append(std::mem::take(&mut owed.deliveries));
        }
        all
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
        let mut reported = self.lock();
        let (deliveries, awaited) = reported.of(slot);
        match result {
            Ok(message) => {
                deliveries.delivered += 1;
                if slot > 0 && slot < ACCOUNTS && message.offset() >= 0 {
                    if deliveries.offsets.len() < slot {
                        deliveries.offsets.resize(slot, None);
                    }
                    let largest = &mut deliveries.offsets[slot - 1];
                    *largest = (*largest).max(Some(message.offset()));
                }
            }
            Err((error, message)) => {
                deliveries.failed += 1;
                let fault = Fault::of("send", error);
                let why = match fault.kind() {
                    FaultKind::Record => Undelivered::Refused,
                    _ if fault.is_of_another_record() => Undelivered::Beside,
                    _ => Undelivered::Other,
                };
                deliveries.undelivered.push((slot, why));
                if why == Undelivered::Beside {
                    let place = (message.topic(), message.partition());
                    let mut told = deliveries.told.iter();
                    if !told.any(|(topic, partition)| (&**topic, *partition) == place) {
                        deliveries.told.push((place.0.to_owned(), place.1));
                    }
                }
                let refused = why == Undelivered::Refused && deliveries.refused.len() < REFUSALS;
                // Of many alike ten are enough.
                if refused || deliveries.failures.len() < 10 || !fault.is_consequence() {
                    let failure = DeliveryFailure {
                        topic: message.topic().to_owned(),
                        partition: message.partition(),
                        key: preview(message.key()),
                        has_key: message.key().is_some(),
                        size: message.payload_len() + message.key_len(),
                        fault,
                        slot,
                    };
                    if !awaited {
                        say_lost(&failure);
                    }
                    if refused {
                        deliveries.refused.push(failure.clone());
                    }
                    deliveries.note(failure);
                }
            }
        }
        if is_account(slot) {
            reported.arrived(slot);
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
        *self.come.lock() = true;
        self.bell.notify_all();
    }
}

impl Reports {
    /// Waits until they have come, or for `time`.
    fn wait(&self, time: Duration) {
        let come = self.come.lock();
        let waited = self.bell.wait_timeout_while(come, time, |come| !*come);
        let (mut come, _) = whole(waited);
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

    /// Whether a delivery has failed since the reports were last taken.
    pub(super) fn has_failed(&self) -> bool {
        self.producer.context().lock().rest.failed > 0
    }

    /// Serves the delivery reports that have come.
    pub(super) fn serve(&self) {
        let context = self.producer.context();
        context
            .reporter
            .revive(self.producer.client(), &context.bootstrap);
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

/// Sends outside transactions. `Send` and `Sync`: clones share one client.
#[derive(Clone)]
pub(crate) struct Sender {
    line: Arc<Line>,
}

impl Sender {
    /// Makes one for outputs at-least-once.
    pub(crate) fn new(properties: &Properties) -> Result<Self, Fault> {
        Self::of(Role::Idempotent, properties)
    }

    /// Makes one that sends each record once, also when leaders move.
    pub(crate) fn single(properties: &Properties) -> Result<Self, Fault> {
        Self::of(Role::Single, properties)
    }

    fn of(role: Role<'_>, properties: &Properties) -> Result<Self, Fault> {
        let producer = role
            .config(properties)
            .create_with_context(DeliveryContext::new(properties))
            .map_err(|error| properties.explain(Fault::of("make a producer", &error)))?;
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

    /// Opens an account: records with delivery reports of their own.
    pub(crate) fn account(&self) -> Account {
        let mut reported = self.line.producer.context().lock();
        reported.opened += 1;
        let slot = ACCOUNTS + reported.opened;
        reported.accounts.insert(slot, Owed::default());
        Account {
            sender: self.clone(),
            slot,
        }
    }

    /// Waits until everything is delivered or failed, at most `timeout`; then what became of it, of the accounts what
    /// they were not asked for.
    pub(crate) fn flush(&self, timeout: Duration) -> Result<Deliveries, Fault> {
        let start = Instant::now();
        self.line.settle(|| start.elapsed() <= timeout);
        if self.in_flight() > 0 {
            return Err(self.late(self.in_flight(), timeout));
        }
        Ok(self.line.producer.context().take())
    }

    /// So many records are on their way for longer than somebody waits.
    fn late(&self, records: usize, timeout: Duration) -> Fault {
        let fault = Fault::new(
            FaultKind::Retriable,
            "deliver what was sent",
            format!(
                "{} still on the way after {timeout:?}",
                counted(records, "record")
            ),
        );
        match self.trouble() {
            Some(reason) => fault.because(&reason),
            None => fault,
        }
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

/// Records of one sender among those who share a client: it waits for its own alone, and is told of its own alone.
///
/// Reports that nobody has asked for when it is dropped come with [`Sender::flush`]; records that get lost later are in
/// the log as well.
pub(crate) struct Account {
    sender: Sender,
    slot: usize,
}

impl Account {
    /// Queues a record; waits only when the queue is full.
    ///
    /// # Errors
    /// It cannot be queued.
    pub(crate) fn send(&self, record: Outgoing<'_>) -> Result<(), Fault> {
        // Before the record is: its report may come at once.
        if let Some(owed) = self.lock().accounts.get_mut(&self.slot) {
            owed.on_the_way += 1;
        }
        let slot = self.slot;
        let sent = self.sender.send(Outgoing { slot, ..record });
        if sent.is_err() {
            self.lock().arrived(slot);
        }
        sent
    }

    /// Records of this account that are queued or on their way.
    pub(crate) fn in_flight(&self) -> usize {
        let reported = self.lock();
        let owed = reported.accounts.get(&self.slot);
        owed.map_or(0, |owed| owed.on_the_way)
    }

    /// Returns the reports of its records since the last call.
    ///
    /// # Errors
    /// Some are on their way still, after so long a time.
    pub(crate) fn settled(&self, waited: Duration) -> Result<Deliveries, Fault> {
        let mut reported = self.lock();
        let Some(owed) = reported.accounts.get_mut(&self.slot) else {
            return Ok(Deliveries::default());
        };
        match owed.on_the_way {
            0 => Ok(std::mem::take(&mut owed.deliveries)),
            records => {
                drop(reported);
                Err(self.sender.late(records, waited))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Reported> {
        self.sender.line.producer.context().lock()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut reported = self.lock();
        let Some(mut owed) = reported.accounts.remove(&self.slot) else {
            return;
        };
        let untold = std::mem::take(&mut owed.deliveries);
        untold.failures.iter().for_each(say_lost);
        reported.rest.append(untold);
        if owed.on_the_way > 0 {
            owed.closed = true;
            reported.accounts.insert(self.slot, owed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_comes_before_what_follows_from_it() {
        let mut deliveries = Deliveries::default();
        for (key, code) in [
            ("purged", RDKafkaErrorCode::PurgeQueue),
            ("bad", RDKafkaErrorCode::InvalidRecord),
            ("late", RDKafkaErrorCode::MessageTimedOut),
            ("other", RDKafkaErrorCode::KafkaStorageError),
        ] {
            deliveries.note(DeliveryFailure {
                topic: "t".into(),
                partition: -1,
                key: key.into(),
                has_key: false,
                size: 1,
                fault: Fault::of_code("send", code),
                slot: 0,
            });
        }
        let keys: Vec<&str> = deliveries.failures.iter().map(|f| &*f.key).collect();
        assert_eq!(keys, ["bad", "other", "purged", "late"]);
        let text = deliveries.failures[0].to_string();
        assert!(
            text.starts_with("record of 1 bytes with key bad to t: ")
                && text.contains("a compacted topic needs a key"),
            "{text}"
        );
    }

    #[test]
    fn a_key_s_preview_is_short_and_printable() {
        assert_eq!(preview(None), "(none)");
        assert_eq!(preview(Some(b"meter-1")), "\"meter-1\"");
        assert_eq!(preview(Some(&[0, 255])), "0x00ff");
        assert_eq!(preview(Some(&[b'a'; 100])).chars().count(), 63);
    }
}
