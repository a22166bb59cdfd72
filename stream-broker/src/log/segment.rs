//! A segment: one file of batches, with a sparse index beside it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::{self, HEADER, Header};

/// Bytes of log between two entries of the index.
const INDEX_STEP: u64 = 32 * 1024;
const ENTRY: usize = 32;

/// A place in the file: everything before it has smaller offsets, and timestamps of at most `max_timestamp`, or of
/// `max_record_timestamp` if markers do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    offset: i64,
    position: u64,
    max_timestamp: i64,
    max_record_timestamp: i64,
}

/// One file of a log.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: i64,
    pub(crate) file: Arc<File>,
    /// Bytes of whole batches; the file may be longer after a failed write.
    pub(crate) size: u64,
    /// The offset after the last batch.
    pub(crate) next_offset: i64,
    /// The largest timestamp, -1 when there is no batch.
    pub(crate) max_timestamp: i64,
    /// The same, markers left out.
    pub(crate) max_record_timestamp: i64,
    /// The timestamp of the first batch, which decides when the segment is closed by age.
    pub(crate) first_timestamp: Option<i64>,
    path: PathBuf,
    index: Vec<Entry>,
    /// Whether the index on disk can still be added to; once an entry could not be written, it ends there.
    index_writable: bool,
}

/// The file of a segment.
pub(crate) fn log_path(directory: &Path, base: i64) -> PathBuf {
    directory.join(format!("{base:020}.log"))
}

fn index_path(log: &Path) -> PathBuf {
    log.with_extension("index")
}

impl Segment {
    /// Creates an empty segment.
    pub(crate) fn create(directory: &Path, base: i64) -> io::Result<Self> {
        Self::create_at(log_path(directory, base), base)
    }

    /// Creates an empty segment under another name than its own.
    pub(crate) fn create_at(path: PathBuf, base: i64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        options.open(index_path(&path))?;
        let file = Arc::new(options.open(&path)?);
        Ok(Self {
            base,
            file,
            size: 0,
            next_offset: base,
            max_timestamp: -1,
            max_record_timestamp: -1,
            first_timestamp: None,
            path,
            index: Vec::new(),
            index_writable: true,
        })
    }

    /// Opens a segment after a restart. What the index vouches for is taken as it is; batches after its last entry are
    /// read and checked, and the file is cut after the last whole one.
    pub(crate) fn open(directory: &Path, base: i64) -> io::Result<Self> {
        let path = log_path(directory, base);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let length = file.metadata()?.len();
        let index_path = index_path(&path);
        let index_file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(index_path)?;
        let index = read_index(&index_file, &file, base, length)?;
        index_file.set_len((index.len() * ENTRY) as u64)?;
        let mut segment = Self {
            base,
            file: Arc::new(file),
            size: 0,
            next_offset: base,
            max_timestamp: -1,
            max_record_timestamp: -1,
            first_timestamp: None,
            path,
            index,
            index_writable: true,
        };
        if let Some(last) = segment.index.last() {
            (segment.size, segment.next_offset) = (last.position, last.offset);
            segment.max_timestamp = last.max_timestamp;
            segment.max_record_timestamp = last.max_record_timestamp;
        }
        segment.check_tail(length)?;
        if segment.size < length {
            segment.file.set_len(segment.size)?;
        }
        let mut head = [0; HEADER];
        if segment.size > 0 && segment.file.read_exact_at(&mut head, 0).is_ok() {
            segment.first_timestamp = Header::read(&head).map(|header| header.max_timestamp);
        }
        Ok(segment)
    }

    fn check_tail(&mut self, length: u64) -> io::Result<()> {
        let mut buffer = Vec::new();
        while self.size + HEADER as u64 <= length {
            let mut head = [0; HEADER];
            self.file.read_exact_at(&mut head, self.size)?;
            let Some(header) = Header::read(&head) else {
                break;
            };
            if header.base_offset < self.next_offset || header.size as u64 > length - self.size {
                break;
            }
            buffer.resize(header.size, 0);
            self.file.read_exact_at(&mut buffer, self.size)?;
            if !batch::is_intact(&buffer) {
                break;
            }
            self.account(&header);
        }
        Ok(())
    }

    /// Appends whole batches of which `last` is the last one's header (or the only one's).
    pub(crate) fn append(&mut self, batch: &[u8], header: &Header) -> io::Result<()> {
        if let Err(error) = self.file.write_all_at(batch, self.size) {
            // What a failed write left behind would only keep a full disk full; reopening cuts it off as well.
            let _ = self.file.set_len(self.size);
            return Err(error);
        }
        self.account(header);
        Ok(())
    }

    /// Counts a batch that stands at the end of the file.
    fn account(&mut self, header: &Header) {
        if self.size >= self.index.last().map_or(0, |last| last.position) + INDEX_STEP {
            self.index_here(header.base_offset);
        }
        self.first_timestamp.get_or_insert(header.max_timestamp);
        self.size += header.size as u64;
        self.next_offset = header.last_offset() + 1;
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
        if !header.is_control() {
            self.max_record_timestamp = self.max_record_timestamp.max(header.max_timestamp);
        }
    }

    fn index_here(&mut self, offset: i64) {
        let entry = Entry {
            offset,
            position: self.size,
            max_timestamp: self.max_timestamp,
            max_record_timestamp: self.max_record_timestamp,
        };
        if self.index_writable {
            self.index_writable = self.write_entry(&entry).is_ok();
        }
        self.index.push(entry);
    }

    /// Opened again for each entry, for one descriptor a segment is enough.
    fn write_entry(&self, entry: &Entry) -> io::Result<()> {
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&entry.offset.to_be_bytes());
        bytes[8..16].copy_from_slice(&entry.position.to_be_bytes());
        bytes[16..24].copy_from_slice(&entry.max_timestamp.to_be_bytes());
        bytes[24..].copy_from_slice(&entry.max_record_timestamp.to_be_bytes());
        let file = OpenOptions::new()
            .write(true)
            .open(index_path(&self.path))?;
        file.write_all_at(&bytes, (self.index.len() * ENTRY) as u64)
    }

    /// No more batches come: a last entry at the end spares reading the tail after a restart.
    pub(crate) fn close(&mut self) {
        if self
            .index
            .last()
            .is_none_or(|last| last.position < self.size)
            && self.size > 0
        {
            self.index_here(self.next_offset);
        }
        self.index_writable = false;
        self.index.shrink_to_fit();
    }

    /// A position from which the batch with this offset is found by walking.
    pub(crate) fn floor(&self, offset: i64) -> u64 {
        let after = self.index.partition_point(|entry| entry.offset <= offset);
        after.checked_sub(1).map_or(0, |at| self.index[at].position)
    }

    /// An offset that no batch starting before this position reaches.
    pub(crate) fn ceiling(&self, position: u64) -> i64 {
        let at = self
            .index
            .partition_point(|entry| entry.position < position);
        self.index
            .get(at)
            .map_or(self.next_offset, |entry| entry.offset)
    }

    /// A position before which every timestamp is smaller than this.
    pub(crate) fn floor_of_time(&self, timestamp: i64) -> u64 {
        let after = self
            .index
            .partition_point(|entry| entry.max_record_timestamp < timestamp);
        after.checked_sub(1).map_or(0, |at| self.index[at].position)
    }

    /// Gives the segment another name, index first so that a log never stands beside another log's index.
    pub(crate) fn take_place_of(&mut self, directory: &Path, base: i64) -> io::Result<()> {
        let path = log_path(directory, base);
        let _ = std::fs::remove_file(index_path(&path));
        std::fs::rename(&self.path, &path)?;
        std::fs::rename(index_path(&self.path), index_path(&path))?;
        self.path = path;
        Ok(())
    }

    /// Removes the files; readers that hold them open read on.
    pub(crate) fn remove(&self) {
        for path in [self.path.clone(), index_path(&self.path)] {
            if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "cannot remove a file that is no longer needed");
            }
        }
    }
}

/// Reads the entries that fit the log; the last ones are dropped until one points at a batch or the end.
fn read_index(index: &File, log: &File, base: i64, length: u64) -> io::Result<Vec<Entry>> {
    let mut bytes = vec![0; usize::try_from(index.metadata()?.len()).unwrap_or(0) / ENTRY * ENTRY];
    index.read_exact_at(&mut bytes, 0)?;
    let number = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
    let mut entries: Vec<Entry> = Vec::with_capacity(bytes.len() / ENTRY);
    let (mut offset, mut position) = (base, 0);
    for at in (0..bytes.len()).step_by(ENTRY) {
        let entry = Entry {
            offset: number(at),
            position: number(at + 8) as u64,
            max_timestamp: number(at + 16),
            max_record_timestamp: number(at + 24),
        };
        if entry.offset < offset || entry.position <= position || entry.position > length {
            break;
        }
        (offset, position) = (entry.offset, entry.position);
        entries.push(entry);
    }
    while let Some(last) = entries.last() {
        let mut head = [0; HEADER];
        let fits = last.position == length
            || (log.read_exact_at(&mut head, last.position).is_ok()
                && Header::read(&head).is_some_and(|header| header.base_offset == last.offset));
        if fits {
            break;
        }
        entries.pop();
    }
    Ok(entries)
}
