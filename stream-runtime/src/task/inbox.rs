//! Records of one input topic that wait for their turn, copied out of the client's buffers into one arena.

use std::collections::VecDeque;

/// A record as it comes from Kafka.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its Kafka timestamp, epoch ms.
    pub timestamp: i64,
    /// Key bytes; `None` when it has none.
    pub key: Option<&'a [u8]>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers as [`encode_headers`] wrote them; empty when it has none.
    pub headers: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: i64,
    timestamp: i64,
    start: u32,
    key: u32,
    value: u32,
    headers: u32,
}

const NONE: u32 = u32::MAX;

/// Waiting records of one input topic and partition, oldest first. The record in hand stays at the front until it is acknowledged.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    entries: VecDeque<Entry>,
    position: i64,
    at_end: bool,
}

impl Inbox {
    /// Appends a record. Records come in the order of their offsets.
    pub fn push(&mut self, record: RawRecord<'_>) {
        if self.entries.is_empty() {
            self.bytes.clear();
        }
        let start = self.bytes.len() as u32;
        let mut put = |bytes: Option<&[u8]>| match bytes {
            Some(b) => {
                self.bytes.extend_from_slice(b);
                b.len() as u32
            }
            None => NONE,
        };
        let (key, value, headers) = (
            put(record.key),
            put(record.value),
            put(Some(record.headers)),
        );
        self.entries.push_back(Entry {
            offset: record.offset,
            timestamp: record.timestamp,
            start,
            key,
            value,
            headers,
        });
        self.position = self.position.max(record.offset + 1);
        self.at_end = false;
    }

    /// The oldest record.
    pub fn front(&self) -> Option<RawRecord<'_>> {
        let e = self.entries.front()?;
        let mut at = e.start as usize;
        let mut take = |len: u32| {
            (len != NONE).then(|| {
                let slice = &self.bytes[at..at + len as usize];
                at += len as usize;
                slice
            })
        };
        let (key, value, headers) = (take(e.key), take(e.value), take(e.headers));
        Some(RawRecord {
            offset: e.offset,
            timestamp: e.timestamp,
            key,
            value,
            headers: headers.unwrap_or_default(),
        })
    }

    /// Takes the oldest record out.
    pub fn pop(&mut self) {
        self.entries.pop_front();
    }

    /// Number of records that wait, the one in hand included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no record waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Next offset the consumer will deliver: past transaction markers and compacted records too.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The consumer has come to this offset; never moves back.
    pub fn advance(&mut self, position: i64) {
        self.position = self.position.max(position);
    }

    /// The consumer has reached the end of the partition.
    pub fn reached_end(&mut self) {
        self.at_end = true;
    }

    /// Whether all records up to the end have been delivered, as far as is known.
    pub fn at_end(&self) -> bool {
        self.at_end
    }

    /// The offset to commit: that of the oldest record in hand or waiting, else the position.
    pub fn commit_offset(&self) -> i64 {
        commit_offset(self.position, self.entries.front().map(|e| e.offset))
    }

    /// Drops everything and begins again at `position`.
    pub fn restart(&mut self, position: i64) {
        self.entries.clear();
        self.bytes.clear();
        self.position = position;
        self.at_end = false;
    }
}

/// The offset to commit for an input: the oldest open record's, else the position. Offsets have gaps by nature.
pub fn commit_offset(position: i64, oldest_open: Option<i64>) -> i64 {
    oldest_open.map_or(position, |open| open.min(position))
}

/// Packs headers into bytes: `[name length u32][name][value length u32, or u32::MAX][value]` for each.
pub fn encode_headers<'a>(
    headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
    out: &mut Vec<u8>,
) {
    for (name, value) in headers {
        out.extend_from_slice(&(name.len() as u32).to_be_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&value.map_or(NONE, |v| v.len() as u32).to_be_bytes());
        out.extend_from_slice(value.unwrap_or_default());
    }
}

/// The reverse of [`encode_headers`].
pub fn decode_headers(mut bytes: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    fn part<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let len = u32::from_be_bytes(*len);
        if len == NONE {
            *bytes = rest;
            return Some(None);
        }
        let (part, rest) = rest.split_at_checked(len as usize)?;
        *bytes = rest;
        Some(Some(part))
    }
    let mut out = Vec::new();
    while let Some(Some(name)) = part(&mut bytes) {
        let Some(value) = part(&mut bytes) else { break };
        out.push((
            String::from_utf8_lossy(name).into_owned(),
            value.map(<[u8]>::to_vec),
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_went_in() {
        let mut inbox = Inbox::default();
        let mut headers = Vec::new();
        encode_headers(
            [("a", Some(&b"1"[..])), ("none", None)].into_iter(),
            &mut headers,
        );
        inbox.push(RawRecord {
            offset: 4,
            timestamp: 9,
            key: None,
            value: Some(b""),
            headers: &[],
        });
        inbox.push(RawRecord {
            offset: 7,
            timestamp: 9,
            key: Some(b"k"),
            value: None,
            headers: &headers,
        });
        let first = inbox.front().unwrap();
        assert_eq!(
            (first.key, first.value, first.headers),
            (None, Some(&b""[..]), &b""[..])
        );
        assert_eq!((inbox.commit_offset(), inbox.position()), (4, 8));
        inbox.pop();
        let second = inbox.front().unwrap();
        assert_eq!((second.key, second.value), (Some(&b"k"[..]), None));
        assert_eq!(
            decode_headers(second.headers),
            [
                ("a".to_owned(), Some(b"1".to_vec())),
                ("none".to_owned(), None)
            ]
        );
        inbox.pop();
        inbox.advance(11);
        assert_eq!(inbox.commit_offset(), 11);
    }
}
