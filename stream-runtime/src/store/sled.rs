//! The store on disk, on sled 0.34.
//!
//! What sled does not do by itself and this file does: rows go in one by one, sorted (a large `apply_batch` pins its
//! memory); a flush is followed by `sync_all` on sled's data file (its own flush is `sync_file_range`); leftovers of a
//! snapshot that a crash interrupted are deleted before opening, because sled never opens with them; panics of sled
//! over garbage are caught; and after a write error, which sled never recovers from, it is closed and opened again.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, RwLockReadGuard, RwLockWriteGuard};

mod opening;

use opening::{from_sled, lock_beside, open_dir};

use super::flush_round::{self, Rounds};
use super::quarantine::set_aside;
use super::{Checkpoint, Row, Store, StoreError, Tree, TreeWrite};

use crate::error::panic_text;
use crate::sync::RwLock;

/// Tag of the checkpoint's key.
const CHECKPOINT: &[u8] = &[0x00];
/// Tag before a row's key.
const ROW: u8 = 0x01;
/// Tag after all rows.
const END: &[u8] = &[0x02];
/// sled's own tree, in every database; none of ours.
const SLED_DEFAULT: &[u8] = b"__sled__default";
/// So many rounds in a row may panic before the store counts as corrupt.
const PANICS: u32 = 3;
/// A file in the directory that says: found corrupt while it was open.
const CONDEMNED: &str = "corrupt";

/// How a [`SledStore`] is opened.
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// Bytes of sled's page cache for all trees together, as sled counts them: they take about twice as much; default 8
    /// MiB: what is read again soon is in the tables' own caches and in the system's.
    pub cache_bytes: u64,
}

impl Default for SledOptions {
    fn default() -> Self {
        SledOptions {
            cache_bytes: 8 << 20,
        }
    }
}

/// Trees on disk, in one directory that one process at a time may use.
pub struct SledStore {
    disk: Arc<Disk>,
    aside: Option<PathBuf>,
    // Held for as long as the store is open; beside the directory, so that it stays when that is set aside.
    _lock: File,
}

struct Disk {
    dir: PathBuf,
    options: SledOptions,
    state: RwLock<Option<Open>>,
    /// Rounds in a row that ended in a panic of sled's.
    panics: AtomicU32,
}

struct Open {
    db: sled::Db,
    /// sled's data file, a second time: to sync it.
    file: File,
    trees: HashMap<(String, i32), sled::Tree>,
}

struct SledTree {
    disk: Arc<Disk>,
    id: (String, i32),
}

impl SledStore {
    /// Opens the store in `dir`, making it if there is none.
    ///
    /// A store that opens is never wiped. One that is corrupt is renamed to `<dir>.bad-<time>` and an empty one takes
    /// its place; see [`set_aside`](SledStore::set_aside).
    ///
    /// # Errors
    ///
    /// When the directory is in use, cannot be written, is not a directory, or the disk is full.
    pub fn open(dir: &Path, options: SledOptions) -> Result<SledStore, StoreError> {
        if let Some(parent) = dir.parent() {
            fs::create_dir_all(parent)
                .map_err(|e| StoreError::io("make the directory", parent, &e))?;
        }
        let lock = lock_beside(dir)?;
        fs::create_dir_all(dir).map_err(|e| StoreError::io("make the store", dir, &e))?;
        let found = fs::metadata(dir.join(CONDEMNED));
        let opened = match found {
            Ok(_) => Err(StoreError::corrupt(dir, "found while it was open")),
            Err(_) => open_dir(dir, &options),
        };
        let (open, aside) = match opened {
            Ok(open) => (open, None),
            Err(error) if error.is_corrupt() => {
                let aside = set_aside(dir)
                    .map_err(|e| StoreError::io("set aside the corrupt store", dir, &e))?;
                tracing::warn!(
                    "{error}; set aside as {}, starting empty: tables are rebuilt from their changelogs",
                    aside.display()
                );
                fs::create_dir_all(dir).map_err(|e| StoreError::io("make the store", dir, &e))?;
                (open_dir(dir, &options)?, Some(aside))
            }
            Err(error) => return Err(error),
        };
        let state = RwLock::new(Some(open));
        let disk = Disk {
            dir: dir.to_owned(),
            options,
            state,
            panics: AtomicU32::new(0),
        };
        Ok(SledStore {
            disk: Arc::new(disk),
            aside,
            _lock: lock,
        })
    }

    /// Where the store that was found corrupt on opening now lies, if one was.
    pub fn set_aside(&self) -> Option<&Path> {
        self.aside.as_deref()
    }

    /// Bytes the store takes on disk.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        let state = self.disk.read();
        let open = state
            .as_ref()
            .ok_or_else(|| StoreError::closed(&self.disk.dir))?;
        open.db
            .size_on_disk()
            .map_err(|e| self.disk.error("measure", &e))
    }
}

impl Store for SledStore {
    fn tree(&self, table: &str, partition: i32) -> Result<Arc<dyn Tree>, StoreError> {
        let id = (table.to_owned(), partition);
        self.disk.guarded("open a tree", || self.disk.handle(&id))?;
        Ok(Arc::new(SledTree {
            disk: Arc::clone(&self.disk),
            id,
        }))
    }

    fn round(&self, writes: &mut [TreeWrite]) -> Result<(), StoreError> {
        self.disk.open_again()?;
        let written = self.disk.guarded_round(writes);
        // sled remembers a write error for good and does nothing after it: close it, so that the next try opens it.
        if written.is_err() {
            self.disk.close();
        }
        written
    }

    fn trees(&self) -> Result<Vec<(String, i32)>, StoreError> {
        let state = self.disk.read();
        let open = state
            .as_ref()
            .ok_or_else(|| StoreError::closed(&self.disk.dir))?;
        let mut names: Vec<_> = open
            .db
            .tree_names()
            .iter()
            .filter_map(|name| parse_name(name))
            .collect();
        names.sort();
        Ok(names)
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        // Trees may outlive the store; sled may not, or its lock would.
        self.disk.close();
    }
}

impl Disk {
    fn read(&self) -> RwLockReadGuard<'_, Option<Open>> {
        self.state.read()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Open>> {
        self.state.write()
    }

    /// sled's tree, opened if this is the first use.
    fn handle(&self, id: &(String, i32)) -> Result<sled::Tree, StoreError> {
        if let Some(tree) = self
            .read()
            .as_ref()
            .ok_or_else(|| StoreError::closed(&self.dir))?
            .trees
            .get(id)
        {
            return Ok(tree.clone());
        }
        let mut state = self.write();
        let open = state
            .as_mut()
            .ok_or_else(|| StoreError::closed(&self.dir))?;
        let name = format!("{}/{}", id.0, id.1);
        let tree = open
            .db
            .open_tree(name)
            .map_err(|e| self.error("open a tree of", &e))?;
        open.trees.insert(id.clone(), tree.clone());
        Ok(tree)
    }

    /// sled's tree that a write is for.
    fn target(&self, write: &TreeWrite) -> Result<sled::Tree, StoreError> {
        self.handle(&(write.tree.table().to_owned(), write.tree.partition()))
    }

    /// All that was inserted is on the disk's platter when this returns.
    fn sync(&self) -> Result<(), StoreError> {
        let state = self.read();
        let open = state
            .as_ref()
            .ok_or_else(|| StoreError::closed(&self.dir))?;
        open.db.flush().map_err(|e| self.error("flush", &e))?;
        open.file
            .sync_all()
            .map_err(|e| StoreError::io("sync the store", &self.dir, &e))
    }

    /// A panic over a write need not mean garbage, sled panics over a full disk as well: it is opened and tried again.
    fn guarded_round(&self, writes: &mut [TreeWrite]) -> Result<(), StoreError> {
        match catch_unwind(AssertUnwindSafe(|| flush_round::write(self, writes))) {
            Ok(result) => {
                self.panics.store(0, Ordering::Relaxed);
                result.map_err(|error| self.condemn(error))
            }
            Err(panic) => {
                let text = panic_text(&*panic);
                if self.panics.fetch_add(1, Ordering::Relaxed) < PANICS {
                    return Err(StoreError::io(
                        "write to the store",
                        &self.dir,
                        &io::Error::other(text),
                    ));
                }
                Err(self.condemn(StoreError::corrupt(&self.dir, text)))
            }
        }
    }

    fn close(&self) {
        let open = self.write().take();
        // sled's own destructors flush, and may panic when they cannot.
        if catch_unwind(AssertUnwindSafe(|| drop(open))).is_err() {
            tracing::warn!(
                "closing the store {} failed; its last checkpoint holds",
                self.dir.display()
            );
        }
    }

    fn open_again(&self) -> Result<(), StoreError> {
        let mut state = self.write();
        if state.is_none() {
            let open = open_dir(&self.dir, &self.options)?;
            tracing::info!("the store {} is open again", self.dir.display());
            *state = Some(open);
        }
        Ok(())
    }

    /// Runs something of sled's, taking its panics for the corruption they mean.
    fn guarded<R>(
        &self,
        doing: &str,
        run: impl FnOnce() -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let result = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(result) => result,
            Err(panic) => Err(StoreError::corrupt(
                &self.dir,
                format_args!("{doing}: {}", panic_text(&*panic)),
            )),
        };
        result.map_err(|error| self.condemn(error))
    }

    /// Notes corruption in the directory, so that the next opening sets it aside; other errors pass.
    fn condemn(&self, why: StoreError) -> StoreError {
        if why.is_corrupt()
            && let Err(error) = fs::write(self.dir.join(CONDEMNED), why.to_string())
        {
            tracing::warn!(
                "cannot mark the store {} as corrupt: {error}",
                self.dir.display()
            );
        }
        why.restart()
    }

    fn error(&self, doing: &str, error: &sled::Error) -> StoreError {
        from_sled(&format!("{doing} the store"), &self.dir, error)
    }
}

impl Rounds for Disk {
    fn rows(&self, write: &TreeWrite) -> Result<(), StoreError> {
        let tree = self.target(write)?;
        let mut tagged = vec![ROW];
        for (key, value) in &write.rows {
            tagged.truncate(1);
            tagged.extend_from_slice(key);
            match value {
                Some(value) => tree.insert(&tagged, &value[..]),
                None => tree.remove(&tagged),
            }
            .map_err(|e| self.error("write to", &e))?;
        }
        Ok(())
    }

    fn checkpoint(&self, write: &TreeWrite) -> Result<(), StoreError> {
        self.target(write)?
            .insert(CHECKPOINT, write.checkpoint.encode())
            .map_err(|e| self.error("write to", &e))?;
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Disk::sync(self)
    }
}

impl SledTree {
    fn with<R>(
        &self,
        doing: &str,
        run: impl FnOnce(&sled::Tree) -> Result<R, sled::Error>,
    ) -> Result<R, StoreError> {
        let tree = self.disk.handle(&self.id)?;
        self.disk
            .guarded(doing, || run(&tree).map_err(|e| self.disk.error(doing, &e)))
    }
}

impl Tree for SledTree {
    fn table(&self) -> &str {
        &self.id.0
    }

    fn partition(&self) -> i32 {
        self.id.1
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let tagged = tag(key);
        self.with("read", |tree| {
            Ok(tree.get(&tagged)?.map(|value| value.to_vec()))
        })
    }

    fn scan<'a>(
        &'a self,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Box<dyn Iterator<Item = Result<Row, StoreError>> + 'a> {
        let from = tag(from);
        let to = to.map_or(END.to_vec(), tag);
        let tree = match self.disk.handle(&self.id) {
            Ok(tree) => tree,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        if from >= to {
            return Box::new(std::iter::empty()); // sled panics over such a range
        }
        let mut rows = tree.range(from..to);
        let mut ended = false;
        Box::new(std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let row = self.disk.guarded("scan", || {
                rows.next()
                    .transpose()
                    .map_err(|e| self.disk.error("scan", &e))
            });
            ended = !matches!(row, Ok(Some(_)));
            row.map(|row| row.map(|(key, value)| (key[1..].to_vec(), value.to_vec())))
                .transpose()
        }))
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        self.with("read", |tree| {
            Ok(tree.range([ROW]..).next().transpose()?.is_none())
        })
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        let Some(bytes) = self.with("read", |tree| tree.get(CHECKPOINT))? else {
            return Ok(None);
        };
        let decoded = Checkpoint::decode(&bytes);
        if decoded.is_none() {
            // Of another version of this library: rebuilding the tree is the cure, setting all trees aside is not.
            tracing::warn!(
                "table {} partition {}: the store's checkpoint is of an unknown format, not used",
                self.id.0,
                self.id.1
            );
        }
        Ok(decoded)
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.with("clear", |tree| tree.remove(CHECKPOINT))?;
        self.disk.sync()?;
        self.with("clear", sled::Tree::clear)?;
        self.disk.sync()
    }
}

fn tag(key: &[u8]) -> Vec<u8> {
    let mut tagged = Vec::with_capacity(1 + key.len());
    tagged.push(ROW);
    tagged.extend_from_slice(key);
    tagged
}

fn parse_name(name: &[u8]) -> Option<(String, i32)> {
    if name == SLED_DEFAULT {
        return None;
    }
    let (table, partition) = std::str::from_utf8(name).ok()?.rsplit_once('/')?;
    Some((table.to_owned(), partition.parse().ok()?))
}
