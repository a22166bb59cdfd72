//! Keys of one part: text, bytes, identifiers, integers.

use super::{KeyError, StreamKey, present, text};
use bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

impl StreamKey for String {
    const NAME: &'static str = "String";

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: Option<&[u8]>) -> Result<Self, KeyError> {
        std::str::from_utf8(present(bytes)?)
            .map(str::to_owned)
            .map_err(|_| KeyError::utf8())
    }

    fn to_json(&self) -> Value {
        Value::from(self.as_str())
    }

    fn from_json(value: &Value) -> Result<Self, KeyError> {
        text::scalar(value, Self::NAME)
    }
}

impl StreamKey for Bytes {
    const NAME: &'static str = "Bytes";

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(bytes: Option<&[u8]>) -> Result<Self, KeyError> {
        present(bytes).map(Bytes::copy_from_slice)
    }

    fn from_json(value: &Value) -> Result<Self, KeyError> {
        let text = text::scalar(value, Self::NAME)?;
        text::read_bytes(&text).map(Bytes::from)
    }
}

impl StreamKey for Uuid {
    const NAME: &'static str = "Uuid";

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            self.hyphenated()
                .encode_lower(&mut Uuid::encode_buffer())
                .as_bytes(),
        );
    }

    fn decode(bytes: Option<&[u8]>) -> Result<Self, KeyError> {
        Uuid::try_parse_ascii(present(bytes)?).map_err(|_| KeyError::form(Self::NAME))
    }

    fn from_json(value: &Value) -> Result<Self, KeyError> {
        let text = text::scalar(value, Self::NAME)?;
        text.parse()
            .map_err(|error: uuid::Error| KeyError::text(Self::NAME, &text, &error.to_string()))
    }
}

impl StreamKey for bool {
    const NAME: &'static str = "bool";

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(bytes: Option<&[u8]>) -> Result<Self, KeyError> {
        match present(bytes)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [_] => Err(KeyError::form(Self::NAME)),
            other => Err(KeyError::length(Self::NAME, 1, other.len())),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn to_json(&self) -> Value {
        Value::from(*self)
    }

    fn from_json(value: &Value) -> Result<Self, KeyError> {
        let text = text::scalar(value, Self::NAME)?;
        text.parse()
            .map_err(|_| KeyError::text(Self::NAME, &text, "it is written true or false"))
    }
}

macro_rules! integers {
    ($($t:ident: $name:literal, $flip:expr;)*) => {$(
        impl StreamKey for $t {
            const NAME: &'static str = $name;

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn decode(bytes: Option<&[u8]>) -> Result<Self, KeyError> {
                let bytes = present(bytes)?;
                let whole = bytes.try_into().map_err(|_| KeyError::length($name, size_of::<$t>(), bytes.len()))?;
                Ok($t::from_be_bytes(whole))
            }

            fn encode_ordered(&self, out: &mut Vec<u8>) {
                (self ^ $flip).encode(out);
            }

            fn decode_ordered(bytes: &[u8]) -> Result<Self, KeyError> {
                $t::decode(Some(bytes)).map(|n| n ^ $flip)
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn to_json(&self) -> Value {
                Value::from(*self)
            }

            fn from_json(value: &Value) -> Result<Self, KeyError> {
                let text = text::scalar(value, Self::NAME)?;
                text.parse().map_err(|error: std::num::ParseIntError| {
                    KeyError::text(Self::NAME, &text, &error.to_string())
                })
            }
        }
    )*};
}

// A signed number's sign bit is flipped where order counts: negative numbers would sort last.
integers! {
    i8: "i8", i8::MIN;
    i16: "i16", i16::MIN;
    i32: "i32", i32::MIN;
    i64: "i64", i64::MIN;
    u8: "u8", 0;
    u16: "u16", 0;
    u32: "u32", 0;
    u64: "u64", 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire<K: StreamKey>(key: &K) -> Vec<u8> {
        let mut out = Vec::new();
        key.encode(&mut out);
        out
    }

    #[test]
    fn wire_forms_are_those_of_the_java_serializers() {
        assert_eq!(wire(&"größe".to_owned()), "größe".as_bytes());
        assert_eq!(wire(&1_i32), [0, 0, 0, 1]);
        assert_eq!(
            wire(&-2_i64),
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]
        );
        assert_eq!(wire(&300_u16), [1, 44]);
        assert_eq!(wire(&Bytes::from_static(b"\0raw")), b"\0raw");
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert_eq!(wire(&Uuid::parse_str(id).unwrap()), id.as_bytes());
    }

    #[test]
    fn malformed_keys_say_what_is_wrong() {
        assert_eq!(
            u64::decode(Some(b"power")).unwrap_err().to_string(),
            "the key has 5 bytes, a u64 has 8"
        );
        assert_eq!(
            String::decode(Some(&[0xff])).unwrap_err().to_string(),
            "the key is not valid UTF-8"
        );
        assert_eq!(
            Uuid::decode(Some(b"x")).unwrap_err().to_string(),
            "the key is not the encoding of a Uuid"
        );
        assert_eq!(
            bool::decode(Some(&[2])).unwrap_err().to_string(),
            "the key is not the encoding of a bool"
        );
        assert!(i32::decode(None).unwrap_err().is_missing());
        assert!(!i32::decode(Some(b"")).unwrap_err().is_missing());
    }
}
