//! Rounds of the store: what a stream thread hands to the storer, and what comes back.

use super::partition::Phase;
use super::partition::{Partition, Round};
use crate::error::Error;
use crate::store::{Checkpoint, Stored, StorerClient, TreeWrite};

impl Partition {
    /// Hands rows that await the store to the storer.
    pub(super) fn store(&mut self, storer: &mut StorerClient, wall: i64) {
        if let Phase::Recovering(recovering) = &self.phase {
            for (table, next) in recovering.recovery.next() {
                self.tables[table].next = next;
            }
        }
        submit(self, storer, wall);
    }
}

/// Hands over the rows of a task that await the store; tables whose last round is under way wait. Always all of a
/// table's rows: what is cleared while a round is under way must not miss those of an earlier one.
pub(super) fn submit(partition: &mut Partition, storer: &mut StorerClient, wall: i64) {
    for at in 0..partition.tables.len() {
        if partition.tables[at].round.is_some() {
            continue;
        }
        let Some(tree) = partition.tables[at].tree.clone() else {
            continue;
        };
        let checkpoint = match checkpoint(partition, at, wall) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                tracing::error!("{error}; the store is not written");
                continue;
            }
        };
        let state = &partition.tables[at];
        let bare =
            partition.is_running() && partition.task.mark(at).is_some() && state.is_behind(wall);
        let next = state.next;
        let Some((rows, commit, _)) = partition.task.take_round(at, bare) else {
            continue;
        };
        let write = TreeWrite {
            tree,
            rows,
            checkpoint,
        };
        partition.tables[at].round = Some(Round {
            ticket: storer.submit(vec![write]),
            commit,
            stored: (next, wall),
        });
    }
}

/// What is true of a table's store once all rows that await it are there.
fn checkpoint(partition: &Partition, at: usize, wall: i64) -> Result<Checkpoint, Error> {
    let (table, mark) = (&partition.tables[at], partition.task.mark(at));
    let mut bytes = Vec::new();
    if let Some(mark) = mark {
        mark.encode(&mut bytes)?;
    }
    // A compacted changelog has its mark at its end: during recovery it may not have come yet.
    let named = table.named.unwrap_or_default();
    Ok(Checkpoint {
        changelog_offset: table.next,
        mark: bytes,
        written_at: wall,
        incarnation: mark.map_or(named, |mark| mark.incarnation),
    })
}

/// Tells the task what became of its rounds. Returns the partition, by its place, whose store another task has taken
/// over: the group has given it to another thread, which this one has not heard of yet.
pub(super) fn done(partitions: &mut [Partition], stored: &Stored) -> Option<usize> {
    let mut superseded = None;
    for (place, partition) in partitions.iter_mut().enumerate() {
        for at in 0..partition.tables.len() {
            let Some(round) = partition.tables[at]
                .round
                .take_if(|round| round.ticket == stored.ticket)
            else {
                continue;
            };
            let durable = stored.result.is_ok();
            partition.task.round_done(at, round.commit, durable);
            match &stored.result {
                Ok(()) => partition.tables[at].stored = Some(round.stored),
                Err(error) if error.is_superseded() => superseded = Some(place),
                // The rows stay in memory and the changelog has them: only recovery gets longer.
                Err(error) => tracing::error!(
                    partition = partition.label(),
                    "{error}; the rows stay in memory"
                ),
            }
        }
    }
    superseded
}
