//! Whether everything there is to do has been done.

use std::sync::Arc;
use std::time::Instant;

use super::context::{Seen, WorkerContext};
use super::repartition_lag::{self, Unread};
use super::status::{PartitionState, TaskName};
use super::thread::StreamThread;
use super::topics::Existing;
use super::topics::grown;
use super::topics::{existing, is_bound};
use crate::kafka::{Fault, TopicPartition};

/// What a look at how far the app is has found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// All that there is has been processed and committed.
    CaughtUp,
    /// This worker has something to do.
    Works,
    /// This worker has done its share, and this is another's, or nobody's yet.
    Waits(Unread),
}

/// Looks whether every thread is settled, the ends of its inputs, open transactions included, are where its commits
/// are, and nothing of the app is left to others: who is killed amid a rebalance has partitions for as long as its
/// session. Threads that move while the broker is asked make it untrue.
pub(super) fn look(worker: &WorkerContext) -> Result<Looked, Fault> {
    let before: Vec<Seen> = worker.views.iter().map(|view| view.get()).collect();
    if !before.iter().all(|seen| seen.settled) {
        return Ok(Looked::Works);
    }
    let (partitions, offsets): (Vec<_>, Vec<i64>) = before
        .iter()
        .flat_map(|seen| seen.places.iter().cloned())
        .unzip();
    if worker.admin.ends(&partitions)? != offsets {
        return Ok(Looked::Works);
    }
    let unread = repartition_lag::first_unread(worker, &to_be_read(worker)?)?;
    let same = |(view, seen): (&super::context::View, &Seen)| {
        let now = view.get();
        now.settled && now.epoch == seen.epoch
    };
    if !worker.views.iter().zip(&before).all(same) {
        return Ok(Looked::Works);
    }
    Ok(unread.map_or(Looked::CaughtUp, Looked::Waits))
}

/// Returns all that the app reads, whoever has it: it may come here with another key, or with its partition.
fn to_be_read(worker: &WorkerContext) -> Result<Vec<TopicPartition>, Fault> {
    let mut all = inputs(worker)?;
    for topology in 0..worker.topologies.len() {
        all.extend(repartition_lag::sources(worker, topology)?);
    }
    all.sort_unstable();
    all.dedup();
    // What a partition that has stopped here holds back does not come any more.
    all.retain(|(topic, partition)| {
        let mut topologies = worker.topologies.iter();
        let reader = topologies.position(|t| t.inputs.iter().any(|input| *input.topic == **topic));
        !reader.is_some_and(|topology| worker.status.has_failed((topology, *partition)))
    });
    Ok(all)
}

/// Returns the partitions of the inputs, also those that they were given since the worker began: the group has still to
/// hand them out, and to read them. Those of them that tables do not let be read have failed.
fn inputs(worker: &WorkerContext) -> Result<Vec<TopicPartition>, Fault> {
    let mut all = Vec::new();
    for (at, topology) in worker.topologies.iter().enumerate() {
        let before = worker.topics.counts.get(at).copied().unwrap_or(0);
        let names = topology.timely_inputs().map(|input| &input.topic);
        let topics = existing(&worker.admin, names.cloned().collect())?;
        let bound = is_bound(topology);
        let mut lost: Vec<i32> = Vec::new();
        for view in topics.values() {
            let read = if bound {
                before.min(view.partitions)
            } else {
                view.partitions
            };
            let topic: Arc<str> = Arc::from(view.name.as_str());
            all.extend((0..read).map(|partition| (Arc::clone(&topic), partition)));
            lost.extend(read..view.partitions);
        }
        let lost = lost.into_iter().map(|partition| (at, partition));
        let lost: Vec<TaskName> = lost.filter(|p| !worker.status.has_failed(*p)).collect();
        if lost.is_empty() {
            continue;
        }
        let logs = topology.tables.iter();
        let logs = logs.filter_map(|table| table.changelog.clone());
        let logs = existing(&worker.admin, logs.collect())?;
        let topics: Existing = topics.into_iter().chain(logs).collect();
        if let Err(error) = grown(topology, Some(before), &topics) {
            for task in lost {
                let failed = PartitionState::Failed(error.to_string());
                worker.status.set(task, failed);
            }
        }
    }
    Ok(all)
}

impl StreamThread {
    /// Says to the worker that this thread has nothing to do, and how far it is.
    pub(super) fn settle(&mut self) {
        if !self.worker.settings.until_caught_up {
            return;
        }
        let wall = crate::clock::wall_ms();
        let free = self.group.assigned.is_some()
            && !self.group.asking
            && self.group.ask_again.is_none()
            && self.commits.backoff.waits(Instant::now()).is_none();
        // Readers wait for a source until it has told them that it is idle.
        let rests = self.worker.settings.time.source_idle.is_some();
        let settled = free
            && self
                .tasks
                .partitions
                .iter()
                .all(|p| p.is_running() && p.is_settled(wall) && !(rests && p.waits_to_rest()))
            && self.tasks.down.iter().all(|down| down.until.is_none());
        if settled == self.seen.settled {
            return;
        }
        self.seen.settled = settled;
        self.seen.places = self
            .tasks
            .partitions
            .iter()
            .filter(|p| settled && p.is_running())
            .flat_map(|p| p.sources().zip(p.positions()).collect::<Vec<_>>())
            .collect();
        self.worker.views[self.number].set(self.seen.clone());
    }

    /// Takes back what [`settle`](Self::settle) said; `moved`: for more than timers that ticked.
    pub(super) fn unsettle(&mut self, moved: bool) {
        self.seen.epoch += u64::from(moved);
        if self.seen.settled {
            self.seen = Seen {
                epoch: self.seen.epoch,
                ..Seen::default()
            };
            self.worker.views[self.number].set(self.seen.clone());
        }
    }
}
