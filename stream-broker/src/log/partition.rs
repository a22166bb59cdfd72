//! The log of one partition: segments, the offsets that bound it, its producers.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::{self, HEADER, Header, Outcome, Record, Records};
use super::checkpoint::{Checkpoint, OPENS};
use super::compression::opened;
use super::producers::{Producers, Verdict};
use super::segment::Segment;
use super::{LogConfig, LogError, RecordFault};

/// A checkpoint is written after this many bytes or batches, whichever comes first.
const CHECKPOINT_BYTES: u64 = 16 * 1024 * 1024;
const CHECKPOINT_BATCHES: u32 = 20_000;

/// The log of one partition.
#[derive(Debug)]
pub(crate) struct Log {
    pub(super) directory: PathBuf,
    pub(super) config: Arc<LogConfig>,
    /// By base offset; the last one is written to, and there always is one.
    pub(super) segments: Vec<Segment>,
    pub(super) log_start: i64,
    pub(super) producers: Producers,
    /// Passes of compaction: up to which offset, and when.
    pub(super) passes: Vec<(i64, i64)>,
    bytes_since_checkpoint: u64,
    batches_since_checkpoint: u32,
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    /// The time of arrival where the topic is stamped with it, else -1.
    pub(crate) append_time: i64,
}

/// A record's time when it has none.
const NO_TIMESTAMP: i64 = -1;

/// Refuses a batch that has such records, and says which they are.
fn pick(
    batch: &[u8],
    fault: RecordFault,
    bad: impl Fn(&Record<'_>) -> bool,
) -> Result<(), LogError> {
    let mut found = Vec::new();
    for (at, record) in (0..).zip(Records::of(batch)) {
        if bad(&record?) {
            found.push(at);
        }
    }
    match found.is_empty() {
        true => Ok(()),
        false => Err(LogError::Records(fault, found)),
    }
}

impl Log {
    /// Opens the log in this directory, or starts an empty one. `now` in milliseconds since the epoch.
    pub(crate) fn open(directory: &Path, config: Arc<LogConfig>, now: i64) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let known = Checkpoint::read(directory);
        let mut segments = open_segments(directory)?;
        if segments.is_empty() {
            let start = known.as_ref().map_or(0, |checkpoint| checkpoint.offset);
            segments.push(Segment::create(directory, start)?);
        }
        let sealed = segments.len() - 1;
        segments[..sealed].iter_mut().for_each(Segment::close);
        // Compaction may have emptied the first segments: the log still starts where it did.
        let checkpoint = known.unwrap_or_else(|| Checkpoint {
            log_start: segments[0].base,
            ..Checkpoint::default()
        });
        let mut log = Self {
            directory: directory.to_owned(),
            config,
            log_start: checkpoint.log_start,
            segments,
            producers: checkpoint.producers,
            passes: checkpoint.passes,
            bytes_since_checkpoint: 0,
            batches_since_checkpoint: 0,
        };
        log.replay_producers(checkpoint.offset, now)?;
        Ok(log)
    }

    /// Reads the headers from this offset on, for what they say about producers.
    fn replay_producers(&mut self, from: i64, now: i64) -> io::Result<()> {
        for segment in self
            .segments
            .iter()
            .filter(|segment| segment.next_offset > from)
        {
            let mut position = segment.floor(from);
            while position + HEADER as u64 <= segment.size {
                let mut head = [0; HEADER];
                segment.file.read_exact_at(&mut head, position)?;
                let Some(header) = Header::read(&head) else {
                    break;
                };
                if header.base_offset >= from {
                    if header.is_control() {
                        let mut bytes = vec![0; header.size];
                        segment.file.read_exact_at(&mut bytes, position)?;
                        if let Some(outcome) = batch::outcome(&bytes) {
                            self.producers.ended(&header, outcome, now);
                        }
                    } else {
                        self.producers
                            .appended(&header, segment.base, position, now);
                    }
                    self.batches_since_checkpoint += 1;
                    self.bytes_since_checkpoint += header.size as u64;
                }
                position += header.size as u64;
            }
        }
        Ok(())
    }

    pub(super) fn active(&self) -> &Segment {
        &self.segments[self.segments.len() - 1]
    }

    fn active_mut(&mut self) -> &mut Segment {
        let last = self.segments.len() - 1;
        &mut self.segments[last]
    }

    pub(crate) fn log_start(&self) -> i64 {
        self.log_start
    }

    /// The offset the next record gets.
    pub(crate) fn high_watermark(&self) -> i64 {
        self.active().next_offset
    }

    /// What read_committed reads up to: the start of the oldest open transaction, or the end.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        self.producers
            .oldest_open()
            .map_or(self.high_watermark(), |open| open.first_offset)
    }

    pub(crate) fn producers(&mut self) -> &mut Producers {
        &mut self.producers
    }

    pub(crate) fn configure(&mut self, config: Arc<LogConfig>) {
        self.config = config;
    }

    /// Appends a client's batch, which is stamped in place.
    pub(crate) fn append(&mut self, batch: &mut [u8], now: i64) -> Result<Appended, LogError> {
        let header = batch::validate(batch)?;
        if batch.len() > self.config.max_message_bytes
            || batch.len() as u64 > self.config.segment_bytes
        {
            return Err(LogError::TooLarge);
        }
        self.check_records(&header, batch, now)?;
        if let Verdict::Duplicate {
            base_offset,
            timestamp,
        } = self.producers.check(&header)?
        {
            let append_time = if self.config.append_time {
                timestamp
            } else {
                -1
            };
            return Ok(Appended {
                base_offset,
                append_time,
            });
        }
        let base_offset = self.high_watermark();
        batch::stamp_offset(batch, base_offset);
        if self.config.append_time {
            batch::stamp_append_time(batch, now);
        }
        self.write(batch, now)?;
        Ok(Appended {
            base_offset,
            append_time: if self.config.append_time { now } else { -1 },
        })
    }

    /// Appends the marker that ends a producer's transaction in this partition.
    pub(crate) fn append_marker(
        &mut self,
        outcome: Outcome,
        producer_id: i64,
        epoch: i16,
        now: i64,
    ) -> Result<(), LogError> {
        let mut marker = batch::marker(outcome, producer_id, epoch, now);
        batch::stamp_offset(&mut marker, self.high_watermark());
        self.write(&marker, now)
    }

    fn write(&mut self, bytes: &[u8], now: i64) -> Result<(), LogError> {
        let header = Header::read(bytes).ok_or(LogError::Corrupt)?;
        self.roll_if_due(bytes.len() as u64, header.max_timestamp)?;
        let (segment, position) = (self.active().base, self.active().size);
        self.active_mut().append(bytes, &header)?;
        if header.is_control() {
            if let Some(outcome) = batch::outcome(bytes) {
                self.producers.ended(&header, outcome, now);
            }
        } else {
            self.producers.appended(&header, segment, position, now);
        }
        self.batches_since_checkpoint += 1;
        self.bytes_since_checkpoint += bytes.len() as u64;
        if self.bytes_since_checkpoint >= CHECKPOINT_BYTES
            || self.batches_since_checkpoint >= CHECKPOINT_BATCHES
        {
            self.producers.expire(now);
            self.checkpoint();
        }
        Ok(())
    }

    /// Checks what the topic asks of every record: a time within its bounds ("none" is), and a key if it is compacted.
    /// A topic that asks nothing opens no compressed batch.
    fn check_records(&self, header: &Header, batch: &[u8], now: i64) -> Result<(), LogError> {
        let (before, after) = (
            self.config.timestamp_before_max_ms,
            self.config.timestamp_after_max_ms,
        );
        let bad = |time: i64| {
            time != NO_TIMESTAMP
                && (time.saturating_sub(now) > after || now.saturating_sub(time) > before)
        };
        let bounded = before < i64::MAX || bad(header.max_timestamp);
        let timed = bounded && !self.config.append_time;
        if !timed && !self.config.compact {
            return Ok(());
        }
        let batch = opened(batch, header)?;
        if timed {
            pick(&batch, RecordFault::Timestamp, |record| {
                bad(header.base_timestamp.saturating_add(record.timestamp_delta))
            })?;
        }
        if self.config.compact {
            pick(&batch, RecordFault::Keyless, |record| record.key.is_none())?;
        }
        Ok(())
    }

    fn roll_if_due(&mut self, more: u64, timestamp: i64) -> io::Result<()> {
        let active = self.active();
        let mut most = self.config.segment_ms;
        if self.config.compact {
            // Only closed segments are compacted.
            most = most.min(self.config.max_compaction_lag_ms);
        }
        let aged = active
            .first_timestamp
            .is_some_and(|first| timestamp.saturating_sub(first) > most);
        if active.size > 0 && (active.size + more > self.config.segment_bytes || aged) {
            self.roll()?;
        }
        Ok(())
    }

    /// Closes the segment that is written to, unless it is empty, and starts the next.
    pub(super) fn roll(&mut self) -> io::Result<()> {
        if self.active().size == 0 {
            return Ok(());
        }
        let next = Segment::create(&self.directory, self.high_watermark())?;
        self.active_mut().close();
        self.segments.push(next);
        Ok(())
    }

    /// Writes the checkpoint. Failing costs only time at the next start.
    pub(crate) fn checkpoint(&mut self) {
        if let Err(error) = self.try_checkpoint() {
            tracing::warn!(directory = %self.directory.display(), %error, "cannot write a checkpoint");
        }
    }

    pub(super) fn try_checkpoint(&mut self) -> io::Result<()> {
        self.bytes_since_checkpoint = 0;
        self.batches_since_checkpoint = 0;
        let checkpoint = Checkpoint {
            offset: self.high_watermark(),
            log_start: self.log_start,
            producers: self.producers.clone(),
            passes: self.passes.clone(),
            opens: OPENS,
        };
        checkpoint.write(&self.directory)
    }

    /// Writes a checkpoint if anything has happened since the last one.
    pub(crate) fn settle(&mut self) {
        if self.batches_since_checkpoint > 0 {
            self.checkpoint();
        }
    }

    /// Forgets all records before this offset (-1: before the end); gives the new start of the log.
    pub(crate) fn delete_records(&mut self, before: i64) -> Result<i64, LogError> {
        let before = if before == -1 {
            self.high_watermark()
        } else {
            before
        };
        if before < 0 || before > self.high_watermark() {
            return Err(LogError::OffsetOutOfRange);
        }
        if before > self.log_start {
            self.move_start(before)?;
        }
        Ok(self.log_start)
    }

    /// Writes down where the log starts from now on, then removes closed segments that lie before it.
    fn move_start(&mut self, start: i64) -> io::Result<()> {
        let old = std::mem::replace(&mut self.log_start, start);
        if let Err(error) = self.try_checkpoint() {
            self.log_start = old;
            return Err(error);
        }
        while self.segments.len() > 1 && self.segments[1].base <= self.log_start {
            self.segments.remove(0).remove();
        }
        self.producers.forget_aborted_before(self.log_start);
        Ok(())
    }

    /// Removes closed segments that are too old or too many, as the topic's configuration says.
    pub(crate) fn retain(&mut self, now: i64) -> io::Result<()> {
        if !self.config.delete {
            return Ok(());
        }
        let stable = self.last_stable_offset();
        let mut total: u64 = self.segments.iter().map(|segment| segment.size).sum();
        let limit = u64::try_from(self.config.retention_bytes).ok();
        let mut start = self.log_start;
        for at in 0..self.segments.len() {
            let segment = &self.segments[at];
            let age = now.saturating_sub(segment.max_timestamp);
            let old =
                self.config.retention_ms >= 0 && segment.size > 0 && age > self.config.retention_ms;
            let over = limit.is_some_and(|limit| total - segment.size >= limit);
            if !(old || over) || segment.next_offset > stable || segment.size == 0 {
                break;
            }
            total -= segment.size;
            start = segment.next_offset;
        }
        if start > self.log_start {
            if start == self.high_watermark() {
                self.roll()?;
            }
            self.move_start(start)?;
        }
        Ok(())
    }
}

/// Opens all segments in a directory and removes what a compaction that was cut short left behind.
fn open_segments(directory: &Path) -> io::Result<Vec<Segment>> {
    let mut bases = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let base = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(|stem| stem.parse::<i64>().ok());
        match (
            base,
            path.extension().and_then(|extension| extension.to_str()),
        ) {
            (Some(base), Some("log")) => bases.push(base),
            (None, Some("log" | "index" | "new")) => std::fs::remove_file(&path)?,
            _ => {}
        }
    }
    bases.sort_unstable();
    let mut segments: Vec<Segment> = Vec::with_capacity(bases.len());
    for base in bases {
        let segment = Segment::open(directory, base)?;
        // A cleaned segment holds what is left of those after it; they are removed after it has taken its place.
        if segments.last().is_some_and(|last| last.next_offset > base) {
            segment.remove();
        } else {
            segments.push(segment);
        }
    }
    Ok(segments)
}
