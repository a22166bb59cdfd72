//! What goes wrong with a store.

use std::fmt;
use std::io;
use std::path::Path;

/// A store could not be opened, read or written.
///
/// The text names the directory, the table and partition where there is one, and what to do next.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    InUse,
    Corrupt,
    Full,
    Io,
    Closed,
    Superseded,
}

impl StoreError {
    /// Another process has the directory open.
    pub fn is_in_use(&self) -> bool {
        self.kind == Kind::InUse
    }

    /// What is on disk cannot be read as a store. The next opening sets it aside and starts empty.
    pub fn is_corrupt(&self) -> bool {
        self.kind == Kind::Corrupt
    }

    /// The disk, or the quota, is full: the same round may succeed once there is room.
    pub fn is_disk_full(&self) -> bool {
        self.kind == Kind::Full
    }

    pub(super) fn in_use(path: &Path) -> Self {
        let text = format!(
            "the store {} is in use by another process: stop it, or give this one another --data-dir",
            path.display()
        );
        StoreError {
            kind: Kind::InUse,
            text,
        }
    }

    pub(super) fn corrupt(dir: &Path, why: impl fmt::Display) -> Self {
        let text = format!("the store {} is corrupt: {why}", dir.display());
        StoreError {
            kind: Kind::Corrupt,
            text,
        }
    }

    /// Adds what to do about corruption that was found while the store was open.
    pub(super) fn restart(mut self) -> Self {
        if self.is_corrupt() {
            self.text += ": restart the worker, which sets the store aside and rebuilds it from the changelog";
        }
        self
    }

    pub(super) fn closed(path: &Path) -> Self {
        let text = format!(
            "the store {} is closed after an earlier write error; the next round opens it again",
            path.display()
        );
        StoreError {
            kind: Kind::Closed,
            text,
        }
    }

    /// Another task of this worker has taken the tree over.
    pub(super) fn superseded(table: &str, partition: i32) -> Self {
        let text = format!(
            "the store of table `{table}`, partition {partition}, is written by another stream thread of this worker by now"
        );
        StoreError {
            kind: Kind::Superseded,
            text,
        }
    }

    /// Another task of this worker has taken the tree over: it has what the changelog has, and this write is not made.
    pub fn is_superseded(&self) -> bool {
        self.kind == Kind::Superseded
    }

    /// The storer is gone: its thread could not be started or has ended.
    pub(super) fn stopped() -> Self {
        StoreError {
            kind: Kind::Closed,
            text: "the storer has been stopped".to_owned(),
        }
    }

    pub(crate) fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        use io::ErrorKind as K;
        let (kind, next) = match error.kind() {
            K::StorageFull | K::QuotaExceeded | K::FileTooLarge => {
                (Kind::Full, "make room on that disk")
            }
            K::PermissionDenied | K::ReadOnlyFilesystem => (
                Kind::Io,
                "make it writable for this user, or give another --data-dir",
            ),
            K::NotADirectory | K::AlreadyExists => (
                Kind::Io,
                "something that is not a directory is in the way: move it, or give another --data-dir",
            ),
            _ => (Kind::Io, "check that disk, or give another --data-dir"),
        };
        StoreError {
            kind,
            text: format!("cannot {doing} {}: {error}: {next}", path.display()),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for StoreError {}

impl From<StoreError> for crate::error::Error {
    fn from(error: StoreError) -> Self {
        crate::error::Error::new(crate::error::Kind::Store, error.text)
    }
}
