//! A worker's place on this machine: a directory under a lock, with an identity and the store.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind};
use crate::store::StoreError;

/// Workers of one app in one data directory, at most.
const SLOTS: usize = 1_000;

/// The first free `{data dir}/{app}/worker-N`, held until dropped.
#[derive(Debug)]
pub(super) struct Slot {
    dir: PathBuf,
    id: uuid::Uuid,
    /// Held, not read: the lock goes with it.
    _lock: File,
}

impl Slot {
    /// Takes the first slot that no other worker holds.
    pub(super) fn take(data_dir: &Path, app: &str) -> Result<Self, Error> {
        let app_dir = data_dir.join(app);
        for number in 0..SLOTS {
            let dir = app_dir.join(format!("worker-{number}"));
            fs::create_dir_all(&dir).map_err(|error| cannot("make", &dir, &error))?;
            let path = dir.join("lock");
            let lock = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(|error| cannot("open", &path, &error))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(cannot("lock", &path, &error)),
            }
            let id = identity(&dir)?;
            return Ok(Self {
                dir,
                id,
                _lock: lock,
            });
        }
        Err(Error::new(
            Kind::Configuration,
            format!(
                "{} has {SLOTS} workers already: give this one another --data-dir",
                app_dir.display()
            ),
        ))
    }

    /// Kept over restarts: the next worker in this slot has it too.
    pub(super) fn id(&self) -> uuid::Uuid {
        self.id
    }

    /// Where the store lies.
    pub(super) fn store_dir(&self) -> PathBuf {
        self.dir.join("store")
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Reads the slot's identity, or makes one. A torn file counts as none.
fn identity(dir: &Path) -> Result<uuid::Uuid, Error> {
    let path = dir.join("id");
    if let Some(id) = fs::read_to_string(&path)
        .ok()
        .and_then(|text| text.trim().parse().ok())
    {
        return Ok(id);
    }
    let id = uuid::Uuid::new_v4();
    let fresh = dir.join("id.new");
    let write = || {
        let mut file = File::create(&fresh)?;
        writeln!(file, "{id}")?;
        file.sync_all()?;
        fs::rename(&fresh, &path)
    };
    write().map_err(|error| cannot("write", &path, &error))?;
    Ok(id)
}

fn cannot(doing: &str, path: &Path, error: &std::io::Error) -> Error {
    StoreError::io(doing, path, error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_workers_take_two_slots_and_a_restart_takes_its_own_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = Slot::take(dir.path(), "app").unwrap();
        let second = Slot::take(dir.path(), "app").unwrap();
        assert_ne!(first.dir(), second.dir());
        assert_ne!(first.id(), second.id());
        let id = first.id();
        drop(first);
        assert_eq!(Slot::take(dir.path(), "app").unwrap().id(), id);
    }

    #[test]
    fn a_torn_identity_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let slot = Slot::take(dir.path(), "app").unwrap();
        let (old, path) = (slot.id(), slot.dir().join("id"));
        drop(slot);
        fs::write(path, "1234").unwrap();
        assert_ne!(Slot::take(dir.path(), "app").unwrap().id(), old);
    }

    #[test]
    fn a_place_that_is_no_directory_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Slot::take(file.path(), "app").unwrap_err();
        assert!(error.is_store());
        assert!(error.to_string().contains("--data-dir"), "{error}");
    }
}
