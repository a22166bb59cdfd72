//! Partitions come and go.

use std::time::{Duration, Instant};

use super::assignment::{Share, shares};
use super::status::{PartitionState, TaskName};
use super::thread::StreamThread;
use crate::error::Error;
use crate::kafka::{Fault, FaultKind, TopicPartition};

/// How long agents may take to end when their partition goes away.
const GOODBYE: Duration = Duration::from_secs(1);

impl StreamThread {
    /// These partitions are ours now.
    pub(super) fn assigned(&mut self, mut partitions: Vec<TopicPartition>) -> Result<(), Error> {
        let leader = self.worker.settings.leader_topic.as_deref();
        let all = partitions.len();
        partitions.retain(|(topic, _)| Some(&**topic) != leader);
        self.leads = partitions.len() < all;
        if self.leads {
            tracing::info!(thread = self.number, "this worker is the leader");
        }
        let names: Vec<String> = partitions
            .iter()
            .map(|(topic, partition)| format!("{topic}[{partition}]"))
            .collect();
        tracing::info!(
            thread = self.number,
            "assigned: {}",
            if names.is_empty() {
                "nothing".into()
            } else {
                names.join(", ")
            }
        );
        let empty = partitions.is_empty();
        self.proven = Instant::now();
        self.assigned = Some(partitions);
        for share in self.shares() {
            self.worker
                .status
                .set(share.name(), PartitionState::Assigned);
        }
        let token = self.member.token();
        let generation = token.map_or(-1, |token| token.generation);
        let handle = &self.worker.handle;
        handle.assigned(self.number, self.leads, generation);
        if empty {
            self.member.assign(&[])?;
            return Ok(());
        }
        self.ask();
        Ok(())
    }

    /// The tasks of the assignment.
    pub(super) fn shares(&self) -> Vec<Share> {
        let assigned = self.assigned.as_deref().unwrap_or_default();
        shares(&self.worker.topologies, assigned)
    }

    /// Reading an input failed.
    pub(super) fn unreadable(&mut self, at: usize, fault: Fault) {
        if fault.is_out_of_range() {
            // The look at the log's start that comes with a new beginning decides: gap, stop or go on.
            tracing::warn!(thread = self.number, "{fault}");
            self.again(at);
        } else if fault.kind() == FaultKind::Retriable {
            tracing::warn!(thread = self.number, "{fault}");
        } else {
            self.fail(at, &fault.into());
        }
    }

    /// The tasks go, and come back from offsets and changelogs; the partitions stay ours.
    pub(super) fn begin_anew(&mut self) {
        self.drop_partitions(PartitionState::Assigned);
        self.ask();
    }

    /// Our partitions go away.
    pub(super) async fn revoked(&mut self, count: usize, lost: bool) -> Result<(), Error> {
        if lost {
            tracing::warn!(
                thread = self.number,
                "{count} input partitions lost: the group counts this worker as gone; what is not committed is done again"
            );
        } else {
            tracing::info!(thread = self.number, "{count} input partitions revoked");
            self.release(GOODBYE).await?;
        }
        self.drop_partitions(PartitionState::Revoked);
        self.unowned();
        self.backoff.succeed();
        self.failures.clear();
        match self.member.unassign() {
            // A fenced member has nothing to give up.
            Err(fault) if lost => tracing::warn!(thread = self.number, "{fault}"),
            result => result?,
        }
        Ok(())
    }

    /// Nothing is ours until the next assignment.
    pub(super) fn unowned(&mut self) {
        self.assigned = None;
        self.leads = false;
        self.worker.handle.revoked(self.number);
        self.generation += 1;
        self.unconfirmed();
        (self.asking, self.ask_again) = (false, None);
    }

    /// The tasks go as they are.
    pub(super) fn drop_partitions(&mut self, state: PartitionState) {
        let mut gone: Vec<(TaskName, bool)> = Vec::new();
        for mut partition in self.partitions.drain(..) {
            partition.task.drop_agents();
            self.worker.handle.gone(self.number, partition.name);
            self.worker.handle.left(partition.sources());
            gone.push((partition.name, partition.is_lost()));
        }
        gone.extend(
            self.down
                .drain(..)
                .map(|down| (down.name, down.until.is_none())),
        );
        for (name, lost) in gone {
            // What failed is told by the worker's end: it does not become "revoked" on the way there.
            if !(lost && self.worker.stop.is_asked()) {
                self.worker.status.set(name, state.clone());
            }
        }
        // Their queues have gone with the partitions.
        self.readers.clear();
        self.pending = false;
    }
}
