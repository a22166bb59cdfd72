//! A journal: checksummed entries appended to one file, rewritten from a snapshot when it has grown.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Length and checksum before each entry.
const FRAME: usize = 8;
const LONGEST: usize = 256 * 1024 * 1024;
/// A journal is rewritten when it is larger than this and than four times its last snapshot.
const SMALLEST_REWRITE: u64 = 4 * 1024 * 1024;

/// Where a room keeps its state.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    size: u64,
    snapshot_size: u64,
}

impl Journal {
    /// Opens or creates the journal and hands every whole entry to `apply`; a torn tail is cut off.
    pub(crate) fn open(path: &Path, mut apply: impl FnMut(&[u8])) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let length = file.metadata()?.len();
        let mut reader = BufReader::with_capacity(256 * 1024, &file);
        let (mut size, mut entry) = (0, Vec::new());
        loop {
            let mut frame = [0; FRAME];
            if reader.read_exact(&mut frame).is_err() {
                break;
            }
            let [a, b, c, d, checksum @ ..] = frame;
            let announced = u32::from_be_bytes([a, b, c, d]) as usize;
            if announced > LONGEST || (announced as u64) > length - size - FRAME as u64 {
                break;
            }
            entry.resize(announced, 0);
            reader.read_exact(&mut entry)?;
            if crc32c::crc32c(&entry) != u32::from_be_bytes(checksum) {
                break;
            }
            apply(&entry);
            size += (FRAME + announced) as u64;
        }
        if size < length {
            tracing::warn!(path = %path.display(), bytes = length - size, "the torn end of a journal is cut off");
            file.set_len(size)?;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
            snapshot_size: 0,
        })
    }

    /// Appends entries; either all of them or, with an error, none.
    pub(crate) fn append(&mut self, entries: &[Vec<u8>]) -> io::Result<()> {
        let bytes = framed(entries.iter());
        if let Err(error) = self.file.write_all_at(&bytes, self.size) {
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Whether it has grown so much that it should be rewritten.
    pub(crate) fn is_overgrown(&self) -> bool {
        self.size > SMALLEST_REWRITE.max(4 * self.snapshot_size)
    }

    /// Puts a snapshot of the state in the place of all entries.
    pub(crate) fn rewrite(&mut self, entries: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let result = self.replace(&fresh, entries);
        if result.is_err() {
            let _ = std::fs::remove_file(&fresh);
            // Do not try again with every entry: only when it has doubled.
            self.snapshot_size = self.size / 2;
        }
        result
    }

    fn replace(&mut self, fresh: &Path, entries: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(fresh)?;
        let (mut size, mut part) = (0, Vec::new());
        let mut entries = entries.peekable();
        while let Some(entry) = entries.next() {
            part.extend_from_slice(&framed([entry].iter()));
            if part.len() > 256 * 1024 || entries.peek().is_none() {
                file.write_all_at(&part, size)?;
                size += part.len() as u64;
                part.clear();
            }
        }
        std::fs::rename(fresh, &self.path)?;
        (self.file, self.size, self.snapshot_size) = (file, size, size);
        Ok(())
    }
}

fn framed<'a>(entries: impl Iterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(&(entry.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(entry).to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> (Journal, Vec<Vec<u8>>) {
        let mut seen = Vec::new();
        let journal = Journal::open(path, |entry| seen.push(entry.to_vec())).unwrap();
        (journal, seen)
    }

    #[test]
    fn entries_come_back_and_a_torn_end_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("j");
        let entries = vec![b"one".to_vec(), Vec::new(), b"three".to_vec()];
        read(&path).0.append(&entries).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, seen) = read(&path);
            assert_eq!(seen, entries[..seen.len()], "cut at {cut}");
            journal.append(&[b"next".to_vec()]).unwrap();
            let (_, after) = read(&path);
            assert_eq!(
                (after.len(), after.last().map(Vec::as_slice)),
                (seen.len() + 1, Some(&b"next"[..]))
            );
        }
    }

    #[test]
    fn a_rewrite_keeps_only_the_snapshot() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("j");
        let (mut journal, _) = read(&path);
        journal.append(&vec![vec![7; 1000]; 5000]).unwrap();
        assert!(journal.is_overgrown());
        journal.rewrite([b"all".to_vec()].into_iter()).unwrap();
        assert!(!journal.is_overgrown());
        journal.append(&[b"more".to_vec()]).unwrap();
        assert_eq!(read(&path).1, [b"all".to_vec(), b"more".to_vec()]);
    }
}
