//! The records of a topic, for a command of the app.

use std::marker::PhantomData;
use std::ops::{ControlFlow, Deref};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::error::CliResult;
use super::topic_reader::{Follow, Step};
use crate::error::{Error, Kind};
use crate::handler::TopicSpec;
use crate::kafka::{Admin, Isolation, Properties};
use crate::key::StreamKey;
use crate::record::Payload;

/// The committed records of a topic, in the order of each partition. Made by
/// [`AppHandle::records`](super::AppHandle::records).
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[topic("orders", key = String, value = String)]
/// struct Orders;
///
/// #[command]
/// async fn look(app: AppHandle) -> Result<()> {
///     let mut orders = app.records::<Orders>()?;
///     for _ in 0..10 {
///         println!("{}", orders.next().await?.value);
///     }
///     Ok(())
/// }
/// ```
pub struct Records<S> {
    received: Receiver<Result<Raw, Error>>,
    reader: Option<JoinHandle<()>>,
    _of: PhantomData<fn() -> S>,
}

/// A record that was read; derefs to its value.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[topic("orders", key = String, value = String)]
/// struct Orders;
///
/// #[command]
/// async fn look(app: AppHandle) -> Result<()> {
///     let order = app.records::<Orders>()?.next().await?;
///     println!("{}[{}]@{}", *order, order.partition, order.offset);
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ReadRecord<K, T> {
    /// Its key.
    pub key: K,
    /// Its value.
    pub value: T,
    /// The partition it lies in.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// Its time in milliseconds since the epoch.
    pub timestamp: i64,
}

impl<K, T> Deref for ReadRecord<K, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

struct Raw {
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// A topic to be read: a `#[topic]` type, or `Option` of one, to which a tombstone is `None`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name a topic",
    label = "not a topic",
    note = "a topic is declared once: `#[topic(\"name\", value = MyRecord)] struct MyTopic;`, then read as `MyTopic`, or as `Option<MyTopic>` where there are tombstones"
)]
pub trait ReadTopic: 'static {
    /// The topic.
    type Topic: TopicSpec;
    /// What a record of it is read as.
    type Value: Payload;
}

impl<S: TopicSpec> ReadTopic for S {
    type Topic = S;
    type Value = S::Value;
}

impl<S: TopicSpec> ReadTopic for Option<S> {
    type Topic = S;
    type Value = Option<S::Value>;
}

/// Type of the keys of a topic.
type KeyOf<S> = <<S as ReadTopic>::Topic as TopicSpec>::Key;

/// Its name.
const fn name<S: ReadTopic>() -> &'static str {
    S::Topic::DESCRIPTOR.name
}

impl<S: ReadTopic> Records<S> {
    pub(super) fn start(
        properties: Properties,
        group: &str,
        until_end: bool,
    ) -> Result<Self, Error> {
        let (send, received) = channel(1_000);
        let follow = Follow {
            topic: name::<S>().to_owned(),
            partitions: Vec::new(),
            from_beginning: true,
            until_end,
            isolation: Isolation::Committed,
            watermarks: false,
            group: group.to_owned(),
        };
        // librdkafka's queues belong to one thread.
        let reader = std::thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || {
                if let Err(error) = read(&follow, &properties, &send) {
                    let _ = send.blocking_send(Err(Error::new(Kind::Broker, error.to_string())));
                }
            })
            .map_err(|error| {
                Error::new(Kind::Internal, format!("cannot start a thread: {error}"))
            })?;
        Ok(Records {
            received,
            reader: Some(reader),
            _of: PhantomData,
        })
    }

    /// Waits for the next record and returns it.
    ///
    /// # Errors
    ///
    /// When the broker refuses, or a record does not decode.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn look(app: AppHandle) -> Result<()> {
    ///     let order = app.records::<Orders>()?.next().await?;
    ///     println!("{}", order.len());
    ///     Ok(())
    /// }
    /// ```
    pub async fn next(&mut self) -> Result<ReadRecord<KeyOf<S>, S::Value>, Error> {
        match self.received.recv().await {
            Some(raw) => Self::decode(raw?),
            None => Err(Error::new(
                Kind::Broker,
                format!("reading {} has ended", name::<S>()),
            )),
        }
    }

    /// All up to the end that was there when it began.
    pub(super) async fn all(mut self) -> Result<Vec<ReadRecord<KeyOf<S>, S::Value>>, Error> {
        let mut all = Vec::new();
        while let Some(raw) = self.received.recv().await {
            all.push(Self::decode(raw?)?);
        }
        Ok(all)
    }

    fn decode(raw: Raw) -> Result<ReadRecord<KeyOf<S>, S::Value>, Error> {
        let place = || format!("{}[{}]@{}", name::<S>(), raw.partition, raw.offset);
        let value = S::Value::decode(raw.value.as_deref()).map_err(|error| {
            match error.is_tombstone() {
                true => Error::new(
                    Kind::Record,
                    "a tombstone (a message without a value): ask for the records of `Option<..>` of the topic's type",
                ),
                false => Error::from(error),
            }
            .context(place())
        })?;
        Ok(ReadRecord {
            key: KeyOf::<S>::decode(raw.key.as_deref())
                .map_err(|error| Error::from(error).context(place()))?,
            value,
            partition: raw.partition,
            offset: raw.offset,
            timestamp: raw.timestamp,
        })
    }
}

impl<S> Drop for Records<S> {
    fn drop(&mut self) {
        self.received.close();
        // It looks every 100 ms; a broker that goes away before its clients makes noise in the log.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn read(follow: &Follow, properties: &Properties, send: &Sender<Result<Raw, Error>>) -> CliResult {
    let admin = Admin::new(properties, Duration::from_secs(15))?;
    follow.run(properties, &admin, &mut |step| {
        let gone = match step {
            Step::Record(partition, record) => {
                let raw = Raw {
                    partition,
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                };
                send.blocking_send(Ok(raw)).is_err()
            }
            Step::NoTopic | Step::Quiet(_) => send.is_closed(),
        };
        Ok(if gone {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })
}
