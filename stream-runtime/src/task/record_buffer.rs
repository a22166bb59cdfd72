//! Records to send, in one arena: what an event sends before it is acknowledged, and what awaits the next commit.

use super::origin::Origin;

#[derive(Debug)]
struct Entry {
    topic: u16,
    /// The event's agent, source and place, as [`Origin`] has them.
    agent: u16,
    source: u16,
    start: u32,
    key: u32,
    value: u32,
    headers: u32,
    timestamp: i64,
    place: i64,
}

impl Entry {
    fn origin(&self) -> Origin {
        Origin {
            agent: self.agent,
            source: self.source,
            place: self.place,
        }
    }
}

const NONE: u32 = u32::MAX;

/// A record to send.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Index into the sub-topology's outputs.
    pub topic: usize,
    /// Key bytes; `None`: no key.
    pub key: Option<&'a [u8]>,
    /// Value bytes; `None`: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Kafka timestamp, epoch ms, at least 1.
    pub timestamp: i64,
    /// Headers as [`encode_headers`](super::headers::encode_headers) writes them; empty when it has none.
    pub headers: &'a [u8],
    /// The event that it is of.
    pub origin: Origin,
}

/// A growing list of records to send.
#[derive(Debug, Default)]
pub struct RecordBuffer {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl RecordBuffer {
    /// Appends a record whose key, value and headers the closures write; the first two say whether there is one.
    /// Returns the bytes of key, value and headers.
    pub fn push<E>(
        &mut self,
        topic: usize,
        timestamp: i64,
        headers: impl FnOnce(&mut Vec<u8>),
        key: impl FnOnce(&mut Vec<u8>) -> Result<bool, E>,
        value: impl FnOnce(&mut Vec<u8>) -> Result<bool, E>,
    ) -> Result<usize, E> {
        let start = self.bytes.len();
        let undo = |bytes: &mut Vec<u8>, e| {
            bytes.truncate(start);
            e
        };
        let has_key = key(&mut self.bytes).map_err(|e| undo(&mut self.bytes, e))?;
        let mid = if has_key { self.bytes.len() } else { start };
        self.bytes.truncate(mid);
        let has_value = value(&mut self.bytes).map_err(|e| undo(&mut self.bytes, e))?;
        if !has_value {
            self.bytes.truncate(mid);
        }
        let end = self.bytes.len();
        headers(&mut self.bytes);
        self.entries.push(Entry {
            topic: topic as u16,
            agent: Origin::NONE.agent,
            source: Origin::NONE.source,
            place: Origin::NONE.place,
            start: start as u32,
            key: if has_key { (mid - start) as u32 } else { NONE },
            value: if has_value { (end - mid) as u32 } else { NONE },
            headers: (self.bytes.len() - end) as u32,
            timestamp,
        });
        Ok(self.bytes.len() - start)
    }

    /// Whether the last record has a key.
    pub(crate) fn last_has_key(&self) -> bool {
        self.entries.last().is_some_and(|e| e.key != NONE)
    }

    /// Takes the last record out again.
    pub fn pop(&mut self) {
        if let Some(e) = self.entries.pop() {
            self.bytes.truncate(e.start as usize);
        }
    }

    /// Moves everything of `other` behind this.
    pub fn append(&mut self, other: &mut RecordBuffer) {
        let shift = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&other.bytes);
        self.entries.extend(other.entries.drain(..).map(|mut e| {
            e.start += shift;
            e
        }));
        other.bytes.clear();
    }

    /// Says whose the records from this one on are.
    pub(crate) fn sign(&mut self, from: usize, origin: Origin) {
        for entry in &mut self.entries[from..] {
            (entry.agent, entry.source, entry.place) = (origin.agent, origin.source, origin.place);
        }
    }

    /// The event that a record is of.
    pub(crate) fn origin(&self, at: usize) -> Origin {
        self.entries.get(at).map_or(Origin::NONE, Entry::origin)
    }

    /// The records in order.
    pub fn iter(&self) -> impl Iterator<Item = Outgoing<'_>> {
        self.entries.iter().map(|e| {
            let mut rest = &self.bytes[e.start as usize..];
            let mut take = |len: u32| {
                (len != NONE).then(|| {
                    let (part, after) = rest.split_at(len as usize);
                    rest = after;
                    part
                })
            };
            let (key, value, headers) = (take(e.key), take(e.value), take(e.headers));
            Outgoing {
                topic: e.topic as usize,
                key,
                value,
                timestamp: e.timestamp,
                headers: headers.unwrap_or_default(),
                origin: e.origin(),
            }
        })
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of keys, values and headers.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Drops everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_value_leaves_nothing_behind() {
        let mut buf = RecordBuffer::default();
        let key = |out: &mut Vec<u8>| {
            out.push(1);
            Ok(true)
        };
        assert_eq!(buf.push(0, 1, |_| {}, key, |_| Err("no")), Err("no"));
        assert!(buf.is_empty() && buf.bytes() == 0);
        buf.push(3, 5, |_| {}, key, |_| Ok(false)).unwrap();
        let out = buf.iter().next().unwrap();
        assert_eq!((out.topic, out.key, out.value), (3, Some(&[1u8][..]), None));
    }

    #[test]
    fn appended_records_keep_their_bytes() {
        let put = |b: &'static [u8]| {
            move |out: &mut Vec<u8>| {
                out.extend_from_slice(b);
                Ok::<_, ()>(true)
            }
        };
        let (mut a, mut b) = (RecordBuffer::default(), RecordBuffer::default());
        let header = |out: &mut Vec<u8>| out.extend_from_slice(b"h1");
        a.push(0, 1, header, put(b"k1"), put(b"v1")).unwrap();
        b.push(1, 2, |_| {}, put(b"k2"), put(b"v2")).unwrap();
        a.append(&mut b);
        let all: Vec<_> = a
            .iter()
            .map(|o| (o.topic, o.key.unwrap(), o.value.unwrap(), o.headers))
            .collect();
        assert_eq!(
            all,
            [
                (0, &b"k1"[..], &b"v1"[..], &b"h1"[..]),
                (1, b"k2", b"v2", b"")
            ]
        );
        assert!(b.is_empty());
    }
}
