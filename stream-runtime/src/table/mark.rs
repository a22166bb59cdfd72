//! The mark: one record per changelog partition that says what the rows are true for.

use std::collections::BTreeMap;
use std::sync::Arc;

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
/// The format of marks that say how far the sources of the task's time are: a program that does not know them refuses
/// rather than forgets.
const WITH_SOURCES: u8 = 2;

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
    /// What the table is: a [`Description`](super::Description), encoded. `None` in marks of programs that did not say
    /// it; they skip it where they find it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "serde_bytes_opt"
    )]
    pub table: Option<Arc<[u8]>>,
    /// Behind a hop: the sources of stream time and how far each is, as the task writes it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "serde_bytes_opt"
    )]
    pub sources: Option<Arc<[u8]>>,
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
            table: None,
            sources: None,
        }
    }

    /// Says how far the sources of stream time are.
    pub fn set_sources(&mut self, sources: Option<Arc<[u8]>>) {
        self.format = match sources {
            Some(_) => WITH_SOURCES,
            None => FORMAT,
        };
        self.sources = sources;
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
        if !(FORMAT..=WITH_SOURCES).contains(&mark.format) {
            return Err(Error::table(format!(
                "the changelog was written in format {} and this program knows formats {FORMAT} and {WITH_SOURCES}: run the newer program, or `reset`",
                mark.format
            )));
        }
        Ok(mark)
    }
}

/// Bytes or nothing, as one byte string instead of a list of numbers.
mod serde_bytes_opt {
    use std::marker::PhantomData;

    use serde::de::Visitor;
    use serde::{Deserializer, Serializer};

    pub fn serialize<B: AsRef<[u8]>, S: Serializer>(
        bytes: &Option<B>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(b) => s.serialize_bytes(b.as_ref()),
            None => s.serialize_none(),
        }
    }

    pub fn deserialize<'de, B, D>(d: D) -> Result<Option<B>, D::Error>
    where
        B: for<'a> From<&'a [u8]>,
        D: Deserializer<'de>,
    {
        struct Bytes<B>(PhantomData<B>);
        impl<B: for<'a> From<&'a [u8]>> Visitor<'_> for Bytes<B> {
            type Value = Option<B>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes or nothing")
            }
            fn visit_bytes<E>(self, v: &[u8]) -> Result<Self::Value, E> {
                Ok(Some(v.into()))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
            fn visit_none<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
        }
        d.deserialize_any(Bytes(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Description;
    use crate::topology::TableDescriptor;

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

    /// As a worker of commit 4a75343 wrote it.
    const BEFORE: &[u8] = b"\
        \x86\xa6format\x01\xabincarnation\xdc\x00\x10\
        \x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\xabstream_\
        time\xcf\x00\x00\x01\x0f\x8cJ\xa7\x80\xa6closed\xc4\x03\x00\x01\
        \xff\xa6inputs\x81\xadvoltage_input*\
        \xacexactly_once\xc3";

    /// The mark as that commit reads it.
    #[derive(serde::Deserialize)]
    struct ReadBefore {
        format: u8,
        incarnation: [u8; 16],
        stream_time: Option<i64>,
        #[serde(with = "serde_bytes_opt")]
        closed: Option<Vec<u8>>,
        inputs: BTreeMap<String, i64>,
        exactly_once: bool,
    }

    fn mark() -> Mark {
        let mut mark = Mark::begin([7; 16], true);
        mark.stream_time = Some(1_166_289_840_000);
        mark.closed = Some(vec![0, 1, 255]);
        mark.inputs.insert("voltage_input".into(), 42);
        mark
    }

    #[test]
    fn a_mark_of_a_worker_built_before_is_read_and_says_nothing_of_the_table() {
        assert_eq!(Mark::decode(BEFORE).unwrap(), mark());
        let mut bytes = Vec::new();
        mark().encode(&mut bytes).unwrap();
        assert_eq!(bytes, BEFORE, "nor is it written otherwise");
    }

    #[test]
    fn a_worker_built_before_reads_a_mark_that_says_what_the_table_is() {
        let described = Description::of(&TableDescriptor::DEFAULT);
        let mut mark = mark();
        mark.table = Some(described.encoded().unwrap());
        let mut bytes = Vec::new();
        mark.encode(&mut bytes).unwrap();
        let back = Mark::decode(&bytes).unwrap();
        assert_eq!(back, mark);
        assert_eq!(
            Description::decode(&back.table.unwrap()).unwrap(),
            described
        );
        let before: ReadBefore = rows::decode(&bytes).unwrap();
        assert_eq!((before.format, before.incarnation), (1, [7; 16]));
        assert_eq!(before.stream_time, Some(1_166_289_840_000));
        assert_eq!(before.closed, mark.closed);
        assert_eq!((before.inputs, before.exactly_once), (mark.inputs, true));
    }

    #[test]
    fn a_mark_with_sources_has_a_format_that_older_programs_refuse() {
        let mut with = mark();
        with.set_sources(Some(vec![1, 0, 2].into()));
        let mut bytes = Vec::new();
        with.encode(&mut bytes).unwrap();
        assert_eq!((with.format, Mark::decode(&bytes).unwrap()), (2, with));
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
