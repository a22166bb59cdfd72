//! Whether a worker has done everything there is to do for its partitions.

use std::sync::Arc;
use std::time::Instant;

use super::found::{existing, is_bound};
use super::hops;
use super::shared::{Seen, Shared};
use super::status::{PartitionState, TaskName};
use super::thread::StreamThread;
use super::topics::{Existing, grown};
use crate::kafka::{Fault, TopicPartition};

/// Every thread is settled, and the ends of its inputs, open transactions included, are where its
/// commits are. Threads that move while the broker is asked make it untrue.
pub(super) fn is_caught_up(worker: &Shared) -> Result<bool, Fault> {
    let before: Vec<Seen> = worker.views.iter().map(|view| view.get()).collect();
    if !before.iter().all(|seen| seen.settled) {
        return Ok(false);
    }
    let (partitions, offsets): (Vec<_>, Vec<i64>) = before
        .iter()
        .flat_map(|seen| seen.places.iter().cloned())
        .unzip();
    if worker.admin.ends(&partitions)? != offsets || !has_come_through(worker)? {
        return Ok(false);
    }
    let same = |(view, seen): (&super::shared::View, &Seen)| {
        let now = view.get();
        now.settled && now.epoch == seen.epoch
    };
    Ok(worker.views.iter().zip(&before).all(same))
}

/// What other workers read may come here with another key: nothing of it is on its way.
fn has_come_through(worker: &Shared) -> Result<bool, Fault> {
    let mut sources = added(worker)?;
    for topology in 0..worker.topologies.len() {
        sources.extend(hops::sources(worker, topology)?);
    }
    sources.sort_unstable();
    sources.dedup();
    // What a partition that has stopped here holds back does not come any more.
    sources.retain(|(topic, partition)| {
        let mut topologies = worker.topologies.iter();
        let reader = topologies.position(|t| t.inputs.iter().any(|input| *input.topic == **topic));
        !reader.is_some_and(|topology| worker.status.has_failed((topology, *partition)))
    });
    hops::are_drained(worker, &sources)
}

/// Partitions that inputs were given since the worker began: the group has still to hand them out, and to read them. Those
/// that tables do not let be read have failed.
fn added(worker: &Shared) -> Result<Vec<TopicPartition>, Fault> {
    let mut added = Vec::new();
    for (at, topology) in worker.topologies.iter().enumerate() {
        let before = worker.counts.get(at).copied().unwrap_or(0);
        let names = topology.timely_inputs().map(|input| &input.topic);
        let topics = existing(&worker.admin, names.cloned().collect())?;
        let more = topics
            .values()
            .flat_map(|view| (before..view.partitions).map(|p| (view.name.as_str(), p)));
        if !is_bound(topology) {
            added.extend(more.map(|(topic, partition)| (Arc::from(topic), partition)));
            continue;
        }
        let lost: Vec<i32> = more.map(|(_, partition)| partition).collect();
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
    Ok(added)
}

impl StreamThread {
    /// Says to the worker that this thread has nothing to do, and how far it is.
    pub(super) fn settle(&mut self) {
        if !self.worker.settings.until_caught_up {
            return;
        }
        let wall = super::shared::wall();
        let free = self.assigned.is_some()
            && !self.asking
            && self.ask_again.is_none()
            && self.backoff.waits(Instant::now()).is_none();
        // Readers wait for a source until it has told them that it is idle.
        let rests = self.worker.settings.source_idle.is_some();
        let settled = free
            && self
                .partitions
                .iter()
                .all(|p| p.is_running() && p.is_settled(wall) && !(rests && p.waits_to_rest()))
            && self.down.iter().all(|down| down.until.is_none());
        if settled == self.seen.settled {
            return;
        }
        self.seen.settled = settled;
        self.seen.epoch += 1;
        self.seen.places = self
            .partitions
            .iter()
            .filter(|p| settled && p.is_running())
            .flat_map(|p| p.sources().zip(p.positions()).collect::<Vec<_>>())
            .collect();
        self.worker.views[self.number].set(self.seen.clone());
    }

    /// Takes back what [`settle`](Self::settle) said.
    pub(super) fn unsettle(&mut self) {
        if self.seen.settled {
            self.seen = Seen {
                epoch: self.seen.epoch + 1,
                ..Seen::default()
            };
            self.worker.views[self.number].set(self.seen.clone());
        }
    }
}
