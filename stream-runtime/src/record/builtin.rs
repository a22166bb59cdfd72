//! Records that need no attribute.

use super::{DecodeError, EncodeError, Record, decode};
use crate::codec::json;
use bytes::Bytes;
use serde_json::Value;

impl Record for String {
    type Key = String;

    const NAME: &'static str = "String";
    const CODEC: &'static str = "text";

    fn decode(value: Option<&[u8]>) -> Result<Self, DecodeError> {
        let bytes = value.ok_or_else(|| DecodeError::tombstone(Self::NAME))?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(problem) => Err(DecodeError::form(
                Self::NAME,
                None,
                problem.to_string(),
                Some(bytes),
            )),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
        out.extend_from_slice(self.as_bytes());
        Ok(true)
    }
}

impl Record for Bytes {
    type Key = String;

    const NAME: &'static str = "Bytes";
    const CODEC: &'static str = "raw";

    fn decode(value: Option<&[u8]>) -> Result<Self, DecodeError> {
        value
            .map(Bytes::copy_from_slice)
            .ok_or_else(|| DecodeError::tombstone(Self::NAME))
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
        out.extend_from_slice(self);
        Ok(true)
    }
}

impl Record for Value {
    type Key = String;

    const NAME: &'static str = "Value";
    const CODEC: &'static str = "json";

    fn decode(value: Option<&[u8]>) -> Result<Self, DecodeError> {
        decode::decode_json(Self::NAME, value, false)
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
        json::encode(self, out)
            .map_err(|problem| EncodeError::new(Self::NAME, &problem))
            .map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_records_are_the_bytes_of_the_message() {
        let mut out = Vec::new();
        assert!(Record::encode(&"größe".to_owned(), &mut out).unwrap());
        assert!(Bytes::from_static(b"\0").encode(&mut out).unwrap());
        assert_eq!(out, "größe\0".as_bytes());
        assert_eq!(Bytes::decode(Some(b"\0\xff")).unwrap(), &b"\0\xff"[..]);
        let error = <String as Record>::decode(Some(b"abc\xff"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("`String`: invalid utf-8 sequence of 1 bytes from index 3"),
            "{error}"
        );
    }

    #[test]
    fn a_value_is_any_json() {
        let value = Value::decode(Some(br#"{"a":[1,null]}"#)).unwrap();
        assert_eq!(value["a"][0], 1);
        assert!(Value::decode(Some(b"{")).is_err());
    }
}
