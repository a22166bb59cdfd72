//! What a log knows beyond its batches, written now and then so that a restart reads only the tail.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::producers::Producers;

/// Which batches compaction can open; one more with each version that opens others. Checkpoints of before have 0.
pub(crate) const OPENS: u32 = 1;

/// A log's state at an offset; later batches are read again after a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// The state holds for every batch before this offset.
    pub(crate) offset: i64,
    pub(crate) log_start: i64,
    pub(crate) producers: Producers,
    /// Passes of compaction: up to which offset, and when (milliseconds since the epoch); oldest first.
    pub(crate) passes: Vec<(i64, i64)>,
    /// Version of what those passes could open.
    #[serde(default)]
    pub(crate) opens: u32,
}

/// Writes a file so that after a crash either the old or the new content is there.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    if let Err(error) = std::fs::write(&fresh, bytes).and_then(|()| std::fs::rename(&fresh, path)) {
        let _ = std::fs::remove_file(&fresh);
        return Err(error);
    }
    Ok(())
}

impl Checkpoint {
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        let body = rmp_serde::to_vec_named(self).map_err(io::Error::other)?;
        let mut bytes = crc32c::crc32c(&body).to_be_bytes().to_vec();
        bytes.extend_from_slice(&body);
        replace(&directory.join("checkpoint"), &bytes)
    }

    /// Reads the checkpoint; None when there is none or it is damaged, for then all batches are read again.
    pub(crate) fn read(directory: &Path) -> Option<Self> {
        let bytes = std::fs::read(directory.join("checkpoint")).ok()?;
        let body = bytes
            .split_first_chunk::<4>()
            .filter(|(crc, body)| u32::from_be_bytes(**crc) == crc32c::crc32c(body))
            .and_then(|(_, body)| rmp_serde::from_slice::<Self>(body).ok());
        if body.is_none() {
            tracing::warn!(directory = %directory.display(), "a damaged checkpoint is set aside; the log is read again");
        }
        body.map(|mut it| {
            if it.opens != OPENS {
                // They have not compared what was shut to them: a tombstone could go before the value it is for.
                it.passes.clear();
            }
            it.producers = it.producers.restored();
            it
        })
    }
}
