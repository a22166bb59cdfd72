//! Compaction: of every key only the last record is kept, and tombstones for as long as a reader may take.
//!
//! Compressed batches are opened. What is left of one is written without compression, unless all of it is left: then it
//! stays as it is. So does one that cannot be opened, and the tombstones behind it stay as well: without them an older
//! value in there would be the key's last word.
//!
//! A job is settled under the log's lock, done without it, and put in place under it again.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::LogConfig;
use super::batch::{self, HEADER, Header, Records};
use super::compression::{Unopened, opened};
use super::partition::Log;
use super::producers::Producers;
use super::segment::Segment;

/// Keys one pass looks after; what lies beyond waits for the next pass. They take about 50 MB.
const MOST_KEYS: usize = 1_000_000;
/// Passes that are remembered.
const MOST_PASSES: usize = 64;
const PIECE: usize = 1024 * 1024;

/// A closed segment as a job sees it.
#[derive(Debug, Clone)]
struct Part {
    base: i64,
    file: Arc<File>,
    size: u64,
    next_offset: i64,
}

/// What is to be compacted.
#[derive(Debug)]
pub(crate) struct Job {
    directory: PathBuf,
    config: Arc<LogConfig>,
    parts: Vec<Part>,
    /// Records before this offset have been compared with each other already.
    dirty_from: i64,
    /// Tombstones and markers before this offset have been there long enough.
    removable_before: i64,
    producers: Producers,
    log_start: i64,
    /// A batch that cannot be opened stands before what is looked at now.
    behind_unopened: Cell<bool>,
}

/// What a job has made.
#[derive(Debug)]
pub(crate) struct Cleaned {
    /// The segments that were read, and the one that holds what is left of them.
    groups: Vec<(Vec<Part>, Segment)>,
    up_to: i64,
    removable_before: i64,
}

impl Log {
    /// Settles what is to be compacted now, if anything.
    pub(crate) fn plan_compaction(&self, now: i64) -> Option<Job> {
        if !self.config.compact {
            return None;
        }
        let stable = self.last_stable_offset();
        let lag = self.config.min_compaction_lag_ms;
        let closed = &self.segments[..self.segments.len() - 1];
        let cleanable = closed.iter().take_while(|it| {
            it.next_offset <= stable && (lag == 0 || now.saturating_sub(it.max_timestamp) >= lag)
        });
        let parts: Vec<Part> = cleanable
            .map(|it| Part {
                base: it.base,
                file: it.file.clone(),
                size: it.size,
                next_offset: it.next_offset,
            })
            .collect();
        let dirty_from = self.passes.last().map_or(0, |(offset, _)| *offset);
        let dirty: u64 = parts
            .iter()
            .filter(|part| part.next_offset > dirty_from)
            .map(|part| part.size)
            .sum();
        let total: u64 = parts.iter().map(|part| part.size).sum();
        if dirty == 0 {
            return None;
        }
        let oldest = closed
            .iter()
            .find(|it| it.next_offset > dirty_from)
            .and_then(|it| it.first_timestamp);
        let overdue = oldest
            .is_some_and(|oldest| now.saturating_sub(oldest) > self.config.max_compaction_lag_ms);
        if dirty as f64 / (total as f64) <= self.config.min_dirty_ratio && !overdue {
            return None;
        }
        let long_ago = |time: i64| now.saturating_sub(time) >= self.config.delete_retention_ms;
        let removable_before = self
            .passes
            .iter()
            .filter(|(_, time)| long_ago(*time))
            .map(|(offset, _)| *offset)
            .max()
            .unwrap_or(0);
        Some(Job {
            directory: self.directory.clone(),
            config: self.config.clone(),
            parts,
            dirty_from,
            removable_before,
            producers: self.producers.clone(),
            log_start: self.log_start,
            behind_unopened: Cell::new(false),
        })
    }

    /// Puts compacted segments in the place of those they were made from.
    pub(crate) fn finish_compaction(&mut self, cleaned: Cleaned, now: i64) -> io::Result<()> {
        // What a producer's removed batches said about it must be on disk before they are gone.
        if let Err(error) = self.try_checkpoint() {
            cleaned
                .groups
                .iter()
                .for_each(|(_, segment)| segment.remove());
            return Err(error);
        }
        for (parts, mut segment) in cleaned.groups {
            let at = self.segments.iter().position(|it| it.base == parts[0].base);
            let same = at
                .and_then(|at| self.segments.get(at..at + parts.len()))
                .is_some_and(|now| {
                    now.iter()
                        .zip(&parts)
                        .all(|(now, part)| Arc::ptr_eq(&now.file, &part.file))
                });
            let Some(at) = at.filter(|_| same) else {
                // Retention or DeleteRecords took them away meanwhile.
                segment.remove();
                continue;
            };
            if segment.size == 0 {
                self.segments
                    .drain(at..at + parts.len())
                    .for_each(|old| old.remove());
                segment.remove();
                continue;
            }
            segment.take_place_of(&self.directory, parts[0].base)?;
            self.segments[at] = segment;
            self.segments
                .drain(at + 1..at + parts.len())
                .for_each(|old| old.remove());
        }
        self.producers
            .forget_aborted_before(cleaned.removable_before);
        self.passes.push((cleaned.up_to, now));
        if let Some(last) = self
            .passes
            .iter()
            .rposition(|(offset, _)| *offset <= cleaned.removable_before)
        {
            self.passes.drain(..last);
        }
        if self.passes.len() > MOST_PASSES {
            // Dropping the older of two only keeps some tombstones longer.
            self.passes.remove(1);
        }
        self.try_checkpoint()
    }
}

impl Job {
    /// Does the work; None when told to stop.
    pub(crate) fn run(self, stop: &dyn Fn() -> bool) -> io::Result<Option<Cleaned>> {
        let mut keys = Keys::default();
        let up_to = self.last_offsets(&mut keys)?;
        let mut groups: Vec<(Vec<Part>, Segment)> = Vec::new();
        let result = self.rewrite(&keys, up_to, &mut groups, stop);
        if !matches!(result, Ok(true)) {
            groups.iter().for_each(|(_, segment)| segment.remove());
        }
        Ok(result?.then_some(Cleaned {
            groups,
            up_to,
            removable_before: self.removable_before,
        }))
    }

    /// Notes the last offset of each key; gives the offset up to which that is done.
    fn last_offsets(&self, keys: &mut Keys) -> io::Result<i64> {
        let mut up_to = self.dirty_from;
        for part in self
            .parts
            .iter()
            .filter(|part| part.next_offset > self.dirty_from)
        {
            let whole = each_batch(part, |bytes, header| {
                if header.base_offset >= self.dirty_from
                    && header.last_offset() >= self.log_start
                    && !self.is_dropped(header)
                    && !header.is_control()
                {
                    if keys.len() + header.count as usize > MOST_KEYS && keys.len() > 0 {
                        return Ok(false);
                    }
                    match opened(bytes, header) {
                        Ok(bytes) => note_keys(&bytes, header, keys)?,
                        // A batch is compared once, so this is logged once.
                        Err(why) => self.say_unopened(header, &why),
                    }
                }
                up_to = header.last_offset() + 1;
                Ok(true)
            })?;
            if !whole {
                return Ok(up_to);
            }
            up_to = part.next_offset;
        }
        Ok(up_to)
    }

    fn is_dropped(&self, header: &Header) -> bool {
        header.is_transactional()
            && !header.is_control()
            && self
                .producers
                .is_aborted(header.producer_id, header.base_offset)
    }

    fn say_unopened(&self, header: &Header, why: &Unopened) {
        tracing::warn!(
            directory = %self.directory.display(),
            offset = header.base_offset,
            records = header.count,
            %why,
            "a compressed batch cannot be opened: compaction leaves it as it is, and keeps the tombstones behind it; if they become too many, make the topic again"
        );
    }

    fn rewrite(
        &self,
        keys: &Keys,
        up_to: i64,
        groups: &mut Vec<(Vec<Part>, Segment)>,
        stop: &dyn Fn() -> bool,
    ) -> io::Result<bool> {
        for part in self.parts.iter().filter(|part| part.base < up_to) {
            if stop() {
                return Ok(false);
            }
            let fits = groups.last().is_some_and(|(parts, segment)| {
                let range = part.next_offset - parts[0].base;
                segment.size + part.size <= self.config.segment_bytes && range < i64::from(i32::MAX)
            });
            if !fits {
                if let Some((_, segment)) = groups.last_mut() {
                    segment.close();
                }
                let path = self.directory.join(format!("clean-{}.log", part.base));
                groups.push((Vec::new(), Segment::create_at(path, part.base)?));
            }
            let Some((parts, segment)) = groups.last_mut() else {
                return Ok(false);
            };
            parts.push(part.clone());
            each_batch(part, |bytes, header| {
                self.keep(bytes, header, keys, segment)?;
                Ok(true)
            })?;
        }
        if let Some((_, segment)) = groups.last_mut() {
            segment.close();
        }
        Ok(true)
    }

    /// Writes what is left of a batch.
    fn keep(
        &self,
        bytes: &[u8],
        header: &Header,
        keys: &Keys,
        segment: &mut Segment,
    ) -> io::Result<()> {
        if header.is_control() {
            // What it ended has been sorted out in this pass at the latest.
            return if header.last_offset() < self.removable_before {
                Ok(())
            } else {
                segment.append(bytes, header)
            };
        }
        if self.is_dropped(header) || header.last_offset() < self.log_start {
            return Ok(());
        }
        let Ok(opened) = opened(bytes, header) else {
            self.behind_unopened.set(true);
            return segment.append(bytes, header);
        };
        let mut kept = Vec::with_capacity(header.count as usize);
        for record in Records::of(&opened) {
            let record = record.map_err(|_| damaged(header))?;
            let offset = header.base_offset + i64::from(record.offset_delta);
            let Some(key) = record.key else { continue };
            let outdated = keys.last(key).is_some_and(|last| offset < last);
            let removable = record.is_tombstone
                && offset < self.removable_before
                && !self.behind_unopened.get();
            if !outdated && !removable {
                kept.push(record.bytes);
            }
        }
        if kept.len() == header.count as usize {
            segment.append(bytes, header)
        } else if kept.is_empty() {
            Ok(())
        } else {
            let fewer = batch::keep(&opened, &kept);
            let header = Header::read(&fewer).ok_or_else(|| damaged(header))?;
            segment.append(&fewer, &header)
        }
    }
}

fn note_keys(batch: &[u8], header: &Header, keys: &mut Keys) -> io::Result<()> {
    for record in Records::of(batch) {
        let record = record.map_err(|_| damaged(header))?;
        if let Some(key) = record.key {
            keys.note(key, header.base_offset + i64::from(record.offset_delta));
        }
    }
    Ok(())
}

fn damaged(header: &Header) -> io::Error {
    let at = header.base_offset;
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the batch at offset {at} holds a record that cannot be read"),
    )
}

/// Hands every batch of a segment to `each` until it says stop; false when it did.
fn each_batch(
    part: &Part,
    mut each: impl FnMut(&[u8], &Header) -> io::Result<bool>,
) -> io::Result<bool> {
    let (mut position, mut piece) = (0, Vec::new());
    while position + (HEADER as u64) <= part.size {
        let room = (part.size - position) as usize;
        piece.resize(PIECE.min(room), 0);
        part.file.read_exact_at(&mut piece, position)?;
        let Some(first) = Header::read(&piece) else {
            break;
        };
        if first.size > piece.len() {
            piece.resize(first.size.min(room), 0);
            part.file.read_exact_at(&mut piece, position)?;
        }
        let mut at = 0;
        while let Some(header) = piece.get(at..).and_then(Header::read) {
            let Some(bytes) = piece.get(at..at + header.size) else {
                break;
            };
            if !each(bytes, &header)? {
                return Ok(false);
            }
            at += header.size;
        }
        if at == 0 {
            break;
        }
        position += at as u64;
    }
    Ok(true)
}

/// The last offset of each key, the key itself being kept as 128 bits of two independent hashes.
#[derive(Debug, Default)]
struct Keys {
    hashes: (RandomState, RandomState),
    last: HashMap<(u64, u64), i64>,
}

impl Keys {
    fn hash(&self, key: &[u8]) -> (u64, u64) {
        (self.hashes.0.hash_one(key), self.hashes.1.hash_one(key))
    }

    fn note(&mut self, key: &[u8], offset: i64) {
        self.last.insert(self.hash(key), offset);
    }

    fn last(&self, key: &[u8]) -> Option<i64> {
        self.last.get(&self.hash(key)).copied()
    }

    fn len(&self) -> usize {
        self.last.len()
    }
}
