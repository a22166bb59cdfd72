//! Reading: what a Fetch may see is settled under the log's lock, the bytes are read after it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::LogError;
use super::batch::{HEADER, Header, Records};
use super::compression::opened;
use super::partition::Log;
use super::producers::Aborted;

/// Headers are walked in pieces of this size.
const PIECE: usize = 64 * 1024;

/// What may be read from an offset, and where.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start: i64,
    aborted: Vec<Aborted>,
    from: i64,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    file: Arc<File>,
    floor: u64,
    limit: u64,
    /// Base of the next segment, if it may be read.
    next: Option<i64>,
}

/// Whole batches, as they stand in the log.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    pub(crate) records: Bytes,
    /// Transactions whose records a read_committed client must leave out.
    pub(crate) aborted: Vec<Aborted>,
}

/// What came of reading a plan.
pub(crate) enum Outcome {
    Done(Fetched),
    /// Nothing is left in this segment: plan again from here.
    GoOn(i64),
}

impl Log {
    /// Settles what a client may read from this offset on, about `max_bytes` of it.
    pub(crate) fn plan(
        &self,
        from: i64,
        max_bytes: usize,
        committed: bool,
    ) -> Result<Plan, LogError> {
        let (high_watermark, last_stable_offset) =
            (self.high_watermark(), self.last_stable_offset());
        if from < self.log_start() || from > high_watermark {
            return Err(LogError::OffsetOutOfRange);
        }
        let mut plan = Plan {
            high_watermark,
            last_stable_offset,
            log_start: self.log_start(),
            aborted: Vec::new(),
            from,
            place: None,
        };
        let end = if committed {
            last_stable_offset
        } else {
            high_watermark
        };
        if from >= end {
            return Ok(plan);
        }
        let at = self
            .segments
            .partition_point(|segment| segment.base <= from)
            .saturating_sub(1);
        let segment = &self.segments[at];
        let open = if committed {
            self.producers.oldest_open()
        } else {
            None
        };
        let limit = match open {
            Some(open) if open.segment == segment.base => open.position,
            Some(open) if open.segment < segment.base => 0,
            _ => segment.size,
        };
        let next = self
            .segments
            .get(at + 1)
            .map(|next| next.base)
            .filter(|next| *next < end);
        let floor = segment.floor(from);
        if committed {
            // Records are read from at most one piece behind the floor on.
            let reach = max_bytes.saturating_add(PIECE + 2 * self.config.max_message_bytes) as u64;
            let to = segment.ceiling(floor.saturating_add(reach));
            plan.aborted = self.producers.aborted(from, to.min(end));
        }
        plan.place = Some(Place {
            file: segment.file.clone(),
            floor,
            limit,
            next,
        });
        Ok(plan)
    }

    /// The first record stamped at or after this time: its offset and time.
    pub(crate) fn offset_of_time(&self, timestamp: i64) -> io::Result<Option<(i64, i64)>> {
        for segment in self
            .segments
            .iter()
            .filter(|segment| segment.max_record_timestamp >= timestamp)
        {
            let mut position = segment.floor_of_time(timestamp);
            while let Some(header) = header_at(&segment.file, position, segment.size)? {
                if header.max_timestamp >= timestamp
                    && header.last_offset() >= self.log_start()
                    && !header.is_control()
                {
                    let found = record_of_time(
                        &segment.file,
                        position,
                        &header,
                        timestamp,
                        self.log_start(),
                    )?;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                position += header.size as u64;
            }
        }
        Ok(None)
    }

    /// The record with the largest timestamp: its offset and time.
    pub(crate) fn largest_time(&self) -> io::Result<Option<(i64, i64)>> {
        match self
            .segments
            .iter()
            .map(|segment| segment.max_record_timestamp)
            .max()
        {
            Some(largest) if largest >= 0 => self.offset_of_time(largest),
            _ => Ok(None),
        }
    }
}

/// The first record of a batch that is stamped late enough. For a compressed batch that cannot be opened its first
/// offset stands, so that a client reads a few records too many rather than one too few.
fn record_of_time(
    file: &File,
    position: u64,
    header: &Header,
    timestamp: i64,
    start: i64,
) -> io::Result<Option<(i64, i64)>> {
    let whole = Some((header.base_offset.max(start), header.max_timestamp));
    if header.is_log_append_time() {
        return Ok(whole);
    }
    let mut bytes = vec![0; header.size];
    file.read_exact_at(&mut bytes, position)?;
    let Ok(opened) = opened(&bytes, header) else {
        return Ok(whole);
    };
    Ok(Records::of(&opened)
        .filter_map(Result::ok)
        .find_map(|record| {
            let at = header.base_timestamp + record.timestamp_delta;
            let offset = header.base_offset + i64::from(record.offset_delta);
            (at >= timestamp && offset >= start).then_some((offset, at))
        }))
}

fn header_at(file: &File, position: u64, limit: u64) -> io::Result<Option<Header>> {
    if position + HEADER as u64 > limit {
        return Ok(None);
    }
    let mut head = [0; HEADER];
    file.read_exact_at(&mut head, position)?;
    Ok(Header::read(&head))
}

impl Plan {
    /// Reads at most `max_bytes` of whole batches; with `at_least_one`, one batch even if it is larger.
    pub(crate) fn read(self, max_bytes: usize, at_least_one: bool) -> io::Result<Outcome> {
        let Some(place) = self.place else {
            return Ok(Outcome::Done(Fetched::default()));
        };
        let Some((start, first)) = locate(&place.file, place.floor, place.limit, self.from)? else {
            return Ok(place
                .next
                .map_or_else(|| Outcome::Done(Fetched::default()), Outcome::GoOn));
        };
        let room = place.limit - start;
        let mut size = room.min(max_bytes as u64) as usize;
        if size < first.size {
            if !at_least_one {
                return Ok(Outcome::Done(Fetched::default()));
            }
            size = first.size;
        }
        let mut bytes = vec![0; size];
        place.file.read_exact_at(&mut bytes, start)?;
        bytes.truncate(whole(&bytes));
        Ok(Outcome::Done(Fetched {
            records: bytes.into(),
            aborted: self.aborted,
        }))
    }
}

/// Finds the first batch that reaches this offset.
fn locate(
    file: &File,
    mut position: u64,
    limit: u64,
    offset: i64,
) -> io::Result<Option<(u64, Header)>> {
    let mut piece = Vec::new();
    while position + (HEADER as u64) <= limit {
        piece.resize(PIECE.min((limit - position) as usize), 0);
        file.read_exact_at(&mut piece, position)?;
        let mut at = 0;
        while let Some(header) = piece.get(at..).and_then(Header::read) {
            if header.last_offset() >= offset {
                return Ok(Some((position + at as u64, header)));
            }
            at += header.size;
        }
        if at == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("no batch at byte {position} of a segment"),
            ));
        }
        position += at as u64;
    }
    Ok(None)
}

/// How many of these bytes are whole batches.
fn whole(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(header) = bytes.get(at..).and_then(Header::read) {
        if header.size > bytes.len() - at {
            break;
        }
        at += header.size;
    }
    at
}
