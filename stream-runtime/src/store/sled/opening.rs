//! Opening sled: the lock, the leftovers, the first look, and what its errors mean.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Open, SledOptions};
use crate::error::panic_text;
use crate::store::StoreError;

/// How often, and how far apart, a lock is tried for.
const LOCK_TRIES: u32 = 30;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Takes the lock file beside `dir`: sled's own lock would come after we have already tidied up.
pub(super) fn lock_beside(dir: &Path) -> Result<File, StoreError> {
    let mut name = dir.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| StoreError::io("write", &path, &e))?;
    let mut tries = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // A process of ours that is just being started holds copies of our files for a moment.
            Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => tries += 1,
            Err(TryLockError::WouldBlock) => return Err(StoreError::in_use(dir)),
            Err(TryLockError::Error(e)) => return Err(StoreError::io("lock", &path, &e)),
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// Opens sled and reads a little of every tree; anything unreadable is a corrupt store.
pub(super) fn open_dir(dir: &Path, options: &SledOptions) -> Result<Open, StoreError> {
    delete_unfinished_snapshots(dir).map_err(|e| StoreError::io("tidy up the store", dir, &e))?;
    let mut tries = 0;
    loop {
        match open_sled(dir, options) {
            Err(error) if error.is_in_use() && tries < LOCK_TRIES => tries += 1,
            other => return other,
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

fn open_sled(dir: &Path, options: &SledOptions) -> Result<Open, StoreError> {
    let opened = catch_unwind(|| {
        let db = sled::Config::new()
            .path(dir)
            .cache_capacity(options.cache_bytes)
            // sled's flusher is also what gives back the space of old pages.
            .flush_every_ms(Some(1_000))
            .open()?;
        let mut trees = HashMap::new();
        for name in db.tree_names() {
            let tree = db.open_tree(&name)?;
            tree.first()?;
            tree.last()?;
            if let Some(id) = super::parse_name(&name) {
                trees.insert(id, tree);
            }
        }
        Ok((db, trees))
    });
    let (db, trees) = match opened {
        Ok(opened) => opened.map_err(|e| from_sled("open the store", dir, &e))?,
        Err(panic) => return Err(StoreError::corrupt(dir, panic_text(&*panic))),
    };
    let data = dir.join("db");
    let file = File::options()
        .write(true)
        .open(&data)
        .map_err(|e| StoreError::io("open", &data, &e))?;
    Ok(Open { db, file, trees })
}

fn delete_unfinished_snapshots(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("snap.") && name.ends_with(".generating"))
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

pub(super) fn from_sled(doing: &str, dir: &Path, error: &sled::Error) -> StoreError {
    match error {
        sled::Error::Io(e) => match e.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput => StoreError::corrupt(dir, e),
            _ if e.to_string().contains("could not acquire lock") => StoreError::in_use(dir),
            _ => StoreError::io(doing, dir, e),
        },
        other => StoreError::corrupt(dir, other),
    }
}
