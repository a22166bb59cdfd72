//! A record that a test sends.

use super::sent::TestKey;
use chrono::{DateTime, Utc};

use super::app::TestApp;
use super::stamp::Stamp;
use crate::record::Record;

/// A record that is being made; see [`TestApp::message`].
#[must_use = "nothing is sent before `send`"]
pub struct TestMessage<'a, T> {
    pub(super) app: &'a mut TestApp,
    pub(super) topic: String,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: T,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) stamp: Stamp,
}

impl TestApp {
    /// Begins a record with headers or a Kafka timestamp of its own.
    ///
    /// ```standalone_crate
    /// use stream_runtime::prelude::*;
    /// use stream_runtime::testing::{TestApp, at};
    ///
    /// #[agent(topic = "words", sink = "seen")]
    /// async fn look(word: Event<String>) -> String {
    ///     let from = word.headers().text("from").unwrap_or("nobody");
    ///     format!("{} of {from} at {}", *word, word.time().timestamp())
    /// }
    ///
    /// let mut app = TestApp::only((look,));
    /// app.message("words", "k", "hello".to_owned())
    ///     .header("from", "ann")
    ///     .timestamp(at("1970-01-01T00:01:00Z"))
    ///     .send();
    /// assert_eq!(*app.sent::<String>("seen")[0], "hello of ann at 60");
    /// ```
    pub fn message<T: Record>(
        &mut self,
        topic: &str,
        key: impl TestKey,
        value: T,
    ) -> TestMessage<'_, T> {
        TestMessage {
            topic: topic.to_owned(),
            key: TestKey::bytes(key),
            value,
            headers: Vec::new(),
            stamp: Stamp::OfRecord,
            app: self,
        }
    }
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
