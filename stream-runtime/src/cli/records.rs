//! The records of a topic, for a command of the app.

use std::marker::PhantomData;
use std::ops::{ControlFlow, Deref};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::error::CliResult;
use super::follow::{Follow, Step};
use crate::error::{Error, Kind};
use crate::kafka::{Admin, Isolation, Properties};
use crate::key::StreamKey;
use crate::record::Record;
use crate::task::TopicSpec;

/// The committed records of a topic, in the order of each partition. Made by
/// [`AppHandle::records`](super::AppHandle::records).
pub struct Records<S> {
    received: Receiver<Result<Raw, Error>>,
    reader: Option<JoinHandle<()>>,
    _of: PhantomData<fn() -> S>,
}

/// A record that was read; derefs to its value.
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

impl<S: TopicSpec> Records<S> {
    pub(super) fn start(
        properties: Properties,
        group: &str,
        until_end: bool,
    ) -> Result<Self, Error> {
        let (send, received) = channel(1_000);
        let follow = Follow {
            topic: S::DESCRIPTOR.name.to_owned(),
            partitions: Vec::new(),
            from_beginning: true,
            until_end,
            isolation: Isolation::Committed,
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

    /// The next record; waits for one.
    ///
    /// # Errors
    ///
    /// When the broker refuses, or a record does not decode.
    pub async fn next(&mut self) -> Result<ReadRecord<S::Key, S::Value>, Error> {
        match self.received.recv().await {
            Some(raw) => Self::decode(raw?),
            None => Err(Error::new(
                Kind::Broker,
                format!("reading {} has ended", S::DESCRIPTOR.name),
            )),
        }
    }

    /// All up to the end that was there when it began.
    pub(super) async fn all(mut self) -> Result<Vec<ReadRecord<S::Key, S::Value>>, Error> {
        let mut all = Vec::new();
        while let Some(raw) = self.received.recv().await {
            all.push(Self::decode(raw?)?);
        }
        Ok(all)
    }

    fn decode(raw: Raw) -> Result<ReadRecord<S::Key, S::Value>, Error> {
        let place = || format!("{}[{}]@{}", S::DESCRIPTOR.name, raw.partition, raw.offset);
        Ok(ReadRecord {
            key: S::Key::decode(raw.key.as_deref())
                .map_err(|error| Error::from(error).context(place()))?,
            value: S::Value::decode(raw.value.as_deref())
                .map_err(|error| Error::from(error).context(place()))?,
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
