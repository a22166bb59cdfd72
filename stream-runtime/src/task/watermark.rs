//! Times of sources, as records of a repartition topic, or an `internal` one, and the watermarks between them carry
//! them.
//!
//! A source is one partition of an agent that fills the topic, its feeder. What it sends from its time on is not older;
//! mostly it is the largest event time that it has acknowledged.

use super::headers::{Header, encode_headers};
use crate::table::NO_TIME;

/// The header of a record that says which source it is of, and that source's time before it, where it has none of
/// [`HopHeader`](super::inbox::HopHeader).
pub(crate) const SOURCE_TIME: &str = "source-time";
/// The header of a watermark, whose key and value are null.
pub(crate) const WATERMARK: &str = "watermark";

/// First byte of a watermark.
const FORMAT: u8 = 1;
/// Bytes of a [`SourceTime`].
#[cfg(test)]
const TIME_BYTES: usize = 12;
/// Bytes of a [`Word`].
const WORD_BYTES: usize = 17;

/// Returns the number that names a source: the partition of a feeder, by that one's number among those of its topic.
pub fn source_of(feeder: i32, partition: i32) -> i32 {
    (feeder << 16) | partition
}

/// Returns the feeder's number and the partition of a source.
pub(crate) fn parts_of(source: i32) -> (i32, i32) {
    (source >> 16, source & 0xffff)
}

/// SourceState of a source to the time of its readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceState {
    /// It holds the time.
    #[default]
    Counts,
    /// It has nothing to say.
    Idle,
    /// It has failed, and holds the time.
    Stopped,
    /// It has failed for so long that its readers go on without it.
    LeftOut,
}

/// A source's word about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The number that names it, see [`source_of`].
    pub source: i32,
    /// Its time, epoch ms; [`NO_TIME`] before its first record.
    pub time: i64,
    /// Its state.
    pub state: SourceState,
    /// The generation of the group that `state` is of.
    pub generation: i32,
}

/// A record's word about its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceTime {
    /// The number that names the source, see [`source_of`].
    pub source: i32,
    /// Its time before this record; [`NO_TIME`] when it was the first.
    pub before: i64,
}

impl SourceTime {
    /// Appends the header as workers of before did, behind that of the event time.
    #[cfg(test)]
    pub fn put(self, out: &mut Vec<u8>) {
        let mut bytes = [0; TIME_BYTES];
        bytes[..4].copy_from_slice(&self.source.to_be_bytes());
        bytes[4..].copy_from_slice(&self.before.to_be_bytes());
        encode_headers(std::iter::once((SOURCE_TIME, Some(&bytes[..]))), out);
    }

    /// Reads the header's value; `None` when it is none of ours.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (source, rest) = bytes.split_first_chunk::<4>()?;
        let before: [u8; 8] = rest.try_into().ok()?;
        Some(SourceTime {
            source: i32::from_be_bytes(*source),
            before: i64::from_be_bytes(before),
        })
    }
}

/// Appends the headers of a watermark.
pub fn put_watermark(words: &[Word], out: &mut Vec<u8>) {
    let mut bytes = Vec::with_capacity(1 + words.len() * WORD_BYTES);
    bytes.push(FORMAT);
    for word in words {
        bytes.extend_from_slice(&word.source.to_be_bytes());
        bytes.extend_from_slice(&word.time.to_be_bytes());
        bytes.push(word.state.code());
        bytes.extend_from_slice(&word.generation.to_be_bytes());
    }
    encode_headers(std::iter::once((WATERMARK, Some(&bytes[..]))), out);
}

/// Returns the words of a watermark, by a record's key, value and first header; `None` for any other record.
pub fn words_of(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    first: Option<Header<'_>>,
) -> Option<Vec<Word>> {
    match (key, value, first?) {
        (None, None, (WATERMARK, Some(bytes))) => read_words(bytes),
        _ => None,
    }
}

fn read_words(bytes: &[u8]) -> Option<Vec<Word>> {
    let words = bytes.strip_prefix(&[FORMAT])?;
    let (words, rest) = words.as_chunks::<WORD_BYTES>();
    rest.is_empty()
        .then(|| words.iter().map(Word::read).collect())
}

impl Word {
    fn read(bytes: &[u8; WORD_BYTES]) -> Self {
        let part = |from: usize| [0, 1, 2, 3].map(|at| bytes[from + at]);
        let mut time = [0; 8];
        time.copy_from_slice(&bytes[4..12]);
        Word {
            source: i32::from_be_bytes(part(0)),
            time: i64::from_be_bytes(time),
            state: SourceState::of(bytes[12]),
            generation: i32::from_be_bytes(part(13)),
        }
    }

    /// The time for Kafka's stamp.
    pub fn stamp(&self) -> Option<i64> {
        (self.time != NO_TIME).then_some(self.time)
    }
}

impl SourceState {
    /// Returns whether a source that stands so holds the time.
    pub(crate) fn counts(self) -> bool {
        matches!(self, SourceState::Counts | SourceState::Stopped)
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            SourceState::Counts => 0,
            SourceState::Idle => 1,
            SourceState::Stopped => 2,
            SourceState::LeftOut => 3,
        }
    }

    /// One that this program does not know holds the time: results wait rather than being wrong.
    pub(crate) fn of(code: u8) -> Self {
        match code {
            1 => SourceState::Idle,
            2 => SourceState::Stopped,
            3 => SourceState::LeftOut,
            _ => SourceState::Counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::headers::decode_headers;
    use super::*;

    #[test]
    fn what_a_record_and_a_watermark_say_reads_back() {
        let said = SourceTime {
            source: 3,
            before: NO_TIME,
        };
        let words = [
            Word {
                source: 7,
                time: 1_166_289_840_000,
                state: SourceState::Idle,
                generation: 12,
            },
            Word {
                source: 8,
                time: NO_TIME,
                state: SourceState::Counts,
                generation: -1,
            },
        ];
        let mut headers = Vec::new();
        said.put(&mut headers);
        put_watermark(&words, &mut headers);
        let all: Vec<_> = decode_headers(&headers).collect();
        assert_eq!((all[0].0, all[1].0), (SOURCE_TIME, WATERMARK));
        assert_eq!(SourceTime::read(all[0].1.unwrap()), Some(said));
        let watermark = all[1].1.unwrap();
        let read = |key, bytes| words_of(key, None, Some((WATERMARK, Some(bytes))));
        assert_eq!(read(None, watermark).unwrap(), words);
        assert_eq!(read(Some(&b"k"[..]), watermark), None);
        assert_eq!(read(None, &watermark[..watermark.len() - 1]), None);
        assert_eq!(read(None, &[2]), None);
        assert_eq!(SourceTime::read(b"7"), None);
    }

    #[test]
    fn a_standing_that_is_not_known_holds_the_time() {
        assert_eq!(SourceState::of(9), SourceState::Counts);
    }
}
