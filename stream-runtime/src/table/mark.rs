//! The mark: one record per changelog partition that says what the rows are true for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::codec::rows;
use crate::error::Error;

/// First byte of the mark's key, in changelogs and stores.
pub const MARK_TAG: u8 = 0x00;
/// First byte of a row's key in changelogs.
pub const ROW_TAG: u8 = 0x01;
/// Key of the mark record.
pub const MARK_KEY: &[u8] = &[MARK_TAG];
const FORMAT: u8 = 1;

/// How far a table's partition has come. Written with every commit that changes rows, stream time or cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Version of this format.
    pub format: u8,
    /// Identity of the changelog: a re-created one has another.
    pub incarnation: [u8; 16],
    /// Stream time of the task, epoch ms; `None` before the first record.
    pub stream_time: Option<i64>,
    /// Layout key of the last row that closed.
    #[serde(with = "serde_bytes_opt")]
    pub closed: Option<Vec<u8>>,
    /// Next offset of every input topic of the task, this partition.
    pub inputs: BTreeMap<String, i64>,
    /// Whether it was written in a transaction together with the offsets.
    pub exactly_once: bool,
}

impl Mark {
    /// A mark of a changelog that begins now.
    pub fn begin(incarnation: [u8; 16], exactly_once: bool) -> Self {
        Mark {
            format: FORMAT,
            incarnation,
            stream_time: None,
            closed: None,
            inputs: BTreeMap::new(),
            exactly_once,
        }
    }

    /// Appends the encoded mark.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        rows::encode(self, out)
            .map_err(|e| Error::table(format!("the mark cannot be written: {e}")))
    }

    /// Reads a mark; one of a later format names the cure.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mark: Mark = rows::decode(bytes)
            .map_err(|e| Error::table(format!("the mark of the changelog cannot be read: {e}")))?;
        if mark.format != FORMAT {
            return Err(Error::table(format!(
                "the changelog was written in format {} and this program knows format {FORMAT}: run the newer program, or `reset`",
                mark.format
            )));
        }
        Ok(mark)
    }
}

/// `Option<Vec<u8>>` as one byte string instead of a list of numbers.
mod serde_bytes_opt {
    use serde::de::Visitor;
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, s: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(b) => s.serialize_bytes(b),
            None => s.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<u8>>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Option<Vec<u8>>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes or nothing")
            }
            fn visit_bytes<E>(self, v: &[u8]) -> Result<Self::Value, E> {
                Ok(Some(v.to_vec()))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
            fn visit_none<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
        }
        d.deserialize_any(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back() {
        let mut mark = Mark::begin([7; 16], true);
        mark.stream_time = Some(-5);
        mark.closed = Some(vec![0, 1, 255]);
        mark.inputs.insert("voltage_input".into(), 42);
        let mut bytes = Vec::new();
        mark.encode(&mut bytes).unwrap();
        assert_eq!(Mark::decode(&bytes).unwrap(), mark);
    }

    #[test]
    fn a_mark_of_another_format_is_refused() {
        let mut mark = Mark::begin([7; 16], true);
        mark.format = 9;
        let mut bytes = Vec::new();
        mark.encode(&mut bytes).unwrap();
        assert!(
            Mark::decode(&bytes)
                .unwrap_err()
                .to_string()
                .contains("format 9")
        );
    }
}
