//! Record batches (format 2): their header is read and stamped, their records stay opaque.

use super::LogError;

/// Bytes of a batch before its records.
pub(crate) const HEADER: usize = 61;
/// Bytes that `length` does not count: base offset and length itself.
const OUTSIDE_LENGTH: usize = 12;
/// The checksum covers everything from here on.
const CHECKED_FROM: usize = 21;

const COMPRESSION: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// A batch's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) base_offset: i64,
    /// Bytes of the whole batch.
    pub(crate) size: usize,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) count: i32,
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    (i64::from(i32_at(bytes, at)) << 32) | i64::from(i32_at(bytes, at + 4) as u32)
}

impl Header {
    /// Reads the header at the start of `bytes`; None when it is cut off or no header of format 2.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER || bytes[16] != 2 {
            return None;
        }
        let size = usize::try_from(i32_at(bytes, 8))
            .ok()?
            .checked_add(OUTSIDE_LENGTH)?;
        let header = Self {
            base_offset: i64_at(bytes, 0),
            size,
            attributes: i16_at(bytes, 21),
            last_offset_delta: i32_at(bytes, 23),
            base_timestamp: i64_at(bytes, 27),
            max_timestamp: i64_at(bytes, 35),
            producer_id: i64_at(bytes, 43),
            producer_epoch: i16_at(bytes, 51),
            base_sequence: i32_at(bytes, 53),
            count: i32_at(bytes, 57),
        };
        (size >= HEADER && header.last_offset_delta >= 0 && header.base_offset >= 0)
            .then_some(header)
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Returns the codec of its records; 0 when they are not compressed.
    pub(crate) fn codec(&self) -> i16 {
        self.attributes & COMPRESSION
    }

    pub(crate) fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// Whether the producer numbers its batches.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.producer_id >= 0
    }

    /// The sequence number of the last record; numbers start again at 0 after the largest.
    pub(crate) fn last_sequence(&self) -> i32 {
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        (last & i64::from(i32::MAX)) as i32
    }
}

/// Whether the checksum of a whole batch holds.
pub(crate) fn is_intact(batch: &[u8]) -> bool {
    batch.len() >= HEADER && i32_at(batch, 17) as u32 == crc32c::crc32c(&batch[CHECKED_FROM..])
}

/// Checks a batch as a client sent it: exactly one, whole, of format 2, no control batch.
pub(crate) fn validate(batch: &[u8]) -> Result<Header, LogError> {
    if batch.len() > 16 && batch[16] < 2 {
        return Err(LogError::UnsupportedFormat);
    }
    // Bytes that are cut off hold no batch at all.
    let header = Header::read(batch)
        .filter(|header| header.size <= batch.len())
        .ok_or(LogError::InvalidRecord)?;
    if !is_intact(&batch[..header.size]) {
        return Err(LogError::Corrupt);
    }
    let one = header.size == batch.len();
    if !one
        || header.is_control()
        || header.count < 1
        || header.last_offset_delta != header.count - 1
    {
        return Err(LogError::InvalidRecord);
    }
    if header.is_idempotent() && (header.producer_epoch < 0 || header.base_sequence < 0) {
        return Err(LogError::InvalidRecord);
    }
    Ok(header)
}

/// Gives a batch its place in the log. The checksum does not cover these bytes.
pub(crate) fn stamp_offset(batch: &mut [u8], offset: i64) {
    batch[..8].copy_from_slice(&offset.to_be_bytes());
    batch[12..16].copy_from_slice(&0i32.to_be_bytes());
}

/// Stamps a batch with the time of its arrival.
pub(crate) fn stamp_append_time(batch: &mut [u8], now: i64) {
    let attributes = i16_at(batch, 21) | LOG_APPEND_TIME;
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch[35..43].copy_from_slice(&now.to_be_bytes());
    seal(batch);
}

/// Says of a batch what its records are compressed with, 0 for nothing. They are in place already.
pub(super) fn stamp_codec(batch: &mut [u8], codec: i16) {
    let attributes = (i16_at(batch, 21) & !COMPRESSION) | codec;
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    seal(batch);
}

/// Writes length and checksum of a batch whose other fields are in place.
fn seal(batch: &mut [u8]) {
    let length = (batch.len() - OUTSIDE_LENGTH) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[CHECKED_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Abort,
    Commit,
}

/// The control batch that ends a transaction in one partition.
pub(crate) fn marker(outcome: Outcome, producer_id: i64, producer_epoch: i16, now: i64) -> Vec<u8> {
    // attributes, timestamp delta, offset delta | key: version, type | value: version, coordinator epoch | no headers
    let kind = u8::from(outcome == Outcome::Commit);
    let record = [0, 0, 0, 8, 0, 0, 0, kind, 12, 0, 0, 0, 0, 0, 0, 0];
    let mut batch = vec![0; HEADER];
    batch[16] = 2;
    batch[21..23].copy_from_slice(&(TRANSACTIONAL | CONTROL).to_be_bytes());
    batch[27..35].copy_from_slice(&now.to_be_bytes());
    batch[35..43].copy_from_slice(&now.to_be_bytes());
    batch[43..51].copy_from_slice(&producer_id.to_be_bytes());
    batch[51..53].copy_from_slice(&producer_epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&(-1i32).to_be_bytes());
    batch[57..61].copy_from_slice(&1i32.to_be_bytes());
    batch.push(2 * record.len() as u8);
    batch.extend_from_slice(&record);
    seal(&mut batch);
    batch
}

/// Which way a control batch ended its transaction; None for control batches of other kinds.
pub(crate) fn outcome(batch: &[u8]) -> Option<Outcome> {
    let key = Records::of(batch).next()?.ok()?.key?;
    match key {
        [_, _, 0, 0, ..] => Some(Outcome::Abort),
        [_, _, 0, 1, ..] => Some(Outcome::Commit),
        _ => None,
    }
}

/// One record of an uncompressed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// The record as it stands in the batch, its length included.
    pub(crate) bytes: &'a [u8],
    pub(crate) offset_delta: i32,
    pub(crate) timestamp_delta: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) is_tombstone: bool,
}

/// The records of an uncompressed batch.
pub(crate) struct Records<'a> {
    rest: &'a [u8],
    left: i32,
}

impl<'a> Records<'a> {
    pub(crate) fn of(batch: &'a [u8]) -> Self {
        let left = Header::read(batch).map_or(0, |header| header.count);
        Self {
            rest: batch.get(HEADER..).unwrap_or_default(),
            left,
        }
    }

    fn record(&mut self) -> Option<Record<'a>> {
        let start = self.rest;
        let mut rest = start;
        let size = usize::try_from(varint(&mut rest)?).ok()?;
        let mut body = rest.get(..size)?;
        self.rest = &rest[size..];
        body = body.get(1..)?;
        let timestamp_delta = varint(&mut body)?;
        let offset_delta = i32::try_from(varint(&mut body)?).ok()?;
        let key = sized(&mut body)?;
        let value = sized(&mut body)?;
        let bytes = &start[..start.len() - self.rest.len()];
        Some(Record {
            bytes,
            offset_delta,
            timestamp_delta,
            key,
            is_tombstone: value.is_none(),
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let record = self.record().ok_or(LogError::InvalidRecord);
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

/// Bytes after their length; the inner None is null.
fn sized<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let size = varint(bytes)?;
    if size < 0 {
        return Some(None);
    }
    let (value, rest) = bytes.split_at_checked(usize::try_from(size).ok()?)?;
    *bytes = rest;
    Some(Some(value))
}

/// A batch with only some of its records, for compaction: offsets, timestamps and producer stay as they were.
pub(crate) fn keep(batch: &[u8], records: &[&[u8]]) -> Vec<u8> {
    let mut out = batch[..HEADER].to_vec();
    out[57..61].copy_from_slice(&(records.len() as i32).to_be_bytes());
    records
        .iter()
        .for_each(|record| out.extend_from_slice(record));
    seal(&mut out);
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn put_varint(out: &mut Vec<u8>, value: i64) {
        let mut value = ((value << 1) ^ (value >> 63)) as u64;
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn put_sized(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
        put_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
        out.extend_from_slice(bytes.unwrap_or_default());
    }

    /// Who sent a batch: producer, epoch, first sequence number, within a transaction.
    #[derive(Clone, Copy)]
    pub(crate) struct From(
        pub(crate) i64,
        pub(crate) i16,
        pub(crate) i32,
        pub(crate) bool,
    );

    pub(crate) const NOBODY: From = From(-1, -1, -1, false);

    /// A batch of records (key, value), all of one timestamp.
    pub(crate) fn batch_of(
        from: From,
        timestamp: i64,
        records: &[(Option<&str>, Option<&str>)],
    ) -> Vec<u8> {
        build(from, timestamp, records, &vec![0; records.len()])
    }

    /// A batch of records at these times.
    pub(crate) fn batch_at(times: &[i64]) -> Vec<u8> {
        let first = times[0];
        let deltas: Vec<i64> = times.iter().map(|time| time - first).collect();
        build(
            NOBODY,
            first,
            &vec![(Some("k"), None); times.len()],
            &deltas,
        )
    }

    fn build(
        from: From,
        timestamp: i64,
        records: &[(Option<&str>, Option<&str>)],
        deltas: &[i64],
    ) -> Vec<u8> {
        let largest = timestamp + deltas.iter().max().unwrap_or(&0);
        let mut batch = vec![0; HEADER];
        batch[16] = 2;
        batch[21..23].copy_from_slice(&(if from.3 { TRANSACTIONAL } else { 0 }).to_be_bytes());
        batch[23..27].copy_from_slice(&(records.len() as i32 - 1).to_be_bytes());
        batch[27..35].copy_from_slice(&timestamp.to_be_bytes());
        batch[35..43].copy_from_slice(&largest.to_be_bytes());
        batch[43..51].copy_from_slice(&from.0.to_be_bytes());
        batch[51..53].copy_from_slice(&from.1.to_be_bytes());
        batch[53..57].copy_from_slice(&from.2.to_be_bytes());
        batch[57..61].copy_from_slice(&(records.len() as i32).to_be_bytes());
        for (at, (key, value)) in records.iter().enumerate() {
            let mut record = vec![0];
            put_varint(&mut record, deltas[at]);
            put_varint(&mut record, at as i64);
            put_sized(&mut record, key.map(str::as_bytes));
            put_sized(&mut record, value.map(str::as_bytes));
            put_varint(&mut record, 0);
            put_varint(&mut batch, record.len() as i64);
            batch.extend_from_slice(&record);
        }
        seal(&mut batch);
        batch
    }

    #[test]
    fn a_batch_is_read_back() {
        let mut batch = batch_of(
            From(7, 1, 40, true),
            1000,
            &[(Some("a"), Some("1")), (None, None)],
        );
        stamp_offset(&mut batch, 500);
        let header = validate(&batch).unwrap();
        assert_eq!(
            (
                header.base_offset,
                header.last_offset(),
                header.last_sequence()
            ),
            (500, 501, 41)
        );
        assert!(header.is_transactional() && !header.is_control() && header.is_idempotent());
        let records: Vec<_> = Records::of(&batch).map(Result::unwrap).collect();
        assert_eq!(
            (records[0].key, records[0].is_tombstone),
            (Some(&b"a"[..]), false)
        );
        assert_eq!(
            (
                records[1].key,
                records[1].is_tombstone,
                records[1].offset_delta
            ),
            (None, true, 1)
        );
    }

    #[test]
    fn damage_is_seen() {
        let good = batch_of(NOBODY, 1000, &[(Some("a"), Some("1"))]);
        for at in 21..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(validate(&bad).is_err(), "byte {at}");
        }
        assert!(matches!(
            validate(&good[..good.len() - 1]),
            Err(LogError::InvalidRecord)
        ));
        let two = [&good[..], &good[..]].concat();
        assert!(matches!(validate(&two), Err(LogError::InvalidRecord)));
        let mut old = good;
        old[16] = 1;
        assert!(matches!(validate(&old), Err(LogError::UnsupportedFormat)));
    }

    #[test]
    fn a_marker_says_how_the_transaction_ended() {
        for end in [Outcome::Commit, Outcome::Abort] {
            let batch = marker(end, 9, 3, 77);
            let header = Header::read(&batch).unwrap();
            assert!(header.is_control() && header.is_transactional() && is_intact(&batch));
            assert_eq!(
                (header.producer_id, header.producer_epoch, header.count),
                (9, 3, 1)
            );
            assert_eq!(outcome(&batch), Some(end));
            assert!(
                matches!(validate(&batch), Err(LogError::InvalidRecord)),
                "no client may send one"
            );
        }
    }

    #[test]
    fn sequence_numbers_start_again_after_the_largest() {
        let header = Header {
            base_sequence: i32::MAX,
            ..Header::read(&marker(Outcome::Commit, 1, 1, 1)).unwrap()
        };
        assert_eq!(
            Header {
                last_offset_delta: 1,
                ..header
            }
            .last_sequence(),
            0
        );
        assert_eq!(
            Header {
                last_offset_delta: 0,
                ..header
            }
            .last_sequence(),
            i32::MAX
        );
    }

    #[test]
    fn a_kept_record_keeps_its_offset() {
        let batch = batch_of(
            NOBODY,
            5,
            &[
                (Some("a"), Some("1")),
                (Some("b"), Some("2")),
                (Some("c"), None),
            ],
        );
        let records: Vec<_> = Records::of(&batch).map(Result::unwrap).collect();
        let kept = keep(&batch, &[records[1].bytes]);
        assert!(is_intact(&kept));
        let header = Header::read(&kept).unwrap();
        assert_eq!(
            (header.count, header.last_offset_delta, header.size),
            (1, 2, kept.len())
        );
        assert_eq!(Records::of(&kept).next().unwrap().unwrap().offset_delta, 1);
    }
}
