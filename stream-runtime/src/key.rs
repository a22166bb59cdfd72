//! Keys: what a record is addressed by, on the wire and in a table.

mod compound;
mod partition;
mod scalar;

pub(crate) use partition::partition_of;

use std::{fmt, hash::Hash};

/// A type that can be the key of a topic or a table.
///
/// A key has two byte forms:
///
/// * the **wire form** ([`encode`](Self::encode), [`decode`](Self::decode)) is what other Kafka clients see. It is that of
///   Java's serializers: text as UTF-8, integers big-endian, a [`Uuid`](uuid::Uuid) as text, [`Bytes`](bytes::Bytes) raw;
/// * the **ordered form** ([`encode_ordered`](Self::encode_ordered)) is what tables use: its bytes sort as the values do,
///   so signed integers have their sign bit flipped and all but the last part of a tuple end in a terminator.
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "no byte encoding",
    note = "use a String, an integer, a Uuid, Bytes, or a tuple of them"
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
    /// When the key is missing and the type is no `Option`, or when the bytes are not the wire form of the type.
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
}

/// Why bytes are not a key of the type that was asked for.
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
}

impl KeyError {
    /// Whether the record has no key at all.
    pub fn is_missing(&self) -> bool {
        self.0 == Kind::Missing
    }

    pub(crate) fn missing() -> Self {
        Self(Kind::Missing)
    }

    pub(crate) fn utf8() -> Self {
        Self(Kind::Utf8)
    }

    pub(crate) fn length(name: &'static str, want: usize, got: usize) -> Self {
        Self(Kind::Length { name, want, got })
    }

    pub(crate) fn form(name: &'static str) -> Self {
        Self(Kind::Form { name })
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Missing => f.write_str("the record has no key"),
            Kind::Utf8 => f.write_str("the key is not valid UTF-8"),
            Kind::Length { name, want, got } => {
                write!(f, "the key has {got} bytes, a {name} has {want}")
            }
            Kind::Form { name } => write!(f, "the key is not the encoding of a {name}"),
        }
    }
}

impl std::error::Error for KeyError {}

/// The bytes, or the error that there are none.
fn present(bytes: Option<&[u8]>) -> Result<&[u8], KeyError> {
    bytes.ok_or_else(KeyError::missing)
}
