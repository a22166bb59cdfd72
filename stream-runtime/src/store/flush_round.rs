//! The order of a durable round, the same for every store.

use super::{StoreError, TreeWrite, sort_rows};
use crate::mutants::{self, Mutant};

/// What a round is made of. The process may die within any of these, and between two of them.
pub(crate) trait Rounds {
    /// Writes the rows, sorted by key.
    fn rows(&self, write: &TreeWrite) -> Result<(), StoreError>;

    /// Writes the checkpoint.
    fn checkpoint(&self, write: &TreeWrite) -> Result<(), StoreError>;

    /// Everything written before survives from now on. Without it, any part of it may.
    fn sync(&self) -> Result<(), StoreError>;
}

/// Writes a round: rows, sync, checkpoints, sync. A checkpoint never vouches for rows that are not there.
pub(crate) fn write(store: &impl Rounds, writes: &mut [TreeWrite]) -> Result<(), StoreError> {
    for write in writes.iter_mut() {
        sort_rows(&mut write.rows);
    }
    let rows = || writes.iter().try_for_each(|write| store.rows(write));
    let checkpoints = || writes.iter().try_for_each(|write| store.checkpoint(write));
    if mutants::is(Mutant::Store) {
        checkpoints()?;
        store.sync()?;
        rows()?;
    } else {
        rows()?;
        store.sync()?;
        checkpoints()?;
    }
    store.sync()
}
