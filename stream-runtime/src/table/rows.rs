//! The rows of a table's partition, their types erased.

use super::aside::Aside;
use super::entry::RowBatch;
use super::page::{Chunk, Scan};
use crate::error::Error;
use crate::store::RowWrite;

/// What every kind of table does with its rows in the same way.
pub trait Rows {
    /// Takes a changelog row during recovery; the key without its tag.
    fn restore(&self, layout_key: &[u8], value: Option<&[u8]>) -> Result<(), Error>;
    /// Looks whether the rows that the current event has changed can be written.
    fn check_hand(&self) -> Result<(), Error>;
    /// Looks at the rows that the current event has changed: they keep the rules of their fields, and would come back.
    fn check(&self) -> Result<(), Error>;
    /// Rows that could not be read since the last commit.
    fn take_aside(&self) -> Vec<Aside>;
    /// Serializes the changed rows.
    fn prepare(&self) -> Result<(), Error>;
    /// Runs `f` over the serialized rows.
    fn with_batch(&self, f: &mut dyn FnMut(&RowBatch));
    /// Rows for the store and the number of the commit they are of.
    fn take_round(&self, bare: bool) -> Option<(Vec<RowWrite>, u64)>;
    /// Number of rows that await the store.
    fn unstored(&self) -> usize;
    /// Whether the cache is full of rows that await the store.
    fn is_full(&self) -> bool;
    /// The round of this commit number is durable.
    fn stored(&self, round: u64);
    /// The round failed.
    fn not_stored(&self);
    /// A row as of the last commit by its layout key.
    fn committed_row(&self, layout_key: &[u8]) -> Result<Option<Vec<u8>>, Error>;
    /// Rows as of the last commit, some at a time, in the order of their layout keys.
    fn committed_rows(&self, scan: &Scan) -> Result<Chunk, Error>;
    /// Rows in the cache.
    fn cached(&self) -> usize;
}
