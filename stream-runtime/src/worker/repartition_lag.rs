//! Repartition topics as the worker sees them: whether all has come through, and taking away what has been read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::context::WorkerContext;
use super::thread::StreamThread;
use crate::kafka::{Fault, TopicPartition, TopicPartitionOffset};
use crate::topology::FeederPlan;

/// Every partition of the topics whose records come to a sub-topology with another key, those added meanwhile included.
/// Asks the broker.
pub(super) fn sources(
    worker: &WorkerContext,
    topology: usize,
) -> Result<Vec<TopicPartition>, Fault> {
    let inputs = worker.topologies[topology].inputs.iter();
    let mut names: Vec<&String> = inputs.flat_map(|input| &input.sources).collect();
    names.sort_unstable();
    names.dedup();
    let mut all = Vec::new();
    for name in names {
        let now = worker.admin.topic(name)?.map(|view| view.partitions);
        let count = now.or_else(|| count(worker, name)).unwrap_or(0);
        let topic: Arc<str> = Arc::from(name.as_str());
        all.extend((0..count).map(|partition| (Arc::clone(&topic), partition)));
    }
    Ok(all)
}

/// Of each input of a sub-topology, by its feeders: the partitions that they have; 0 when that is not known.
pub(super) fn filled_from(worker: &WorkerContext, topology: usize) -> Vec<Vec<i32>> {
    let inputs = worker.topologies[topology].inputs.iter();
    let count = |feeder: &FeederPlan| {
        worker
            .topics
            .counts
            .get(feeder.topology)
            .copied()
            .unwrap_or(0)
    };
    inputs
        .map(|input| input.feeders.iter().map(count).collect())
        .collect()
}

/// Partitions of an input topic when the worker began.
pub(super) fn count(worker: &WorkerContext, topic: &str) -> Option<i32> {
    let mut topologies = worker.topologies.iter();
    let reader = topologies.position(|t| t.inputs.iter().any(|input| input.topic == topic));
    reader.and_then(|at| worker.topics.counts.get(at)).copied()
}

/// The partition of a repartition topic for records that are grouped by no key, as every worker has it.
pub(super) fn keyless(worker: &WorkerContext, topic: &str) -> Option<i32> {
    let count = count(worker, topic).filter(|count| *count > 0);
    count.map(crate::key::partition_of_none)
}

/// Whether the group has committed all there is in these topics: what they bring has then come through.
pub(super) fn are_drained(
    worker: &WorkerContext,
    sources: &[TopicPartition],
) -> Result<bool, Fault> {
    Ok(first_unread(worker, sources)?.is_none())
}

/// A partition of which the group has not committed all there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unread {
    pub topic: Arc<str>,
    pub partition: i32,
    /// `None`: nothing was ever committed.
    pub committed: Option<i64>,
    pub end: i64,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}] (", self.topic, self.partition)?;
        match self.committed {
            Some(offset) => write!(f, "committed offset {offset}")?,
            None => f.write_str("no committed offset")?,
        }
        write!(f, ", end {})", self.end)
    }
}

/// Returns the first of these partitions of which the group has not committed all there is.
pub(super) fn first_unread(
    worker: &WorkerContext,
    sources: &[TopicPartition],
) -> Result<Option<Unread>, Fault> {
    if sources.is_empty() {
        return Ok(None);
    }
    // In this order: an end that equals an older commit leaves nothing between them.
    let admin = &worker.admin;
    let committed = admin.committed(&worker.app, sources)?;
    let (starts, ends) = (admin.starts(sources)?, admin.ends(sources)?);
    let unread = |(at, (topic, partition)): (usize, &TopicPartition)| {
        let own = committed
            .iter()
            .find(|c| (&c.topic, c.partition) == (topic, *partition));
        let committed = own.and_then(|c| c.offset);
        let read = match committed {
            Some(offset) => offset == ends[at],
            // Where nothing is to be read nothing is ever committed.
            None => worker.settings.start_at_end || starts[at] == ends[at],
        };
        (!read).then(|| Unread {
            topic: Arc::clone(topic),
            partition: *partition,
            committed,
            end: ends[at],
        })
    };
    Ok(sources.iter().enumerate().find_map(unread))
}

impl StreamThread {
    /// From time to time, behind a commit: takes away what has been read of the topics that only this app reads.
    pub(super) fn purge(&mut self) {
        let every = self.worker.settings.intervals.purge;
        if self.commits.last_purge.elapsed() < every
            || self.worker.topics.purge_refused.load(Ordering::Relaxed)
        {
            return;
        }
        self.commits.last_purge = Instant::now();
        let mut before = Vec::new();
        for partition in self.tasks.partitions.iter_mut().filter(|p| p.is_running()) {
            let topology = Arc::clone(partition.task.topology());
            for (input, plan) in partition.inputs.iter_mut().zip(&topology.inputs) {
                let own = plan.is_repartition() || plan.again || plan.is_purged();
                if own && input.committed > input.purged {
                    input.purged = input.committed;
                    let topic = Arc::clone(&input.topic);
                    before.push(TopicPartitionOffset::new(
                        topic,
                        input.partition,
                        input.committed,
                    ));
                }
            }
        }
        if before.is_empty() {
            return;
        }
        let worker = Arc::clone(&self.worker);
        tokio::task::spawn_blocking(move || match worker.admin.delete_records(&before) {
            Ok(()) => tracing::debug!(partitions = before.len(), "repartition topics purged"),
            Err(fault) if fault.is_unauthorized() => {
                if !worker.topics.purge_refused.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "{fault}: repartition topics keep what has been read and grow; grant the app the right to delete \
                         records (DELETE on the topic), or do it yourself"
                    );
                }
            }
            Err(fault) => tracing::warn!("{fault}; again later"),
        });
    }
}
