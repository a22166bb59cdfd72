//! Records of one input topic that wait for their turn, copied out of the client's buffers into one arena.

use std::collections::VecDeque;
use std::io::Write;

use super::headers::{take_bytes, take_header};
use super::watermark::{SOURCE_TIME, SourceTime, Word, words_of};
use crate::mutants::{self, Mutant};
use crate::table::NO_TIME;

/// A record as it comes from Kafka.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its Kafka timestamp, epoch ms; below 0 it has none. In an inbox [`NO_TIME`] says that.
    pub timestamp: i64,
    /// Key bytes; `None` when it has none.
    pub key: Option<&'a [u8]>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers as [`encode_headers`](super::encode_headers) wrote them; empty when it has none.
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
    /// Bytes of the headers that are ours, at their beginning.
    own: u32,
    /// The source of a record that says one, else -1, and its time before.
    source: i32,
    before: i64,
}

/// A watermark between two records.
#[derive(Debug)]
struct Watermark {
    offset: i64,
    /// The place of the first record behind it.
    place: u64,
    words: Vec<Word>,
}

const NONE: u32 = u32::MAX;

/// Bytes of records that an agent may hold at once: a batch ends there, and more without an acknowledgement is an
/// error.
pub(crate) const HOLD_BYTES: usize = 64 << 20;

/// Bytes behind which an inbox that never runs empty, because events of it are always held, gives back what is spent.
const COMPACT: usize = 1 << 20;

/// Waiting records of one input topic and partition, oldest first. Records in flight stay at the front until they are
/// acknowledged.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    entries: VecDeque<Entry>,
    position: i64,
    at_end: bool,
    /// A repartition topic: its records carry their event time in a header of ours.
    repartition: bool,
    /// Records at the front that an agent holds ([`Inbox::dispatch_to`]). 0 where one event is in flight at a time.
    held: usize,
    /// Place of the front record, see [`Inbox::at`].
    first: u64,
    /// Of a repartition topic: the watermarks that wait, oldest first.
    watermarks: VecDeque<Watermark>,
    /// Records that an agent waits for at once.
    wanted: usize,
}

impl Inbox {
    /// An inbox of a repartition topic, or of any other.
    pub fn new(repartition: bool) -> Self {
        Inbox {
            repartition,
            ..Inbox::default()
        }
    }

    /// Appends a record. Records come in the order of their offsets. Returns `false` for a watermark, which is none.
    pub fn push(&mut self, mut record: RawRecord<'_>) -> bool {
        let (mut said, mut timed, mut own) = (None, false, 0);
        if self.repartition {
            let is_bare = record.key.is_none() && record.value.is_none();
            let first = is_bare.then(|| take_header(&mut { record.headers }));
            if let Some(words) = words_of(record.key, record.value, first.flatten()) {
                self.watermarks.push_back(Watermark {
                    offset: record.offset,
                    place: self.first + self.entries.len() as u64,
                    words,
                });
                self.position = self.position.max(record.offset + 1);
                self.at_end = false;
                return false;
            }
            if let (Some(hop), rest) = HopHeader::split(record.headers) {
                (record.timestamp, said, timed) = (hop.time, hop.source, true);
                own = record.headers.len() - rest.len();
            } else {
                // As workers of before wrote it, in a header for each.
                if let Some((time, rest)) = take_event_time(record.headers) {
                    record.timestamp = time;
                    (said, record.headers) = split_source_time(rest);
                    timed = true;
                }
                own = record.headers.len() - split_origin(record.headers).1.len();
            }
        }
        if record.timestamp < 0 && !timed {
            record.timestamp = NO_TIME;
        }
        if self.entries.is_empty() {
            self.bytes.clear();
        } else if self.held > 0 && self.bytes.len() > COMPACT {
            self.compact();
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
            own: own as u32,
            source: said.map_or(-1, |said| said.source),
            before: said.map_or(NO_TIME, |said| said.before),
        });
        self.position = self.position.max(record.offset + 1);
        self.at_end = false;
        true
    }

    /// Gives back the bytes before the front record, once they are more than half.
    fn compact(&mut self) {
        let spent = self.entries.front().map_or(0, |e| e.start);
        if (spent as usize) < self.bytes.len() / 2 {
            return;
        }
        self.bytes.drain(..spent as usize);
        for e in &mut self.entries {
            e.start -= spent;
        }
    }

    /// The oldest record.
    pub fn front(&self) -> Option<RawRecord<'_>> {
        self.entries.front().map(|e| self.record(e))
    }

    /// The offset of the oldest record.
    #[inline]
    pub(crate) fn front_offset(&self) -> Option<i64> {
        self.entries.front().map(|e| e.offset)
    }

    /// The oldest record that no agent holds.
    pub fn waiting_front(&self) -> Option<RawRecord<'_>> {
        self.entries.get(self.held).map(|e| self.record(e))
    }

    /// The offset of a record that waits and that no agent holds, by its number among these.
    pub(crate) fn waiting_offset(&self, number: usize) -> Option<i64> {
        self.entries.get(self.held + number).map(|e| e.offset)
    }

    /// The record at a place that [`Inbox::dispatch_to`] returned, until it is released.
    pub fn at(&self, place: u64) -> Option<RawRecord<'_>> {
        let at = usize::try_from(place.checked_sub(self.first)?).ok()?;
        self.entries.get(at).map(|e| self.record(e))
    }

    /// Dispatches the oldest waiting record beside those that are held, and returns its place.
    pub fn dispatch_to(&mut self) -> u64 {
        self.held += 1;
        self.first + self.held as u64 - 1
    }

    /// Takes the oldest held record out.
    pub fn release(&mut self) {
        self.entries.pop_front();
        self.first += 1;
        self.held = self.held.saturating_sub(1);
    }

    /// Records that are held wait again.
    pub fn requeue(&mut self) {
        self.held = 0;
    }

    /// Number of records that wait and that no agent holds.
    pub fn waiting(&self) -> usize {
        self.entries.len() - self.held
    }

    /// An agent waits for this many records at once: the inbox is filled that far.
    pub fn want(&mut self, records: usize) {
        self.wanted = records;
    }

    /// Whether it is to be filled further: `usual` records and `bytes` bytes, or more when an agent waits for more at
    /// once.
    pub fn has_room(&self, usual: usize, bytes: usize) -> bool {
        let bytes = if self.wanted > usual {
            bytes.max(HOLD_BYTES)
        } else {
            bytes
        };
        self.waiting() < usual.max(self.wanted) && self.bytes.len() - self.held_end() < bytes
    }

    /// Bytes of the records that are held.
    pub fn held_bytes(&self) -> usize {
        let start = self.entries.front().map_or(0, |e| e.start as usize);
        self.held_end().saturating_sub(start)
    }

    /// Where the bytes of waiting records begin; 0 when none is held.
    fn held_end(&self) -> usize {
        if self.held == 0 {
            return 0;
        }
        let waiting = self.entries.get(self.held);
        waiting.map_or(self.bytes.len(), |e| e.start as usize)
    }

    #[inline]
    fn record(&self, e: &Entry) -> RawRecord<'_> {
        let mut rest = &self.bytes[e.start as usize..];
        let mut take = |len: u32| {
            (len != NONE).then(|| {
                let (part, after) = rest.split_at(len as usize);
                rest = after;
                part
            })
        };
        let (key, value, headers) = (take(e.key), take(e.value), take(e.headers));
        let headers = headers.map(|all| &all[e.own as usize..]);
        RawRecord {
            offset: e.offset,
            timestamp: e.timestamp,
            key,
            value,
            headers: headers.unwrap_or_default(),
        }
    }

    /// Where the record at a place, or the oldest one, was read before it got another key, as [`ReadAt::put`] wrote it.
    pub fn origin(&self, place: Option<u64>) -> Option<ReadAt<'_>> {
        let at = match place {
            Some(place) => usize::try_from(place.checked_sub(self.first)?).ok()?,
            None => 0,
        };
        let e = self.entries.get(at).filter(|_| self.repartition)?;
        let length = |part: u32| if part == NONE { 0 } else { part as usize };
        let from = e.start as usize + length(e.key) + length(e.value);
        let own = &self.bytes[from..from + e.own as usize];
        match HopHeader::split(own) {
            (Some(hop), _) => hop.read_at,
            (None, _) => split_origin(own).0,
        }
    }

    /// Takes the oldest record out.
    pub fn pop(&mut self) {
        self.entries.pop_front();
        self.first += 1;
    }

    /// Returns what the oldest record says of its source; `None`: nothing.
    pub fn source_time(&self) -> Option<SourceTime> {
        let front = self.entries.front().filter(|e| e.source >= 0)?;
        Some(SourceTime {
            source: front.source,
            before: front.before,
        })
    }

    /// Takes the next watermark before which no record is left.
    pub fn take_watermark(&mut self) -> Option<Vec<Word>> {
        let next = self.watermarks.front()?;
        (next.place <= self.first)
            .then(|| self.watermarks.pop_front())?
            .map(|watermark| watermark.words)
    }

    /// Number of records that wait, the current one included.
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

    /// The offset to commit: that of the oldest current record or waiting, else the position.
    pub fn commit_offset(&self) -> i64 {
        let record = self.entries.front().map(|e| e.offset);
        // Nobody says it again: a watermark that has not been taken stays before it.
        let watermark = self.watermarks.front().map(|w| w.offset);
        let watermark = watermark.filter(|_| !mutants::is(Mutant::Watermark));
        let open = [record, watermark].into_iter().flatten().min();
        commit_offset(self.position, open)
    }

    /// Drops everything and begins again at `position`.
    pub fn restart(&mut self, position: i64) {
        self.entries.clear();
        self.watermarks.clear();
        self.bytes.clear();
        self.position = position;
        self.at_end = false;
        self.held = 0;
    }
}

/// The offset to commit for an input: the oldest open record's, else the position. Offsets have gaps by nature.
pub fn commit_offset(position: i64, oldest_open: Option<i64>) -> i64 {
    oldest_open.map_or(position, |open| open.min(position))
}

/// The header that a record has on its way through a repartition topic, or an `internal` one. One for all there is to
/// say: each header costs the client memory at both ends.
pub(crate) const HOP: &str = "hop";

/// What such a record says beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HopHeader<'a> {
    /// Event time, epoch ms.
    pub time: i64,
    /// Its source, and that one's time before it.
    pub source: Option<SourceTime>,
    /// Its place before it got another key.
    pub read_at: Option<ReadAt<'a>>,
}

impl HopHeader<'_> {
    /// First byte of the value.
    const FORMAT: u8 = 1;
    /// Bits of the second one.
    const HAS_SOURCE: u8 = 1;
    const HAS_PLACE: u8 = 2;
    /// Bytes before the topic: format, bits, time, source, its time, partition, offset.
    const BYTES: usize = 34;

    /// Appends the header.
    pub fn put(self, out: &mut Vec<u8>) {
        let topic = self.read_at.and_then(|at| at.topic).unwrap_or_default();
        let mut bytes = [0; Self::BYTES];
        bytes[0] = Self::FORMAT;
        bytes[2..10].copy_from_slice(&self.time.to_be_bytes());
        if let Some(SourceTime { source, before }) = self.source {
            bytes[1] |= Self::HAS_SOURCE;
            bytes[10..14].copy_from_slice(&source.to_be_bytes());
            bytes[14..22].copy_from_slice(&before.to_be_bytes());
        }
        if let Some(at) = self.read_at {
            bytes[1] |= Self::HAS_PLACE;
            bytes[22..26].copy_from_slice(&at.partition.to_be_bytes());
            bytes[26..34].copy_from_slice(&at.offset.to_be_bytes());
        }
        out.extend_from_slice(&(HOP.len() as u32).to_be_bytes());
        out.extend_from_slice(HOP.as_bytes());
        out.extend_from_slice(&((Self::BYTES + topic.len()) as u32).to_be_bytes());
        out.extend_from_slice(&bytes);
        out.extend_from_slice(topic.as_bytes());
    }

    /// Takes the header off, where it is the first; returns the others.
    fn split(headers: &[u8]) -> (Option<HopHeader<'_>>, &[u8]) {
        let mut rest = headers;
        let first = take_bytes(&mut rest).filter(|(name, _)| *name == HOP.as_bytes());
        match first.and_then(|(_, value)| HopHeader::read(value?)) {
            Some(hop) => (Some(hop), rest),
            None => (None, headers),
        }
    }

    fn read(bytes: &[u8]) -> Option<HopHeader<'_>> {
        fn take<'b, const N: usize>(bytes: &mut &'b [u8]) -> Option<&'b [u8; N]> {
            let (part, rest) = bytes.split_first_chunk::<N>()?;
            *bytes = rest;
            Some(part)
        }
        let mut rest = bytes;
        let [format, bits] = *take::<2>(&mut rest)?;
        let time = i64::from_be_bytes(*take(&mut rest)?);
        let source = SourceTime {
            source: i32::from_be_bytes(*take(&mut rest)?),
            before: i64::from_be_bytes(*take(&mut rest)?),
        };
        let (partition, offset) = (take(&mut rest)?, take(&mut rest)?);
        let topic = match rest {
            [] => None,
            topic => Some(std::str::from_utf8(topic).ok()?),
        };
        let read_at = ReadAt {
            topic,
            partition: i32::from_be_bytes(*partition),
            offset: i64::from_be_bytes(*offset),
        };
        (format == Self::FORMAT && source.source >= 0).then_some(HopHeader {
            time,
            source: (bits & Self::HAS_SOURCE != 0).then_some(source),
            read_at: (bits & Self::HAS_PLACE != 0).then_some(read_at),
        })
    }
}

/// The header that carries an event time where Kafka's stamp cannot.
pub(crate) const EVENT_TIME: &str = "event-time";

/// Appends the header with an event time, epoch ms.
pub fn put_event_time(time: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(EVENT_TIME.len() as u32).to_be_bytes());
    out.extend_from_slice(EVENT_TIME.as_bytes());
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    // Writing to a `Vec` does not fail.
    let _ = write!(out, "{time}");
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// The event time that [`put_event_time`] put first, and the other headers.
fn take_event_time(mut headers: &[u8]) -> Option<(i64, &[u8])> {
    let first = take_bytes(&mut headers);
    let (_, value) = first.filter(|(name, _)| *name == EVENT_TIME.as_bytes())?;
    let time = std::str::from_utf8(value?).ok()?.parse().ok()?;
    Some((time, headers))
}

/// Splits off what the header behind the event time says of the record's source.
fn split_source_time(headers: &[u8]) -> (Option<SourceTime>, &[u8]) {
    let mut rest = headers;
    let said = take_bytes(&mut rest)
        .filter(|(name, _)| *name == SOURCE_TIME.as_bytes())
        .and_then(|(_, value)| SourceTime::read(value?))
        .filter(|said| said.source >= 0);
    match said {
        Some(_) => (said, rest),
        None => (None, headers),
    }
}

/// The header that says where a record of a repartition topic was read, where it is none of [`HopHeader`].
pub(crate) const SOURCE_AT: &str = "source-at";

/// The place of a record before it got another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadAt<'a> {
    /// `None`: the only topic that the repartition topic is filled from.
    pub topic: Option<&'a str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

impl ReadAt<'_> {
    /// Appends the header as workers of before did, behind the one of [`put_event_time`].
    #[cfg(test)]
    pub fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(SOURCE_AT.len() as u32).to_be_bytes());
        out.extend_from_slice(SOURCE_AT.as_bytes());
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        // Writing to a `Vec` does not fail.
        let _ = match self.topic {
            None => write!(out, "{}@{}", self.partition, self.offset),
            Some(topic) => write!(out, "{topic}[{}]@{}", self.partition, self.offset),
        };
        let length = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    fn parse(text: &str) -> Option<ReadAt<'_>> {
        let (place, offset) = text.rsplit_once('@')?;
        let (topic, partition) = match place.strip_suffix(']') {
            Some(place) => place
                .rsplit_once('[')
                .map(|(topic, partition)| (Some(topic), partition))?,
            None => (None, place),
        };
        Some(ReadAt {
            topic,
            partition: partition.parse().ok()?,
            offset: offset.parse().ok()?,
        })
    }
}

/// The place that [`ReadAt::put`] put first, and the other headers.
fn split_origin(headers: &[u8]) -> (Option<ReadAt<'_>>, &[u8]) {
    let mut rest = headers;
    let origin = take_bytes(&mut rest)
        .filter(|(name, _)| *name == SOURCE_AT.as_bytes())
        .and_then(|(_, value)| ReadAt::parse(std::str::from_utf8(value?).ok()?));
    match origin {
        Some(_) => (origin, rest),
        None => (None, headers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::headers::{decode_headers, encode_headers};
    use crate::task::watermark::{SourceState, put_watermark};

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
            decode_headers(second.headers).collect::<Vec<_>>(),
            [("a", Some(&b"1"[..])), ("none", None)]
        );
        inbox.pop();
        inbox.advance(11);
        assert_eq!(inbox.commit_offset(), 11);
    }

    #[test]
    fn a_record_behind_a_hop_says_where_it_was_read_and_keeps_its_own_headers() {
        let mut own = Vec::new();
        encode_headers([("trace", Some(&b"17"[..]))].into_iter(), &mut own);
        for topic in [None, Some("views[2]")] {
            let origin = ReadAt {
                topic,
                partition: 3,
                offset: 12,
            };
            let mut headers = Vec::new();
            put_event_time(5, &mut headers);
            origin.put(&mut headers);
            headers.extend_from_slice(&own);
            let record = RawRecord {
                offset: 0,
                timestamp: 1,
                key: None,
                value: Some(b"v"),
                headers: &headers,
            };
            let mut inbox = Inbox::new(true);
            inbox.push(record);
            assert_eq!(inbox.front().unwrap().headers, own);
            assert_eq!(inbox.origin(None), Some(origin));
            // As workers of before wrote it, and with a header of its own that has the name.
            let mut before = Vec::new();
            put_event_time(5, &mut before);
            encode_headers([(SOURCE_AT, Some(&b"x@y"[..]))].into_iter(), &mut before);
            let mut inbox = Inbox::new(true);
            inbox.push(RawRecord {
                headers: &before,
                ..record
            });
            assert_eq!(inbox.origin(None), None);
            let kept: Vec<_> = decode_headers(inbox.front().unwrap().headers).collect();
            assert_eq!(kept, [(SOURCE_AT, Some(&b"x@y"[..]))]);
        }
    }

    #[test]
    fn one_header_says_all_of_a_record_on_its_way_through_a_hop() {
        let source = SourceTime {
            source: 65_538,
            before: i64::MIN,
        };
        let place = |topic| ReadAt {
            topic,
            partition: 3,
            offset: 12,
        };
        let mut own = Vec::new();
        encode_headers([(HOP, Some(&b"of the user"[..]))].into_iter(), &mut own);
        let places = [None, Some(place(None)), Some(place(Some("views[2]")))];
        for (read_at, source) in places.into_iter().zip([None, Some(source), Some(source)]) {
            let hop = HopHeader {
                time: -7,
                source,
                read_at,
            };
            let mut headers = Vec::new();
            hop.put(&mut headers);
            headers.extend_from_slice(&own);
            let mut inbox = Inbox::new(true);
            inbox.push(RawRecord {
                offset: 0,
                timestamp: 1,
                key: Some(b"k"),
                value: None,
                headers: &headers,
            });
            let front = inbox.front().unwrap();
            assert_eq!((front.timestamp, front.headers), (-7, &own[..]));
            assert_eq!((inbox.source_time(), inbox.origin(None)), (source, read_at));
        }
        // A header of this name that is none of ours stays.
        let mut inbox = Inbox::new(true);
        inbox.push(RawRecord {
            offset: 0,
            timestamp: 1,
            key: Some(b"k"),
            value: None,
            headers: &own,
        });
        let front = inbox.front().unwrap();
        assert_eq!((front.timestamp, front.headers), (1, &own[..]));
    }

    #[test]
    fn a_repartition_topic_s_record_has_the_time_of_its_header_and_the_other_headers() {
        let (mut ours, mut own) = (Vec::new(), Vec::new());
        encode_headers([("event-time", Some(&b"17"[..]))].into_iter(), &mut own);
        put_event_time(i64::MIN, &mut ours);
        ours.extend_from_slice(&own);
        let record = RawRecord {
            offset: 0,
            timestamp: 1,
            key: None,
            value: None,
            headers: &ours,
        };
        let mut inbox = Inbox::new(true);
        inbox.push(record);
        let front = inbox.front().unwrap();
        assert_eq!((front.timestamp, front.headers), (i64::MIN, &own[..]));
        let mut plain = Inbox::new(false);
        plain.push(record);
        assert_eq!(plain.front().unwrap().timestamp, 1);
        // Somebody else's record: as it is.
        let mut inbox = Inbox::new(true);
        inbox.push(RawRecord {
            headers: &[0, 0, 0, 9, 1],
            ..record
        });
        assert_eq!(inbox.front().unwrap().timestamp, 1);
    }

    /// A repartition topic's inbox with a record, a watermark, a record.
    fn with_a_watermark() -> Inbox {
        let mut inbox = Inbox::new(true);
        let record = |offset, value, headers| RawRecord {
            offset,
            timestamp: 9,
            key: None,
            value,
            headers,
        };
        let mut headers = Vec::new();
        let word = Word {
            source: 2,
            time: 7,
            state: SourceState::Idle,
            generation: 1,
        };
        put_watermark(&[word], &mut headers);
        assert!(inbox.push(record(3, Some(&b"a"[..]), &[])));
        assert!(!inbox.push(record(4, None, &headers)));
        assert!(inbox.push(record(6, Some(&b"b"[..]), &[])));
        inbox
    }

    #[test]
    fn a_committed_offset_never_passes_a_watermark_that_has_not_been_taken() {
        let mut inbox = with_a_watermark();
        assert_eq!((inbox.len(), inbox.commit_offset()), (2, 3));
        assert!(inbox.take_watermark().is_none(), "a record is before it");
        inbox.pop();
        assert_eq!(inbox.commit_offset(), 4);
        let words = inbox.take_watermark().unwrap();
        assert_eq!((words[0].source, words[0].time), (2, 7));
        assert_eq!((inbox.commit_offset(), inbox.position()), (6, 7));
        inbox.pop();
        assert!(inbox.is_empty() && inbox.commit_offset() == 7);
    }

    #[test]
    fn a_watermark_between_records_that_are_held_is_taken_when_those_before_it_are_released() {
        let mut inbox = with_a_watermark();
        let (first, second) = (inbox.dispatch_to(), inbox.dispatch_to());
        assert_eq!(inbox.at(first).unwrap().offset, 3);
        assert_eq!(inbox.at(second).unwrap().offset, 6);
        inbox.release();
        assert_eq!(inbox.commit_offset(), 4);
        assert_eq!(inbox.at(second).unwrap().offset, 6);
        assert!(inbox.take_watermark().is_some());
        inbox.requeue();
        assert_eq!((inbox.waiting(), inbox.commit_offset()), (1, 6));
    }

    #[cfg(feature = "mutants")]
    #[test]
    #[should_panic(expected = "left == right")]
    fn the_mutant_whose_offset_passes_a_watermark_is_found() {
        mutants::choose(Some(Mutant::Watermark));
        a_committed_offset_never_passes_a_watermark_that_has_not_been_taken();
    }
}
