//! Keys: what a record is addressed by, on the wire and in a table.

mod compound;
mod partition;
mod scalar;
mod text;

pub(crate) use partition::{partition_of, partition_of_none};
pub use text::KeyForm;
pub(crate) use text::{hex, show_bytes};

use crate::error::{Error, Kind as ErrorKind, counted};
use serde_json::Value;
use std::{fmt, hash::Hash};

/// A type that can be the key of a topic or a table.
///
/// A key has two byte forms:
///
/// * the **wire form** ([`encode`](Self::encode), [`decode`](Self::decode)) is what other Kafka clients see. It is that
///   of Java's serializers: text as UTF-8, integers big-endian, a [`Uuid`](uuid::Uuid) as text, [`Bytes`](bytes::Bytes)
///   raw;
/// * the **ordered form** ([`encode_ordered`](Self::encode_ordered)) is what tables use: its bytes sort as the values
///   do, so signed integers have their sign bit flipped and all but the last part of a tuple end in a terminator.
///
/// Implemented for `String`, `Bytes`, `Uuid`, `bool`, all integers up to 64 bits, tuples of two or three keys, and
/// `Option<K>`, which accepts a record without a key.
///
/// ```
/// use stream_runtime::StreamKey;
///
/// let mut wire = Vec::new();
/// 258_i32.encode(&mut wire);
/// assert_eq!(wire, [0, 0, 1, 2]);
/// assert_eq!(i32::decode(Some(&wire))?, 258);
/// assert_eq!(String::decode(None).unwrap_err().to_string(), "the record has no key");
/// # Ok::<(), stream_runtime::KeyError>(())
/// ```
///
/// A key that others write as JSON, as Debezium does (`{"id":1}`), is a type of your own. It has to write the very
/// bytes that they do: the partition follows from these.
///
/// ```
/// use stream_runtime::{KeyError, StreamKey};
/// use stream_runtime::prelude::*;
/// use stream_runtime::testing::TestApp;
///
/// #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
/// struct OrderKey { id: u64 }
///
/// impl StreamKey for OrderKey {
///     const NAME: &'static str = "OrderKey";
///
///     fn encode(&self, out: &mut Vec<u8>) {
///         out.extend_from_slice(format!(r#"{{"id":{}}}"#, self.id).as_bytes());
///     }
///
///     fn decode(bytes: Option<&[u8]>) -> Result<Self, KeyError> {
///         let bytes = bytes.ok_or_else(KeyError::missing)?;
///         serde_json::from_slice(bytes).map_err(|_| KeyError::form(Self::NAME))
///     }
///
///     // Rows go by number, where the text would put 10 before 9.
///     fn encode_ordered(&self, out: &mut Vec<u8>) {
///         self.id.encode_ordered(out);
///     }
///
///     fn decode_ordered(bytes: &[u8]) -> Result<Self, KeyError> {
///         u64::decode_ordered(bytes).map(|id| OrderKey { id })
///     }
/// }
///
/// #[topic("shop.orders", value = String, key = OrderKey, external)]
/// struct Orders;
///
/// #[table(key = OrderKey, value = u64)]
/// struct Changes;
///
/// #[agent(topic = Orders, sink = "changes")]
/// async fn count(order: Event<String, OrderKey>, mut changes: Table<Changes>) -> String {
///     let n = changes.update(order.key(), |n| { *n += 1; *n });
///     format!("{}: {n}", order.key().id)
/// }
///
/// let mut app = TestApp::only((count,));
/// app.send_raw("shop.orders", Some(br#"{"id":1}"#), Some(b"new"));
/// assert_eq!(*app.sent::<String>("changes")[0], "1: 1");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "no byte encoding",
    note = "use a String, an integer, a Uuid, Bytes, or a tuple of them",
    note = "of a struct, a record too, take a field, or a tuple of several: `key = (String, u32)`; bytes of its own are an `impl stream_runtime::StreamKey`"
)]
pub trait StreamKey: Clone + Eq + Hash + Ord + 'static {
    /// The type's name, as `plan` shows it and readers of one topic are compared by.
    const NAME: &'static str;

    /// Whether a record without a key is a legal value (`Option<K>` only).
    const OPTIONAL: bool = false;

    /// Appends the wire form.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads the wire form; `None` means that the record has no key.
    ///
    /// # Errors
    ///
    /// When the key is missing and the type is not an `Option`, or when the bytes are not the wire form of the type.
    fn decode(bytes: Option<&[u8]>) -> Result<Self, KeyError>;

    /// Appends the order-preserving form.
    fn encode_ordered(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }

    /// Reads the order-preserving form.
    ///
    /// # Errors
    ///
    /// When the bytes are not the ordered form of the type.
    fn decode_ordered(bytes: &[u8]) -> Result<Self, KeyError> {
        Self::decode(Some(bytes))
    }

    /// Whether a record with this key is sent without one (the `None` of an `Option<K>`).
    fn is_absent(&self) -> bool {
        false
    }

    /// The key as JSON, for people and programs that do not know its type: text, a number, the list of a tuple's parts.
    ///
    /// Default: the wire form as text, in hexadecimal if it is none.
    fn to_json(&self) -> Value {
        let mut wire = Vec::new();
        self.encode(&mut wire);
        Value::from(show_bytes(&wire))
    }

    /// Reads what [`to_json`](Self::to_json) gives, and the same as one text, as a command line has it: `7`,
    /// `["ann",7]`.
    ///
    /// Default: the wire form as text.
    ///
    /// # Errors
    ///
    /// When that is not a key of the type.
    fn from_json(value: &Value) -> Result<Self, KeyError> {
        Self::decode(Some(&text::read_bytes(&text::scalar(value, Self::NAME)?)?))
    }

    /// Returns the key as a message shows it: text in quotes, a number as it is, other bytes in hex.
    fn show(&self) -> String {
        let mut wire = Vec::new();
        self.encode(&mut wire);
        preview(&wire)
    }

    /// Whether one of a compound key's parts has this wire form.
    #[doc(hidden)]
    fn has_part(&self, _wire: &[u8]) -> bool {
        false
    }
}

/// At most 60 characters of a key's wire form, for messages.
pub(crate) fn preview(key: &[u8]) -> String {
    let head = &key[..key.len().min(60)];
    let more = if key.len() > head.len() { "…" } else { "" };
    match std::str::from_utf8(head) {
        Ok(text) if !text.chars().any(char::is_control) => format!("\"{text}\"{more}"),
        _ => {
            let hex = head.iter().take(30).map(|b| format!("{b:02x}"));
            format!("0x{}{more}", hex.collect::<String>())
        }
    }
}

/// Why bytes are not a key of the type that was asked for.
///
/// ```
/// use stream_runtime::KeyError;
///
/// assert!(KeyError::missing().is_missing());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Missing,
    Utf8,
    Length {
        name: &'static str,
        want: usize,
        got: usize,
    },
    Form {
        name: &'static str,
    },
    Text {
        name: &'static str,
        written: String,
        problem: String,
    },
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        Self::caused(ErrorKind::Record, error)
    }
}

impl KeyError {
    /// Returns `true` if the record has no key at all.
    ///
    /// ```
    /// use stream_runtime::KeyError;
    ///
    /// assert!(KeyError::missing().is_missing());
    /// ```
    pub fn is_missing(&self) -> bool {
        self.0 == Kind::Missing
    }

    /// Creates the error of a record without a key.
    ///
    /// ```
    /// use stream_runtime::KeyError;
    ///
    /// assert_eq!(KeyError::missing().is_missing(), true);
    /// ```
    pub fn missing() -> Self {
        Self(Kind::Missing)
    }

    pub(crate) fn utf8() -> Self {
        Self(Kind::Utf8)
    }

    pub(crate) fn length(name: &'static str, want: usize, got: usize) -> Self {
        Self(Kind::Length { name, want, got })
    }

    /// Creates the error of bytes that are not a key of this name.
    ///
    /// ```
    /// use stream_runtime::KeyError;
    ///
    /// assert!(!KeyError::form("u32").is_missing());
    /// ```
    pub fn form(name: &'static str) -> Self {
        Self(Kind::Form { name })
    }

    pub(crate) fn text(name: &'static str, written: &str, problem: &str) -> Self {
        Self(Kind::Text {
            name,
            written: written.to_owned(),
            problem: problem.to_owned(),
        })
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Missing => f.write_str("the record has no key"),
            Kind::Utf8 => f.write_str("the key is not valid UTF-8"),
            Kind::Length { name, want, got } => {
                write!(
                    f,
                    "the key has {}, a {name} has {want}",
                    counted(*got, "byte")
                )
            }
            Kind::Form { name } => write!(f, "the key is not the encoding of a {name}"),
            Kind::Text {
                name,
                written,
                problem,
            } => {
                let article = match name.starts_with(['a', 'e', 'i', 'o']) {
                    true => "an",
                    false => "a",
                };
                write!(f, "`{written}` is not {article} {name}: {problem}")
            }
        }
    }
}

impl std::error::Error for KeyError {}

/// The bytes, or the error that there are none.
fn present(bytes: Option<&[u8]>) -> Result<&[u8], KeyError> {
    bytes.ok_or_else(KeyError::missing)
}
