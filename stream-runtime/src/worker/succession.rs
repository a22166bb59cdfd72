//! Transactions that a worker left open when it was killed: the others end them.
//!
//! The offsets that such a transaction holds are not stable, and what it wrote is not readable, until it is over:
//! `transaction.timeout.ms` after it began, unless somebody starts transactions with its id. The text beside each
//! committed offset names who wrote it, and the client id of each member who it is: a writer that is not a member is
//! gone, or has been put out of the group, so that nothing of its transaction would be taken. To end one of a worker
//! that lives costs it a commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::context::WorkerContext;
use super::thread::StreamThread;
use crate::kafka::{Fault, TopicPartition, TransactionalProducer, again_saying};
use crate::mutants::{self, Mutant};
use crate::task::signature;

/// Longest time for one of them: it ends by itself then, or soon.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(10);

impl StreamThread {
    /// Ends, on a thread that may wait, the open transactions of those who committed these inputs last and are not
    /// members of the group: once for each generation of it, in the first thread of the worker that is given
    /// partitions. What cannot be found out or done is left to the transactions' own time.
    pub(super) fn end_what_is_open(&self, inputs: &[TopicPartition]) {
        let (worker, generation) = (Arc::clone(&self.worker), self.group.assigned_in);
        let before = worker
            .succession
            .generation
            .swap(generation, Ordering::Relaxed);
        // What that mistake does is seen in a zombie that nobody has fenced.
        let left_alone = mutants::is(Mutant::Offsets);
        if !worker.settings.exactly_once || before == generation || left_alone {
            return;
        }
        let inputs = inputs.to_vec();
        tokio::task::spawn_blocking(move || {
            if let Err(fault) = end(&worker, &inputs) {
                tracing::debug!(
                    "{fault}; a transaction that a worker left open ends by its own time"
                );
            }
        });
    }
}

fn end(worker: &WorkerContext, inputs: &[TopicPartition]) -> Result<(), Fault> {
    let committed = worker.admin.committed_last(&worker.app, inputs)?;
    let texts = committed.iter().map(|c| c.metadata.as_str());
    let own = worker.slot.simple().to_string();
    let mut gone: Vec<&str> = texts
        .filter_map(signature::writer)
        .filter(|writer| !writer.starts_with(&own))
        .collect();
    gone.sort_unstable();
    gone.dedup();
    if gone.is_empty() {
        return Ok(());
    }
    let members = worker.admin.member_clients(&worker.app)?;
    let is_member = |writer: &str| members.iter().any(|client| client.ends_with(writer));
    // A group in which this worker is not seen says nothing of others.
    if !members.iter().any(|client| client.contains(&own)) {
        return Ok(());
    }
    let ended = || worker.succession.names.lock();
    ended().retain(|writer| !is_member(writer));
    gone.retain(|writer| !is_member(writer) && ended().insert((*writer).to_owned()));
    for writer in gone {
        let result = end_of(worker, writer);
        tracing::debug!(
            writer,
            ?result,
            "what a worker that is gone left open is ended"
        );
        if result.is_err() {
            ended().remove(writer);
        }
    }
    Ok(())
}

fn end_of(worker: &WorkerContext, writer: &str) -> Result<(), Fault> {
    let id = worker.transactional_id(writer);
    let producer = TransactionalProducer::new(&worker.settings.properties, &id)?;
    let patient = |spent| spent < TAKE_OVER_TIMEOUT && !worker.stop.is_asked();
    again_saying(
        patient,
        (TAKE_OVER_TIMEOUT, TAKE_OVER_TIMEOUT),
        |_, _| (),
        || producer.init(),
    )
}
