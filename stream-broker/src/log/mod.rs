//! Floor 1: what is on disk. Record batches in segment files, one log a partition, and journals for everything else.
//!
//! Everything is written with plain writes before it is acknowledged, so it survives the death of the process at any
//! moment. It is not forced to the disk: after a power cut the torn tail is cut off and the rest is served.

pub(crate) mod batch;
mod checkpoint;
mod cleaner;
mod compression;
mod journal;
mod partition;
mod producers;
mod read;
mod segment;

use std::io;

pub(crate) use batch::Outcome;
pub(crate) use journal::Journal;
pub(crate) use partition::{Appended, Log};
pub(crate) use read::{Fetched, Outcome as ReadOutcome};

/// How one log is kept: the part of a topic's configuration that matters on disk. Times in milliseconds; a negative
/// retention keeps everything.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogConfig {
    pub(crate) compact: bool,
    pub(crate) delete: bool,
    pub(crate) retention_ms: i64,
    pub(crate) retention_bytes: i64,
    pub(crate) segment_bytes: u64,
    pub(crate) segment_ms: i64,
    pub(crate) delete_retention_ms: i64,
    pub(crate) min_compaction_lag_ms: i64,
    pub(crate) max_compaction_lag_ms: i64,
    pub(crate) min_dirty_ratio: f64,
    pub(crate) max_message_bytes: usize,
    pub(crate) append_time: bool,
    pub(crate) timestamp_before_max_ms: i64,
    pub(crate) timestamp_after_max_ms: i64,
}

/// Reason why a topic does not take a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordFault {
    /// It has no key, and the topic is compacted.
    Keyless,
    /// Its time is out of the topic's bounds.
    Timestamp,
}

/// Why a log refuses.
#[derive(Debug)]
pub(crate) enum LogError {
    Corrupt,
    UnsupportedFormat,
    InvalidRecord,
    /// Records of a batch, by their places in it, that the topic does not take.
    Records(RecordFault, Vec<i32>),
    TooLarge,
    InvalidProducerEpoch,
    OutOfOrderSequence,
    InvalidTxnState,
    OffsetOutOfRange,
    /// The disk is full or broken.
    Storage(io::Error),
}

impl From<io::Error> for LogError {
    fn from(error: io::Error) -> Self {
        Self::Storage(error)
    }
}

#[cfg(test)]
mod compaction_tests;
#[cfg(test)]
mod compressed_tests;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
