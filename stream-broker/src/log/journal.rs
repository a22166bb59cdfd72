//! A journal: checksummed entries appended to one file, rewritten from a snapshot when it has grown.

use std::fmt::Display;
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
    /// Opens or creates the journal and hands every entry to `apply`. A last entry that was cut off while it was
    /// written is removed; anything else that is not an entry is an error, and the file stays as it is.
    pub(crate) fn open<E: Display>(
        path: &Path,
        mut apply: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path)?;
        let length = file.metadata()?.len();
        let size = read_entries(path, &file, length, &mut apply)?;
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

    /// Whether the journal, if there is one, can be opened. Changes nothing.
    pub(crate) fn check(path: &Path) -> io::Result<()> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let length = file.metadata()?.len();
        read_entries(path, &file, length, &mut |_| Ok::<_, io::Error>(())).map(drop)
    }

    /// Appends entries; either all of them or, with an error, none.
    pub(crate) fn append(&mut self, entries: &[Vec<u8>]) -> io::Result<()> {
        if self.size == 0 {
            // So that a journal that begins with a torn entry was not left behind by a kill.
            let fresh = self.path.with_extension("new");
            self.replace(&fresh, entries.iter().cloned())
                .inspect_err(|_| drop(std::fs::remove_file(&fresh)))?;
            self.snapshot_size = 0;
            return Ok(());
        }
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

/// Hands every entry to `apply`; gives where they end, which is before the end when the last one is torn.
fn read_entries<E: Display>(
    path: &Path,
    file: &File,
    length: u64,
    apply: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let (mut size, mut entry) = (0u64, Vec::new());
    while let Some(announced) = next_length(&mut reader, length - size)? {
        let mut checksum = [0; 4];
        reader.read_exact(&mut checksum)?;
        entry.resize(announced, 0);
        reader.read_exact(&mut entry)?;
        if crc32c::crc32c(&entry) != u32::from_be_bytes(checksum) {
            break;
        }
        apply(&entry).map_err(|error| {
            damaged(path, size, &format!("the entry is not understood: {error}"))
        })?;
        size += (FRAME + announced) as u64;
    }
    if size < length {
        let mut rest = vec![0; usize::try_from(length - size).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut rest, size)?;
        if size == 0 || !is_torn(&rest) {
            return Err(damaged(path, size, "no entry is there"));
        }
    }
    Ok(size)
}

/// The length of the next entry; None when it cannot be one that is whole.
fn next_length(reader: &mut impl Read, left: u64) -> io::Result<Option<usize>> {
    if left < FRAME as u64 {
        return Ok(None);
    }
    let mut announced = [0; 4];
    reader.read_exact(&mut announced)?;
    let announced = u32::from_be_bytes(announced) as usize;
    // Nobody writes empty entries: zeros are what a power cut leaves.
    let plausible = (1..=LONGEST).contains(&announced) && announced as u64 <= left - FRAME as u64;
    Ok(plausible.then_some(announced))
}

/// Whether these bytes, which do not start with a whole entry, can be the start of a last one.
fn is_torn(rest: &[u8]) -> bool {
    if rest.len() < FRAME || rest.iter().all(|byte| *byte == 0) {
        return true;
    }
    let announced = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
    (1..=LONGEST).contains(&announced)
        && FRAME + announced >= rest.len()
        && !holds_an_entry(&rest[1..])
}

/// Whether a whole entry starts anywhere in these bytes; also true when that would take too long to say.
fn holds_an_entry(bytes: &[u8]) -> bool {
    let mut budget = LONGEST;
    bytes.windows(FRAME).enumerate().any(|(at, frame)| {
        let announced = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        let checksum = u32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
        let Some(entry) = bytes
            .get(at + FRAME..)
            .and_then(|from| from.get(..announced))
        else {
            return false;
        };
        let Some(left) = budget.checked_sub(announced) else {
            return true;
        };
        budget = left;
        announced > 0 && crc32c::crc32c(entry) == checksum
    })
}

/// What a start says that would lose data if it went on.
fn damaged(path: &Path, at: u64, why: &str) -> io::Error {
    let message = format!(
        "{} is damaged at byte {at} ({why}). Nothing has been changed. Restore the file from a copy, or move the data \
         directory away to start with an empty one",
        path.display()
    );
    io::Error::new(io::ErrorKind::InvalidData, message)
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

    fn try_read(path: &Path) -> io::Result<(Journal, Vec<Vec<u8>>)> {
        let mut seen = Vec::new();
        let journal = Journal::open(path, |entry| {
            seen.push(entry.to_vec());
            Ok::<_, io::Error>(())
        })?;
        Ok((journal, seen))
    }

    fn read(path: &Path) -> (Journal, Vec<Vec<u8>>) {
        try_read(path).unwrap()
    }

    /// Neither opens nor is changed by the attempt.
    fn refused(path: &Path) -> String {
        let before = std::fs::read(path).unwrap();
        let error = try_read(path).unwrap_err().to_string();
        assert_eq!(Journal::check(path).unwrap_err().to_string(), error);
        assert_eq!(std::fs::read(path).unwrap(), before, "{error}");
        assert!(
            error.contains(&path.display().to_string())
                && error.contains("move the data directory away"),
            "{error}"
        );
        error
    }

    #[test]
    fn entries_come_back_and_a_torn_end_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("j");
        let entries = vec![b"one".to_vec(), b"2".to_vec(), b"three".to_vec()];
        read(&path).0.append(&entries).unwrap();
        let whole = std::fs::read(&path).unwrap();
        // The first entry is put in place as a whole.
        for cut in std::iter::once(0).chain(FRAME + 3..=whole.len()) {
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
    fn garbage_at_the_start_or_in_the_middle_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("j");
        let entries: Vec<_> = (0..50u8).map(|at| vec![at; 20]).collect();
        read(&path).0.append(&entries).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let last = whole.len() - FRAME - 20;
        for at in 0..last {
            for flip in [1, 0x80, 0xff] {
                let mut spoilt = whole.clone();
                spoilt[at] ^= flip;
                std::fs::write(&path, &spoilt).unwrap();
                let error = refused(&path);
                let entry = at / (FRAME + 20) * (FRAME + 20);
                assert!(
                    error.contains(&format!("at byte {entry} ")),
                    "{at}: {error}"
                );
            }
        }
        for length in [1, 7, 8, 9, 100, 10_000] {
            let pattern: Vec<u8> = (0..length).map(|ix| (ix * 37 % 251) as u8).collect();
            for garbage in [
                pattern,
                vec![0; length],
                vec![0xff; length],
                vec![b'x'; length],
            ] {
                std::fs::write(&path, &garbage).unwrap();
                assert!(refused(&path).contains("at byte 0 "));
            }
        }
    }

    #[test]
    fn a_last_entry_that_a_power_cut_left_without_its_bytes_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("j");
        read(&path)
            .0
            .append(&[b"one".to_vec(), vec![7; 100]])
            .unwrap();
        let whole = std::fs::read(&path).unwrap();
        for zero_from in FRAME + 3..whole.len() {
            let mut torn = whole.clone();
            torn[zero_from..].fill(0);
            std::fs::write(&path, &torn).unwrap();
            Journal::check(&path).unwrap();
            assert_eq!(read(&path).1, [b"one".to_vec()], "{zero_from}");
        }
    }

    #[test]
    fn an_entry_that_is_not_understood_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("j");
        read(&path).0.append(&[b"one".to_vec()]).unwrap();
        let error = Journal::open(&path, |_| Err("what?"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("what?") && error.contains("at byte 0"),
            "{error}"
        );
        assert_eq!(read(&path).1, [b"one".to_vec()]);
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
