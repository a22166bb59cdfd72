//! Where the rows of tables lie on this machine's disk.
//!
//! Kafka's changelog is the truth; a store is a checkpoint that makes recovery short. It knows bytes, in trees: one
//! tree per table and partition, with the offset of the changelog up to which it is true. [`SledStore`] keeps them on
//! disk, [`MemoryStore`] in memory, and a [`Flusher`] writes to either on a thread of its own.

mod checkpoint;
mod error;
mod flush_round;
mod flusher;
mod memory;
mod quarantine;
mod sled;

#[cfg(test)]
mod tests;

pub use checkpoint::Checkpoint;
pub use error::StoreError;
#[cfg(test)]
pub(crate) use flush_round::{Rounds, write as write_round};
pub use flusher::{Flusher, Stored, StorerClient};
pub use memory::MemoryStore;
pub use sled::{SledOptions, SledStore};

use std::sync::Arc;

/// A row's key and value as [`Tree::scan`] yields them.
pub type Row = (Vec<u8>, Vec<u8>);

/// A row's key and its final value, `None` to delete it, as [`TreeWrite`] takes them.
pub type RowWrite = (Box<[u8]>, Option<Box<[u8]>>);

/// The rows of one partition of one table, in the order of their keys' bytes.
pub trait Tree: Send + Sync {
    /// The table's name.
    fn table(&self) -> &str;

    /// The partition of the table's changelog whose rows these are.
    fn partition(&self) -> i32;

    /// The row of `key`, if there is one.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The rows with `from <= key` and, if `to` is given, `key < to`, in key order.
    ///
    /// They are streamed. A row written while the scan is under way may or may not be seen.
    fn scan<'a>(
        &'a self,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Box<dyn Iterator<Item = Result<Row, StoreError>> + 'a>;

    /// True if there is no row; a checkpoint alone does not count.
    fn is_empty(&self) -> Result<bool, StoreError>;

    /// Up to where in the changelog the rows are true; `None` for a tree that was never written or was cleared.
    fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError>;

    /// Removes the checkpoint, then all rows. A crash in between leaves rows that no checkpoint vouches for.
    fn clear(&self) -> Result<(), StoreError>;
}

/// What a round writes to one tree.
pub struct TreeWrite {
    /// A tree of the same store.
    pub tree: Arc<dyn Tree>,
    /// Final values by key, `None` to delete; in any order, the last of equal keys holds.
    pub rows: Vec<RowWrite>,
    /// What is true once the rows are written.
    pub checkpoint: Checkpoint,
}

/// A place for trees.
pub trait Store: Send + Sync {
    /// The tree of this table's partition, made empty if it is new.
    fn tree(&self, table: &str, partition: i32) -> Result<Arc<dyn Tree>, StoreError>;

    /// Writes one durable round: rows, flush, sync, checkpoints, flush.
    ///
    /// Afterwards, and after a crash at any moment, a tree holds at least what its checkpoint says; it may hold newer
    /// rows. Rows are final values, so replaying the changelog from the checkpoint is harmless. On an error the same
    /// round may be tried again. Rows are sorted in place.
    fn round(&self, writes: &mut [TreeWrite]) -> Result<(), StoreError>;

    /// All trees there are, sorted.
    fn trees(&self) -> Result<Vec<(String, i32)>, StoreError>;
}

/// Sorts rows by key for writing; of equal keys the last one stays the last.
fn sort_rows(rows: &mut [RowWrite]) {
    rows.sort_by(|a, b| a.0.cmp(&b.0));
}
