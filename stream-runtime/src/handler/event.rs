//! The current event as a handler sees it.

use std::cell::OnceCell;
use std::ops::Deref;

use chrono::{DateTime, Utc};
use smallvec::SmallVec;

use super::headers::Headers;
use crate::error::raise_bad_record;
use crate::key::StreamKey;
use crate::record::{Payload, date};

/// A record with its key, time and place. It derefs to the record.
///
/// ```
/// use stream_runtime::Event;
/// let event: Event<String> = Event::new("power".to_owned(), "234.8".to_owned());
/// assert_eq!((event.key().as_str(), event.len()), ("power", 5));
/// ```
#[derive(Debug)]
pub struct Event<T, K = String> {
    pub(crate) record: T,
    pub(crate) key: OnceCell<K>,
    pub(crate) raw_key: Option<SmallVec<[u8; 24]>>,
    pub(crate) time: i64,
    pub(crate) offset: i64,
    pub(crate) partition: i32,
    pub(crate) headers: Option<Box<Headers>>,
}

impl<T, K> Deref for Event<T, K> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.record
    }
}

impl<T: Payload, K: StreamKey> Event<T, K> {
    /// Creates an event for a unit test of an event-form agent: offset 0 of partition 0, its time from the record or 0.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// let event: Event<String> = Event::new("ann".to_owned(), "hello".to_owned());
    /// assert_eq!((event.key().as_str(), event.as_str()), ("ann", "hello"));
    /// ```
    pub fn new(key: K, value: T) -> Self {
        let time = value.timestamp().unwrap_or(0);
        Event {
            record: value,
            key: OnceCell::from(key),
            raw_key: None,
            time,
            offset: 0,
            partition: 0,
            headers: None,
        }
    }
}

impl<T, K> Event<T, K> {
    /// Sets the event time, for a unit test.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// let time = DateTime::from_timestamp_millis(1_700_000_000_000).unwrap();
    /// let event: Event<String> = Event::new("ann".to_owned(), "hello".to_owned()).with_time(time);
    /// assert_eq!(event.timestamp(), 1_700_000_000_000);
    /// ```
    #[must_use]
    pub fn with_time(mut self, time: DateTime<Utc>) -> Self {
        self.time = time.timestamp_millis();
        self
    }

    /// Sets partition and offset, for a unit test.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// let event: Event<String> = Event::new("ann".to_owned(), "hello".to_owned()).with_place(3, 17);
    /// assert_eq!((event.partition(), event.offset()), (3, 17));
    /// ```
    #[must_use]
    pub fn with_place(mut self, partition: i32, offset: i64) -> Self {
        (self.partition, self.offset) = (partition, offset);
        self
    }

    /// Sets the Kafka headers, for a unit test.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// let headers: Headers = [("from", "ann")].into_iter().collect();
    /// let event: Event<String> = Event::new("k".to_owned(), "hello".to_owned()).with_headers(headers);
    /// assert_eq!(event.headers().text("from"), Some("ann"));
    /// ```
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = Some(Box::new(headers));
        self
    }
}

impl<T, K: StreamKey> Event<T, K> {
    /// Returns the record's key. A record without a key, or with bytes that are not `K`, is a bad record: the handler
    /// ends here and `on_decode_error` decides; with `K = Option<..>` a missing key is `None`.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// let event: Event<String> = Event::new("ann".to_owned(), "hello".to_owned());
    /// assert_eq!(event.key(), "ann");
    /// ```
    pub fn key(&self) -> &K {
        self.key
            .get_or_init(|| match K::decode(self.raw_key.as_deref()) {
                Ok(key) => key,
                Err(e) => raise_bad_record(e.to_string()),
            })
    }
}

impl<T, K> Event<T, K> {
    /// Returns the event time in milliseconds since the epoch: the record's `timestamp` field, else the Kafka
    /// timestamp.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "seconds")]
    /// async fn seconds(word: Event<String>) -> String {
    ///     (word.timestamp() / 1_000).to_string()
    /// }
    /// ```
    pub fn timestamp(&self) -> i64 {
        self.time
    }

    /// Returns the event time as a date; the nearest date for times beyond chrono's range.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "seen")]
    /// async fn look(word: Event<String>) -> String {
    ///     let from = word.headers().text("from").unwrap_or("nobody");
    ///     format!("{} of {from} at {}: {}[{}]", *word, word.time(), word.offset(), word.partition())
    /// }
    /// ```
    pub fn time(&self) -> DateTime<Utc> {
        date(self.time)
    }

    /// Returns the offset of the record in its partition.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "seen")]
    /// async fn look(word: Event<String>) -> String {
    ///     let from = word.headers().text("from").unwrap_or("nobody");
    ///     format!("{} of {from} at {}: {}[{}]", *word, word.time(), word.offset(), word.partition())
    /// }
    /// ```
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Returns the partition it came from.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "seen")]
    /// async fn look(word: Event<String>) -> String {
    ///     let from = word.headers().text("from").unwrap_or("nobody");
    ///     format!("{} of {from} at {}: {}[{}]", *word, word.time(), word.offset(), word.partition())
    /// }
    /// ```
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Returns its Kafka headers.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "seen")]
    /// async fn look(word: Event<String>) -> String {
    ///     let from = word.headers().text("from").unwrap_or("nobody");
    ///     format!("{} of {from} at {}: {}[{}]", *word, word.time(), word.offset(), word.partition())
    /// }
    /// ```
    pub fn headers(&self) -> &Headers {
        static NONE: Headers = Headers::empty();
        self.headers.as_deref().unwrap_or(&NONE)
    }

    /// The same event of another record.
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Event<U, K> {
        Event {
            record: f(self.record),
            key: self.key,
            raw_key: self.raw_key,
            time: self.time,
            offset: self.offset,
            partition: self.partition,
            headers: self.headers,
        }
    }

    /// Returns the record without its envelope.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// let event: Event<String> = Event::new("ann".to_owned(), "hello".to_owned());
    /// assert_eq!(event.into_value(), "hello");
    /// ```
    pub fn into_value(self) -> T {
        self.record
    }
}
