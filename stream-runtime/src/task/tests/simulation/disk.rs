//! A worker's disk: a round may be cut short by a crash, and the disk may be an old copy of itself.

use std::cell::RefCell;
use std::sync::Arc;

use crate::store::{MemoryStore, Rounds, Store, StoreError, TreeWrite, write_round};

/// What a round asks of a disk, in order.
enum Step {
    Row(TreeWrite),
    Checkpoint(TreeWrite),
    Sync,
}

/// Writes down the steps of a round.
#[derive(Default)]
struct Steps(RefCell<Vec<Step>>);

fn part(write: &TreeWrite, rows: &[crate::store::RowWrite]) -> TreeWrite {
    TreeWrite {
        tree: Arc::clone(&write.tree),
        rows: rows.to_vec(),
        checkpoint: write.checkpoint.clone(),
    }
}

impl Rounds for Steps {
    fn rows(&self, write: &TreeWrite) -> Result<(), StoreError> {
        let rows = write.rows.chunks(1).map(|row| Step::Row(part(write, row)));
        self.0.borrow_mut().extend(rows);
        Ok(())
    }

    fn checkpoint(&self, write: &TreeWrite) -> Result<(), StoreError> {
        self.0.borrow_mut().push(Step::Checkpoint(part(write, &[])));
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.0.borrow_mut().push(Step::Sync);
        Ok(())
    }
}

/// A worker's disk.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) store: Arc<MemoryStore>,
    old: Option<MemoryStore>,
}

impl Disk {
    /// A round that comes to its end.
    pub(super) fn write(&self, mut writes: Vec<TreeWrite>) {
        self.store.round(&mut writes).expect("memory");
    }

    /// A round that is cut short after so many steps; of what was not synced any part may be there, `mask` says which.
    pub(super) fn tear(&self, mut writes: Vec<TreeWrite>, after: usize, mask: u64) {
        let steps = Steps::default();
        write_round(&steps, &mut writes).expect("memory");
        let mut steps = steps.0.into_inner();
        steps.truncate(after);
        let synced = steps.iter().rposition(|step| matches!(step, Step::Sync));
        for (at, step) in steps.iter().enumerate() {
            let lost = synced.is_none_or(|synced| at > synced) && mask >> (at % 64) & 1 == 0;
            match step {
                _ if lost => {}
                Step::Row(write) => self.store.rows(write).expect("memory"),
                Step::Checkpoint(write) => self.store.checkpoint(write).expect("memory"),
                Step::Sync => {}
            }
        }
    }

    /// Remembers what it holds now.
    pub(super) fn copy(&mut self) {
        self.old = Some(self.store.copy());
    }

    /// It is again as it was at the last copy.
    pub(super) fn turn_back(&mut self) {
        if let Some(old) = &self.old {
            self.store = Arc::new(old.copy());
        }
    }

    /// A new disk.
    pub(super) fn empty(&mut self) {
        self.store = Arc::default();
    }
}
