//! Whether a worker has done everything there is to do for its partitions.

use std::time::Instant;

use super::hops;
use super::shared::{Seen, Shared};
use super::thread::StreamThread;
use crate::kafka::Fault;

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
    let mut sources: Vec<_> = (0..worker.topologies.len())
        .flat_map(|topology| hops::sources(worker, topology))
        .collect();
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
        let settled = free
            && self
                .partitions
                .iter()
                .all(|p| p.is_running() && p.is_settled(wall))
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
