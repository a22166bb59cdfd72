//! How the values of messages are written: what `#[record(codec = ..)]` names.

use std::fmt::Display;
use std::io::Write as _;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::rows;

/// Why bytes are not a value, or a value has no bytes.
pub type CodecError = Box<dyn std::error::Error + Send + Sync>;

/// Reads and writes the values of messages; `#[record(codec = MyCodec)]` uses it in place of JSON.
///
/// A tombstone never reaches it: a message without a value is `None` to who takes `Option<T>`, and a bad record
/// otherwise.
///
/// ```
/// use stream_runtime::codecs::{Codec, CodecError};
/// use stream_runtime::prelude::*;
///
/// /// Two numbers in a line, as an old meter sends them.
/// struct Line;
///
/// impl Codec<Sample> for Line {
///     fn decode(bytes: &[u8]) -> Result<Sample, CodecError> {
///         let text = std::str::from_utf8(bytes)?;
///         let (time, volts) = text.split_once(';').ok_or("no `;`")?;
///         Ok(Sample { time: time.parse()?, volts: volts.parse()? })
///     }
///
///     fn encode(value: &Sample, out: &mut Vec<u8>) -> Result<(), CodecError> {
///         out.extend(format!("{};{}", value.time, value.volts).into_bytes());
///         Ok(())
///     }
/// }
///
/// #[record(codec = Line, timestamp = time)]
/// struct Sample { time: i64, volts: f64 }
///
/// assert_eq!(Sample::decode(Some(b"1000;234.8"))?.timestamp(), Some(1000));
/// let bad = Sample::decode(Some(b"1000")).err().unwrap();
/// assert_eq!(bad.to_string(), "`Sample`: no `;` (value: 1000)");
/// # Ok::<(), stream_runtime::DecodeError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not read and write `{T}`",
    label = "no codec for `{T}`",
    note = "implement `stream_runtime::codecs::Codec<{T}>` for it; `\"text\"` asks for `FromStr` and `Display`, `\"raw\"` for `From<Bytes>` and `AsRef<[u8]>`"
)]
pub trait Codec<T> {
    /// Reads a value.
    ///
    /// # Errors
    /// The bytes are none: the message is a bad record.
    fn decode(bytes: &[u8]) -> Result<T, CodecError>;

    /// Appends a value to `out`.
    ///
    /// # Errors
    /// It has no bytes: the event that sends it fails.
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError>;
}

/// `codec = "raw"`: the bytes of the message as they are. For types made [`From<Bytes>`](Bytes) that are `AsRef<[u8]>`.
///
/// ```
/// use bytes::Bytes;
/// use stream_runtime::codecs::{Codec, Raw};
///
/// let read: Bytes = Raw::decode(b"tea").unwrap();
/// assert_eq!(read, "tea");
/// ```
#[derive(Debug)]
pub struct Raw;

/// `codec = "text"`: UTF-8, by `FromStr` and `Display`.
///
/// ```
/// use stream_runtime::codecs::{Codec, Text};
///
/// let mut bytes = Vec::new();
/// <Text as Codec<String>>::encode(&"tea".to_owned(), &mut bytes).unwrap();
/// let read: String = Text::decode(&bytes).unwrap();
/// assert_eq!(read, "tea");
/// ```
#[derive(Debug)]
pub struct Text;

/// `codec = "binary"`: small and fast, for Rust on both sides
/// ([postcard](https://postcard.jamesmunns.com/wire-format)). Fields have no names on the wire: whoever changes one
/// changes the format.
///
/// ```
/// use stream_runtime::codecs::{Codec, Binary};
///
/// let mut bytes = Vec::new();
/// <Binary as Codec<String>>::encode(&"tea".to_owned(), &mut bytes).unwrap();
/// let read: String = Binary::decode(&bytes).unwrap();
/// assert_eq!(read, "tea");
/// ```
#[derive(Debug)]
pub struct Binary;

/// `codec = "msgpack"`: MessagePack with field names, which other languages read and which fields can be added to.
///
/// ```
/// use stream_runtime::codecs::{Codec, MessagePack};
///
/// let mut bytes = Vec::new();
/// <MessagePack as Codec<String>>::encode(&"tea".to_owned(), &mut bytes).unwrap();
/// let read: String = MessagePack::decode(&bytes).unwrap();
/// assert_eq!(read, "tea");
/// ```
#[derive(Debug)]
pub struct MessagePack;

impl<T: From<Bytes> + AsRef<[u8]>> Codec<T> for Raw {
    fn decode(bytes: &[u8]) -> Result<T, CodecError> {
        Ok(Bytes::copy_from_slice(bytes).into())
    }

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(value.as_ref());
        Ok(())
    }
}

impl<T> Codec<T> for Text
where
    T: FromStr + Display,
    T::Err: Into<CodecError>,
{
    fn decode(bytes: &[u8]) -> Result<T, CodecError> {
        std::str::from_utf8(bytes)?.parse().map_err(Into::into)
    }

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(write!(out, "{value}")?)
    }
}

impl<T: Serialize + DeserializeOwned> Codec<T> for Binary {
    fn decode(bytes: &[u8]) -> Result<T, CodecError> {
        match postcard::take_from_bytes(bytes)? {
            (value, []) => Ok(value),
            (_, rest) => Err(left_over(rest.len())),
        }
    }

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        postcard::to_io(value, out)?;
        Ok(())
    }
}

/// `codec = "msgpack"` of what serde reads from a buffer (`tag`, `untagged`, `flatten`): addresses and identifiers in
/// it are text, as in JSON. Elsewhere they are bytes.
#[doc(hidden)]
#[derive(Debug)]
pub struct MessagePackAsText;

impl<T: Serialize + DeserializeOwned> Codec<T> for MessagePack {
    fn decode(bytes: &[u8]) -> Result<T, CodecError> {
        read(bytes, false)
    }

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let mut writer = rmp_serde::Serializer::new(out).with_struct_map();
        Ok(value.serialize(&mut writer)?)
    }
}

impl<T: Serialize + DeserializeOwned> Codec<T> for MessagePackAsText {
    fn decode(bytes: &[u8]) -> Result<T, CodecError> {
        read(bytes, true)
    }

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(rows::encode(value, out)?)
    }
}

/// Reads a value of MessagePack, in the one way or else in the other.
fn read<T: DeserializeOwned>(bytes: &[u8], as_text: bool) -> Result<T, CodecError> {
    match read_one_way(bytes, as_text) {
        Ok(value) => Ok(value),
        Err(problem) => read_one_way(bytes, !as_text).map_err(|_| problem),
    }
}

fn read_one_way<T: DeserializeOwned>(bytes: &[u8], as_text: bool) -> Result<T, CodecError> {
    let mut rest = bytes;
    let mut reader = rmp_serde::Deserializer::new(&mut rest);
    let value = if as_text {
        T::deserialize(&mut reader.with_human_readable())?
    } else {
        T::deserialize(&mut reader)?
    };
    match rest.len() {
        0 => Ok(value),
        left => Err(left_over(left)),
    }
}

fn left_over(bytes: usize) -> CodecError {
    match bytes {
        1 => "1 byte is left over".into(),
        bytes => format!("{bytes} bytes are left over").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Point {
        x: f64,
        name: Option<String>,
    }

    fn there_and_back<C: Codec<Point>>(name: Option<&str>) -> usize {
        let point = Point {
            x: f64::NEG_INFINITY,
            name: name.map(str::to_owned),
        };
        let mut out = b"before".to_vec();
        C::encode(&point, &mut out).unwrap();
        let (before, bytes) = out.split_at(6);
        assert_eq!(
            (before, &C::decode(bytes).unwrap()),
            (&b"before"[..], &point)
        );
        assert!(C::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(C::decode(&[bytes, &[0]].concat()).is_err());
        assert!(C::decode(b"").is_err());
        bytes.len()
    }

    #[test]
    fn values_come_back_and_bytes_too_many_or_too_few_are_refused() {
        assert_eq!(there_and_back::<Binary>(Some("ab")), 8 + 1 + 1 + 2);
        assert!(there_and_back::<MessagePack>(Some("ab")) > 12);
        there_and_back::<Binary>(None);
        there_and_back::<MessagePack>(None);
    }

    #[test]
    fn text_and_raw_are_the_bytes_of_the_message() {
        let mut out = Vec::new();
        <Text as Codec<u16>>::encode(&517, &mut out).unwrap();
        <Raw as Codec<Bytes>>::encode(&Bytes::from_static(b"\xff"), &mut out).unwrap();
        assert_eq!(out, b"517\xff");
        assert_eq!(<Text as Codec<u16>>::decode(b"517").unwrap(), 517);
        assert!(<Text as Codec<u16>>::decode(b"5x").is_err());
        assert!(<Text as Codec<String>>::decode(b"\xff").is_err());
        assert_eq!(
            <Raw as Codec<Vec<u8>>>::decode(b"\xff\0").unwrap(),
            b"\xff\0"
        );
    }
}
