//! Rounds of the store: what a stream thread hands to the storer, and what comes back.

use super::partition::Partition;
use crate::store::{Checkpoint, Stored, StorerClient, TreeWrite};

/// Hands over the rows of a task that await the store; tables whose last round is under way wait.
pub(super) fn submit(partition: &mut Partition, storer: &mut StorerClient, wall: i64) {
    for at in 0..partition.tables.len() {
        if partition.tables[at].round.is_some() {
            continue;
        }
        let Some(tree) = partition.tables[at].tree.clone() else {
            continue;
        };
        let Some((rows, commit, mark)) = partition.task.take_round(at) else {
            continue;
        };
        let mut bytes = Vec::new();
        let incarnation = mark.as_ref().map_or([0; 16], |mark| mark.incarnation);
        if let Some(Err(error)) = mark.map(|mark| mark.encode(&mut bytes)) {
            tracing::error!("{error}; the store is not written");
            partition.task.round_done(at, commit, false);
            continue;
        }
        let table = &mut partition.tables[at];
        let checkpoint = Checkpoint {
            changelog_offset: table.next,
            mark: bytes,
            written_at: wall,
            incarnation,
        };
        table.round = Some((
            storer.submit(vec![TreeWrite {
                tree,
                rows,
                checkpoint,
            }]),
            commit,
        ));
    }
}

/// Tells the task what became of its rounds.
pub(super) fn done(partitions: &mut [Partition], stored: &Stored) {
    for partition in partitions {
        for at in 0..partition.tables.len() {
            let Some((_, commit)) = partition.tables[at]
                .round
                .take_if(|(ticket, _)| *ticket == stored.ticket)
            else {
                continue;
            };
            partition.task.round_done(at, commit, stored.result.is_ok());
            if let Err(error) = &stored.result {
                // The rows stay in memory and the changelog has them: only recovery gets longer.
                tracing::error!(
                    partition = partition.label(),
                    "{error}; the rows stay in memory"
                );
            }
        }
    }
}
