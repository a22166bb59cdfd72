//! A record that a test sends.

use chrono::{DateTime, Utc};

use super::app::TestApp;
use crate::record::Record;

/// A record that is being made; see [`TestApp::message`].
pub struct TestMessage<'a, T> {
    pub(super) app: &'a mut TestApp,
    pub(super) topic: String,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: T,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) stamp: Stamp,
}

/// A Kafka timestamp.
#[derive(Clone, Copy)]
pub(super) enum Stamp {
    /// The event time of the record, else the clock's.
    OfRecord,
    /// This one, epoch ms.
    Of(i64),
    /// None.
    None,
}

impl<T: Record> TestMessage<'_, T> {
    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Sets its Kafka timestamp: the event time of records that name no field for it. The clock follows the event time.
    pub fn timestamp(mut self, time: DateTime<Utc>) -> Self {
        self.stamp = Stamp::Of(time.timestamp_millis());
        self
    }

    /// Leaves it without a Kafka timestamp, as a producer does that sends -1.
    pub fn without_timestamp(mut self) -> Self {
        self.stamp = Stamp::None;
        self
    }

    /// Puts it into its topic, where Kafka's partitioner puts its key.
    ///
    /// # Panics
    /// When the record does not serialize.
    #[track_caller]
    pub fn send(self) {
        let mut bytes = Vec::new();
        let some = match self.value.encode(&mut bytes) {
            Ok(some) => some,
            Err(e) => panic!("{e}"),
        };
        let time = self.value.timestamp();
        self.app.put(
            &self.topic,
            self.key,
            some.then_some(bytes),
            (time, self.stamp),
            self.headers,
        );
    }
}
