//! What an app has sent.

use std::ops::Deref;

use crate::key::StreamKey;

/// A committed record of a topic. It derefs to the record.
#[derive(Clone, Debug)]
pub struct Sent<T> {
    pub(super) record: T,
    pub(super) key: Option<Vec<u8>>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

impl<T> Deref for Sent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.record
    }
}

impl<T> Sent<T> {
    /// Returns the record without its envelope.
    pub fn into_value(self) -> T {
        self.record
    }

    /// Returns its key.
    ///
    /// # Panics
    /// When the record has no key or its bytes are not `K`.
    #[track_caller]
    pub fn key<K: StreamKey>(&self) -> K {
        match K::decode(self.key.as_deref()) {
            Ok(key) => key,
            Err(e) => panic!("{e}"),
        }
    }

    /// Returns the partition it went to.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Returns its offset there.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Returns its Kafka timestamp in epoch milliseconds.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// Returns the text of a header; `None` if there is none of the name or it is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().rev().find(|(n, _)| n == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// A key as a test gives it: `"text"`, or a value of any key type.
pub trait TestKey {
    /// Its wire bytes; `None` for no key.
    fn bytes(self) -> Option<Vec<u8>>;
}

impl TestKey for &str {
    fn bytes(self) -> Option<Vec<u8>> {
        Some(self.as_bytes().to_vec())
    }
}

impl<K: StreamKey> TestKey for K {
    fn bytes(self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        StreamKey::encode(&self, &mut out);
        (!self.is_absent()).then_some(out)
    }
}
