//! A record that a join keeps, as its row says it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Key's wire bytes, event time, offset: equal keys and times stay two records.
pub type BufferKey = (Bytes, i64, i64);

/// A record that waits for partners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Whether it has met one. Known of sides that are emitted alone.
    pub matched: bool,
    /// Its value as it came.
    #[serde(with = "as_bytes")]
    pub record: Bytes,
}

/// `Bytes` as a byte string instead of a list of numbers.
mod as_bytes {
    use bytes::Bytes;
    use serde::de::{Deserializer, Visitor};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(bytes: &Bytes, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Bytes, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes::copy_from_slice(bytes))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes::from(bytes))
            }
        }
        d.deserialize_bytes(Read)
    }
}
