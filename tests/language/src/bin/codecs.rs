//! Records that are not JSON on the wire.

use stream_runtime::codecs::{Codec, CodecError};
use stream_runtime::prelude::*;
use stream_runtime::testing::TestApp;

#[record(codec = "binary", timestamp = at, key = meter)]
#[derive(Debug, PartialEq)]
struct Small {
    at: i64,
    meter: u64,
    #[field(min = 0)]
    volts: f64,
}

#[record(codec = "msgpack", coerce)]
#[derive(Debug, PartialEq)]
struct Named {
    volts: f64,
    #[serde(default)]
    note: String,
}

#[record(codec = "text")]
#[derive(Debug, PartialEq)]
struct Celsius(f64);

impl std::str::FromStr for Celsius {
    type Err = std::num::ParseFloatError;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        text.trim_end_matches('C').parse().map(Celsius)
    }
}

impl std::fmt::Display for Celsius {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}C", self.0)
    }
}

struct Reversed;

impl<T: AsRef<str> + From<String>> Codec<T> for Reversed {
    fn decode(bytes: &[u8]) -> std::result::Result<T, CodecError> {
        let text = std::str::from_utf8(bytes)?;
        Ok(text.chars().rev().collect::<String>().into())
    }

    fn encode(value: &T, out: &mut Vec<u8>) -> std::result::Result<(), CodecError> {
        out.extend(value.as_ref().chars().rev().collect::<String>().bytes());
        Ok(())
    }
}

#[record(codec = Reversed)]
struct Word(String);

impl From<String> for Word {
    fn from(text: String) -> Self {
        Word(text)
    }
}

impl AsRef<str> for Word {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[agent(topic = "small", sink = "degrees")]
async fn convert(small: Small) -> Celsius {
    Celsius(small.volts / 2.0)
}

/// A topic may say once more how its records are written.
#[topic("small", value = Small, codec = "binary")]
struct Smalls;

#[topic("degrees", value = Celsius, codec = "text")]
struct Degrees;

#[topic("raw", value = bytes::Bytes, codec = "raw")]
struct Raw;

#[topic("any", value = serde_json::Value, codec = "json")]
struct Any;

fn there_and_back<T: Record>(value: T) -> (Vec<u8>, T) {
    let mut bytes = Vec::new();
    assert!(value.encode(&mut bytes).unwrap());
    let back = T::decode(Some(&bytes)).unwrap();
    (bytes, back)
}

fn main() {
    let small = Small {
        at: 1,
        meter: 7,
        volts: 468.0,
    };
    let (bytes, back) = there_and_back(Small { ..small });
    assert_eq!((bytes.len(), &back), (1 + 1 + 8, &small));
    assert_eq!((back.timestamp(), back.key()), (Some(1), Some(7)));
    let bad = Small {
        at: 1,
        meter: 7,
        volts: -1.0,
    };
    let mut bytes = Vec::new();
    bad.encode(&mut bytes).unwrap();
    assert!(Small::decode(Some(&bytes)).is_err());
    assert!(Small::decode(None).unwrap_err().is_tombstone());
    assert_eq!(
        there_and_back(Named {
            volts: 1.5,
            note: "x".into()
        })
        .1
        .note,
        "x"
    );
    assert_eq!(
        there_and_back(Celsius(1.5)),
        (b"1.5C".to_vec(), Celsius(1.5))
    );
    assert_eq!(there_and_back(Word("ab".into())).0, b"ba");
    let mut app = TestApp::only((convert,));
    app.send("small", "k", small);
    assert_eq!(*app.sent::<Celsius>("degrees")[0], Celsius(234.0));
}
