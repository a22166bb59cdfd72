//! What is kept of transactions in their journal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Transaction, Transactions};

/// One entry of the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Entry {
    /// Producer ids below this may have been given out.
    Block(i64),
    Transaction {
        id: String,
        transaction: Transaction,
    },
}

impl Entry {
    pub(super) fn bytes(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).unwrap_or_default()
    }
}

/// Applies an entry that was read back.
pub(super) fn apply(
    known: &mut BTreeMap<String, Transaction>,
    block_end: &mut i64,
    bytes: &[u8],
) -> Result<(), rmp_serde::decode::Error> {
    match rmp_serde::from_slice(bytes)? {
        Entry::Block(end) => *block_end = end.max(*block_end),
        Entry::Transaction { id, transaction } => {
            known.insert(id, transaction);
        }
    }
    Ok(())
}

impl Transactions {
    /// Rewrites the journal when it has grown too long.
    pub(super) fn shorten(&mut self) {
        if !self.journal.is_overgrown() {
            return;
        }
        let block = std::iter::once(Entry::Block(self.block_end).bytes());
        let each = self.known.iter().map(|(id, transaction)| {
            Entry::Transaction {
                id: id.clone(),
                transaction: transaction.clone(),
            }
            .bytes()
        });
        if let Err(error) = self.journal.rewrite(block.chain(each)) {
            tracing::warn!(%error, "cannot rewrite the transactions' journal");
        }
    }
}
