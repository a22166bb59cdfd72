//! A store that is gone with the process: for tests, and for tables with `changelog = false`.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, MutexGuard};

use super::flush_round::{self, Rounds};
use super::{Checkpoint, Row, Store, StoreError, Tree, TreeWrite};

use crate::sync::{Mutex, RwLock};

/// Trees in memory. Keeps the same promises as the one on disk, except surviving.
#[derive(Default)]
pub struct MemoryStore {
    trees: Mutex<BTreeMap<(String, i32), Arc<MemoryTree>>>,
}

struct MemoryTree {
    table: String,
    partition: i32,
    held: RwLock<Held>,
}

#[derive(Clone, Default)]
struct Held {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    checkpoint: Option<Checkpoint>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same content, from now on its own.
    #[cfg(test)]
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        for ((table, partition), tree) in self.lock().iter() {
            let held = tree.held.read();
            let own = copy.own(table, *partition);
            *own.held.write() = held.clone();
        }
        copy
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, i32), Arc<MemoryTree>>> {
        self.trees.lock()
    }

    fn own(&self, table: &str, partition: i32) -> Arc<MemoryTree> {
        let mut trees = self.lock();
        let tree = trees
            .entry((table.to_owned(), partition))
            .or_insert_with(|| {
                Arc::new(MemoryTree {
                    table: table.to_owned(),
                    partition,
                    held: RwLock::default(),
                })
            });
        Arc::clone(tree)
    }
}

impl Store for MemoryStore {
    fn tree(&self, table: &str, partition: i32) -> Result<Arc<dyn Tree>, StoreError> {
        Ok(self.own(table, partition))
    }

    fn round(&self, writes: &mut [TreeWrite]) -> Result<(), StoreError> {
        flush_round::write(self, writes)
    }

    fn trees(&self) -> Result<Vec<(String, i32)>, StoreError> {
        Ok(self.lock().keys().cloned().collect())
    }
}

impl Rounds for MemoryStore {
    fn rows(&self, write: &TreeWrite) -> Result<(), StoreError> {
        let tree = self.own(write.tree.table(), write.tree.partition());
        let mut held = tree.held.write();
        for (key, value) in &write.rows {
            match value {
                Some(value) => held.rows.insert(key.to_vec(), value.to_vec()),
                None => held.rows.remove(&key[..]),
            };
        }
        Ok(())
    }

    fn checkpoint(&self, write: &TreeWrite) -> Result<(), StoreError> {
        let tree = self.own(write.tree.table(), write.tree.partition());
        let mut held = tree.held.write();
        held.checkpoint = Some(write.checkpoint.clone());
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl MemoryTree {
    fn read<R>(&self, read: impl FnOnce(&Held) -> R) -> R {
        read(&self.held.read())
    }
}

impl Tree for MemoryTree {
    fn table(&self) -> &str {
        &self.table
    }

    fn partition(&self) -> i32 {
        self.partition
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read(|held| held.rows.get(key).cloned()))
    }

    fn scan<'a>(
        &'a self,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Box<dyn Iterator<Item = Result<Row, StoreError>> + 'a> {
        let mut from = Bound::Included(from.to_vec());
        let to = to.map(<[u8]>::to_vec);
        // One look-up a row, so that no lock is held between two rows.
        Box::new(std::iter::from_fn(move || {
            let (key, value) = self.read(|held| {
                let (key, value) = held.rows.range((from.clone(), Bound::Unbounded)).next()?;
                if to.as_ref().is_some_and(|to| key >= to) {
                    return None;
                }
                Some((key.clone(), value.clone()))
            })?;
            from = Bound::Excluded(key.clone());
            Some(Ok((key, value)))
        }))
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.read(|held| held.rows.is_empty()))
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        Ok(self.read(|held| held.checkpoint.clone()))
    }

    fn clear(&self) -> Result<(), StoreError> {
        let mut held = self.held.write();
        *held = Held::default();
        Ok(())
    }
}
