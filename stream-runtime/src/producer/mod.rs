//! `Producer<S>`: sending outside agents.

use std::collections::HashSet;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{STAMP_AHEAD_MS, wall_ms};
use crate::error::{Error, Kind};
use crate::handler::{SentUnder, TopicSpec};
use crate::kafka::{Account, Admin, Deliveries, OutHeaders, Outgoing, Properties, Sender};
use crate::key::StreamKey;
use crate::record::Record;
use crate::sync::Mutex;
use crate::topology::TopicDescriptor;
use crate::worker::NewTopics;

/// Records on their way before `send` waits.
const MAX_IN_FLIGHT: usize = 200_000;
/// How long what was sent may take to be delivered.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a question to the broker may take.
const BROKER_TIMEOUT: Duration = Duration::from_secs(15);

/// Sends to a topic from a command, a timer or a page.
///
/// On its own: what it sends belongs to no event and no transaction. Each record arrives once, in the order of the
/// calls, even if the broker has to be asked again. To be exact about crashes, send to a topic that an agent reads.
///
/// [`send`](Producer::send) returns when the record is queued; [`flush`](Producer::flush) when all that was sent
/// through this producer and its clones are delivered. What a command has sent is flushed when it ends. A page or a
/// timer that does not flush goes on before its records are delivered: one that gets lost then is an error in the log.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[topic("orders", key = String, value = String)]
/// struct Orders;
///
/// #[command]
/// async fn order(orders: Producer<Orders>) -> Result<()> {
///     orders.send("ann", "tea".to_owned()).await?;
///     Ok(())
/// }
/// ```
pub struct Producer<S> {
    outbox: Arc<Outbox>,
    _of: PhantomData<fn() -> S>,
}

impl<S> Clone for Producer<S> {
    fn clone(&self) -> Self {
        Producer {
            outbox: Arc::clone(&self.outbox),
            _of: PhantomData,
        }
    }
}

/// What the producers of one process share.
pub(crate) enum Outlet {
    /// One client.
    Kafka(Client),
    /// What a test takes out and puts into its topics.
    Memory(Mutex<Vec<Kept>>),
}

/// A record that was sent in a test.
pub(crate) struct Kept {
    pub(crate) topic: &'static str,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    /// Without one it is the clock's.
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

pub(crate) struct Client {
    sender: Sender,
    properties: Properties,
    /// For topics that do not exist.
    new_topics: NewTopics,
    made: Mutex<HashSet<&'static str>>,
}

/// One producer's part of an outlet: its records, and what became of them.
struct Outbox {
    outlet: Arc<Outlet>,
    /// `None` in a test.
    account: Option<Account>,
}

impl Outbox {
    fn new(outlet: Arc<Outlet>) -> Self {
        let account = match &*outlet {
            Outlet::Kafka(client) => Some(client.sender.account()),
            Outlet::Memory(_) => None,
        };
        Outbox { outlet, account }
    }

    async fn send(&self, record: Kept) -> Result<(), Error> {
        match (&*self.outlet, &self.account) {
            (Outlet::Kafka(client), Some(account)) => client.send(account, &record).await,
            (Outlet::Memory(kept), _) => {
                kept.lock().push(record);
                Ok(())
            }
            (Outlet::Kafka(_), None) => {
                Err(Error::new(Kind::Internal, "a producer without an account"))
            }
        }
    }

    /// Waits until its records are delivered; the first failure is the error.
    async fn flush(&self) -> Result<(), Error> {
        let (Outlet::Kafka(client), Some(account)) = (&*self.outlet, &self.account) else {
            return Ok(());
        };
        client.settles(|| account.in_flight()).await;
        refused(&account.settled(DELIVERY_TIMEOUT).map_err(broker_error)?)
    }
}

impl Outlet {
    pub(crate) fn new(
        properties: &Properties,
        new_topics: NewTopics,
    ) -> Result<Arc<Outlet>, Error> {
        let sender = Sender::single(properties).map_err(broker_error)?;
        let properties = properties.clone();
        Ok(Arc::new(Outlet::Kafka(Client {
            sender,
            properties,
            new_topics,
            made: Mutex::default(),
        })))
    }

    /// For a test.
    pub(crate) fn memory() -> Arc<Outlet> {
        Arc::new(Outlet::Memory(Mutex::default()))
    }

    /// What was sent in a test, in the order of the calls.
    pub(crate) fn take(&self) -> Vec<Kept> {
        match self {
            Outlet::Kafka(_) => Vec::new(),
            Outlet::Memory(kept) => std::mem::take(&mut *kept.lock()),
        }
    }

    /// Waits until everything is delivered; the first failure that no producer was told of is the error.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        match self {
            Outlet::Kafka(client) => client.flush().await,
            Outlet::Memory(_) => Ok(()),
        }
    }

    /// Makes the topic if it does not exist.
    pub(crate) fn make(&self, topic: &'static TopicDescriptor) -> Result<(), Error> {
        match self {
            Outlet::Kafka(client) => client.make(topic),
            Outlet::Memory(_) => Ok(()),
        }
    }

    #[cfg(test)]
    fn in_flight(&self) -> usize {
        match self {
            Outlet::Kafka(client) => {
                client.sender.serve();
                client.sender.in_flight()
            }
            Outlet::Memory(_) => 0,
        }
    }

    /// The latest time that a record may have.
    fn latest(&self) -> i64 {
        match self {
            Outlet::Kafka(_) => wall_ms().saturating_add(STAMP_AHEAD_MS),
            Outlet::Memory(_) => i64::MAX,
        }
    }
}

impl Client {
    async fn send(&self, account: &Account, record: &Kept) -> Result<(), Error> {
        while self.sender.in_flight() > MAX_IN_FLIGHT {
            self.sender.serve();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let headers = record.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), Some(&value[..])));
        let out = Outgoing {
            topic: record.topic,
            partition: None,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            timestamp: record.timestamp,
            headers: (!record.headers.is_empty()).then(|| OutHeaders::new(headers)),
            slot: 0,
        };
        account.send(out).map_err(broker_error)?;
        self.sender.serve();
        Ok(())
    }

    /// Waits until none of these records is on its way, or until the time is over.
    async fn settles(&self, in_flight: impl Fn() -> usize) {
        let start = std::time::Instant::now();
        while in_flight() > 0 && start.elapsed() < DELIVERY_TIMEOUT {
            self.sender.serve();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until everything is delivered; nobody sends any more. The first failure is the error.
    async fn flush(&self) -> Result<(), Error> {
        self.settles(|| self.sender.in_flight()).await;
        refused(&self.sender.flush(Duration::ZERO).map_err(broker_error)?)
    }

    /// Makes the topic if it does not exist.
    fn make(&self, topic: &'static TopicDescriptor) -> Result<(), Error> {
        let mut made = self.made.lock();
        if made.contains(topic.name) {
            return Ok(());
        }
        let admin = Admin::new(&self.properties, BROKER_TIMEOUT).map_err(broker_error)?;
        if admin.topic(topic.name).map_err(broker_error)?.is_none() {
            if topic.external {
                let text = format!(
                    "{}: topic {} does not exist, and as an `external` one it is not made here",
                    topic.place, topic.name
                );
                return Err(Error::new(Kind::Refused, text));
            }
            admin
                .create(&[self.new_topics.topic(topic.name, Some(topic), None, &[])])
                .map_err(broker_error)?;
        }
        made.insert(topic.name);
        Ok(())
    }
}

impl<S: TopicSpec> Producer<S> {
    pub(crate) fn new(outlet: Arc<Outlet>) -> Result<Self, Error> {
        outlet.make(S::DESCRIPTOR)?;
        Ok(Producer {
            outbox: Arc::new(Outbox::new(outlet)),
            _of: PhantomData,
        })
    }

    /// Sends a record under a key.
    ///
    /// # Errors
    ///
    /// When the record has no JSON form, is too large, or has no key and the topic is `compact`. Whether it is
    /// delivered, [`flush`](Producer::flush) says.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn order(orders: Producer<Orders>) -> Result<()> {
    ///     orders.send("ann", "tea".to_owned()).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn send<Q>(&self, key: &Q, value: S::Value) -> Queueing<'_>
    where
        S::Key: SentUnder<Q>,
        Q: ?Sized,
    {
        self.message(value).key(S::Key::of(key)).queue()
    }

    /// Sends a tombstone: a key without a value.
    ///
    /// # Errors
    ///
    /// As [`send`](Producer::send).
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn order(orders: Producer<Orders>) -> Result<()> {
    ///     orders.delete("ann").await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn delete<Q>(&self, key: &Q) -> Queueing<'_>
    where
        S::Key: SentUnder<Q>,
        Q: ?Sized,
    {
        let mut bytes = Vec::new();
        S::Key::of(key).encode(&mut bytes);
        Box::pin(self.queue(Some(bytes), None, None, Vec::new()))
    }

    /// Begins a record with headers or a time of its own.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn order(orders: Producer<Orders>) -> Result<()> {
    ///     orders.message("tea".to_owned()).key("ann".to_owned()).header("from", "shop").send().await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn message(&self, value: S::Value) -> OutMessage<'_, S> {
        OutMessage {
            producer: self,
            value,
            key: None,
            headers: Vec::new(),
            timestamp: None,
        }
    }

    /// Waits until everything that was sent through this producer and its clones has been delivered, 2 minutes at most.
    ///
    /// # Errors
    ///
    /// The first of these records that could not be delivered, with its topic, key and size.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn order(orders: Producer<Orders>) -> Result<()> {
    ///     orders.send("ann", "tea".to_owned()).await?;
    ///     orders.flush().await?;
    ///     Ok(())
    /// }
    /// ```
    pub async fn flush(&self) -> Result<(), Error> {
        self.outbox.flush().await
    }

    async fn queue(
        &self,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        timestamp: Option<i64>,
        headers: Vec<(String, Vec<u8>)>,
    ) -> Result<(), Error> {
        let topic = S::DESCRIPTOR.name;
        if key.is_none() && S::DESCRIPTOR.compact {
            let text = format!(
                "a record without a key for {topic}, which is `compact`: a compacted topic needs a key"
            );
            return Err(Error::new(Kind::Record, text));
        }
        let record = Kept {
            topic,
            key,
            value,
            timestamp,
            headers,
        };
        self.outbox.send(record).await
    }
}

/// A record on its way into the producer's queue; see [`Producer::send`].
// No `async fn`: its future would repeat the bounds of the key, and each error with them.
pub type Queueing<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// Key, value, timestamp and headers of a record.
type Encoded = (
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<i64>,
    Vec<(String, Vec<u8>)>,
);

/// A record that is being made; see [`Producer::message`].
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[topic("orders", key = String, value = String)]
/// struct Orders;
///
/// #[command]
/// async fn order(orders: Producer<Orders>) -> Result<()> {
///     let order = orders.message("tea".to_owned()).key("ann".to_owned());
///     order.header("from", "shop").timestamp(Utc::now()).send().await?;
///     Ok(())
/// }
/// ```
#[must_use = "nothing is sent before `send`"]
pub struct OutMessage<'a, S: TopicSpec> {
    producer: &'a Producer<S>,
    value: S::Value,
    key: Option<S::Key>,
    headers: Vec<(String, Vec<u8>)>,
    timestamp: Option<i64>,
}

impl<'a, S: TopicSpec> OutMessage<'a, S> {
    /// Sets the key; without one the record has the record's, if the record carries one.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn order(orders: Producer<Orders>) -> Result<()> {
    ///     let order = orders.message("tea".to_owned()).key("ann".to_owned());
    ///     order.header("from", "shop").timestamp(Utc::now()).send().await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn key(mut self, key: S::Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Adds a header.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn order(orders: Producer<Orders>) -> Result<()> {
    ///     let order = orders.message("tea".to_owned()).key("ann".to_owned());
    ///     order.header("from", "shop").timestamp(Utc::now()).send().await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Sets the time; without one the record has the record's, else now.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn order(orders: Producer<Orders>) -> Result<()> {
    ///     let order = orders.message("tea".to_owned()).key("ann".to_owned());
    ///     order.header("from", "shop").timestamp(Utc::now()).send().await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn timestamp(mut self, time: chrono::DateTime<chrono::Utc>) -> Self {
        self.timestamp = Some(time.timestamp_millis());
        self
    }

    /// Sends it.
    ///
    /// # Errors
    ///
    /// As [`Producer::send`].
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn order(orders: Producer<Orders>) -> Result<()> {
    ///     let order = orders.message("tea".to_owned()).key("ann".to_owned());
    ///     order.header("from", "shop").timestamp(Utc::now()).send().await?;
    ///     Ok(())
    /// }
    /// ```
    pub async fn send(self) -> Result<(), Error> {
        self.queue().await
    }

    fn queue(self) -> Queueing<'a> {
        let producer = self.producer;
        match self.encoded() {
            Ok((key, value, stamp, headers)) => {
                Box::pin(producer.queue(key, value, stamp, headers))
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    /// Its key, value, timestamp and headers.
    fn encoded(self) -> Result<Encoded, Error> {
        let mut key = None;
        if let Some(given) = &self.key {
            key = encoded(given);
        } else if let Some(own) = self.value.key() {
            key = encoded(&own);
        }
        let mut value = Vec::new();
        let is_value = self.value.encode(&mut value)?;
        let time = self.timestamp.or_else(|| self.value.timestamp());
        let stamp = time.map(|time| time.clamp(1, self.producer.outbox.outlet.latest()));
        let mut headers = self.headers;
        if let (Some(time), true) = (time, stamp != time) {
            headers.push(("event-time".to_owned(), time.to_string().into_bytes()));
        }
        Ok((key, is_value.then_some(value), stamp, headers))
    }
}

fn encoded<K: StreamKey>(key: &K) -> Option<Vec<u8>> {
    if key.is_absent() {
        return None;
    }
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    Some(bytes)
}

fn refused(deliveries: &Deliveries) -> Result<(), Error> {
    match deliveries.failures.first() {
        None => Ok(()),
        Some(failure) => Err(Error::new(Kind::Broker, failure.to_string())),
    }
}

fn broker_error(fault: crate::kafka::Fault) -> Error {
    Error::new(Kind::Broker, fault.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::kafka::TopicSettings;
    use crate::prelude::*;

    #[topic("producer-words", value = String, key = String)]
    struct Words;

    /// The broker refuses what its settings say; the topic is there before.
    #[topic("producer-small", value = String, key = String)]
    struct Small;

    fn outlet() -> (stream_broker::Broker, tempfile::TempDir, Arc<Outlet>) {
        let dir = tempfile::tempdir().unwrap();
        let broker = stream_broker::Broker::start(stream_broker::Config::new(dir.path())).unwrap();
        let properties = Properties::broker(&broker.address().to_string());
        let admin = Admin::new(&properties, BROKER_TIMEOUT).unwrap();
        let small = TopicSettings {
            name: "producer-small".to_owned(),
            partitions: Some(1),
            replication: None,
            config: vec![("max.message.bytes".to_owned(), "1000".to_owned())],
        };
        admin.create(&[small]).unwrap();
        let outlet = Outlet::new(
            &properties,
            NewTopics {
                partitions: Some(1),
                ..NewTopics::default()
            },
        )
        .unwrap();
        (broker, dir, outlet)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_flush_does_not_fail_for_what_others_send_meanwhile() {
        let (_broker, _dir, outlet) = outlet();
        let one: Producer<Words> = Producer::new(Arc::clone(&outlet)).unwrap();
        let other: Producer<Words> = Producer::new(outlet).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let busy = tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                other.send("busy", "word".to_owned()).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        for _ in 0..200 {
            one.send("one", "word".to_owned()).await.unwrap();
            one.flush().await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
        busy.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_record_that_is_lost_is_told_to_who_sent_it_and_to_nobody_else() {
        let (_broker, _dir, outlet) = outlet();
        let large: Producer<Small> = Producer::new(Arc::clone(&outlet)).unwrap();
        let words: Producer<Words> = Producer::new(Arc::clone(&outlet)).unwrap();
        large.send("large", "x".repeat(2_000)).await.unwrap();
        words.send("word", "word".to_owned()).await.unwrap();
        while outlet.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        words.flush().await.unwrap();
        let error = large.flush().await.unwrap_err().to_string();
        assert!(error.contains("producer-small"), "{error}");
        large.flush().await.expect("told once");

        // Of a sender that has gone on without asking the whole outlet tells when it ends.
        large.send("lost", "x".repeat(2_000)).await.unwrap();
        drop(large);
        words.flush().await.unwrap();
        let error = outlet.flush().await.unwrap_err().to_string();
        assert!(error.contains("\"lost\""), "{error}");
    }
}
