//! Records: the values that topics carry.

mod builtin;
pub(crate) mod coerce;
pub(crate) mod datetime;
pub(crate) mod decode;
mod form;
pub(crate) mod path;
mod payload;
pub mod rules;
pub mod shape;
#[cfg(test)]
mod tests;
mod time;

pub use coerce::Coerce;
pub use decode::{DecodeError, EncodeError};
pub use form::RecordForm;
pub use payload::Payload;
pub use time::EventTime;
pub(crate) use time::date;

use crate::StreamKey;

/// A value that a topic carries.
///
/// Made by `#[record]`. `String`, [`Bytes`](bytes::Bytes) and [`serde_json::Value`] are records as well: the first two
/// are the raw bytes of the message, the third is any JSON. A handler that takes `Option<T>` gets a tombstone as
/// `None`; with `T` a tombstone is a bad record.
///
/// ```
/// use stream_runtime::Record;
///
/// assert_eq!(String::decode(Some(b"hello")).unwrap(), "hello");
/// assert!(String::decode(None).unwrap_err().is_tombstone());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stream record",
    label = "not a record",
    note = "add `#[record]` to `{Self}`"
)]
pub trait Record: Sized + 'static {
    /// The key of a topic of these records, unless the topic says otherwise: the type of `#[record(key = field)]`'s
    /// field, else `String`.
    type Key: StreamKey;

    /// The type's name, for messages and `plan`.
    const NAME: &'static str;

    /// Whether the record carries its event time (`#[record(timestamp = field)]`).
    const HAS_TIMESTAMP: bool = false;

    /// Whether the record carries its key (`#[record(key = field)]`).
    const HAS_KEY: bool = false;

    /// How it is written: `"json"`, `"raw"`, `"text"`, `"binary"`, `"msgpack"`, or `""` by a codec of the user's.
    #[doc(hidden)]
    const CODEC: &'static str = "";

    /// What it looks like on the wire, for `plan.lock`.
    #[doc(hidden)]
    const SHAPE: &'static shape::Shape = &shape::Shape::OPAQUE;

    /// Name of that field, as `#[record]` has it.
    #[doc(hidden)]
    const KEY_FIELD: &'static str = "";

    /// Reads the value of a message and checks the field rules; `None` is a tombstone.
    ///
    /// # Errors
    ///
    /// When the bytes are not the JSON of this type, when a field breaks a rule, or on a tombstone.
    fn decode(value: Option<&[u8]>) -> Result<Self, DecodeError>;

    /// Appends the value of a message; `Ok(false)` means that there is none: a tombstone.
    ///
    /// # Errors
    ///
    /// When the value has no JSON form (a map whose keys are not text, or a `Serialize` of the user's that fails).
    fn encode(&self, out: &mut Vec<u8>) -> Result<bool, EncodeError>;

    /// The event time in milliseconds since the epoch, when the record carries it.
    fn timestamp(&self) -> Option<i64> {
        None
    }

    /// The key, when the record carries it.
    fn key(&self) -> Option<Self::Key> {
        None
    }
}

/// Whether records of a type are written by the codec of this name; what the expansion of `#[topic(codec = ..)]` asks.
pub const fn is_written_by<T: Record>(codec: &str) -> bool {
    let (own, asked) = (T::CODEC.as_bytes(), codec.as_bytes());
    let mut same = own.len() == asked.len();
    let mut at = 0;
    while same && at < own.len() {
        same = own[at] == asked[at];
        at += 1;
    }
    same
}

/// A record, reached by the same path for its key and for itself; what the expansion of `#[topic]` uses.
pub trait AsRecord {
    /// The record's key.
    type Key: StreamKey;
    /// The record itself.
    type Record: Record;
}

impl<T: Record> AsRecord for T {
    type Key = T::Key;
    type Record = T;
}
