//! Partitions come and go.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::assignment::{TaskAssignment, shares};
use super::status::{PartitionState, TaskName};
use super::thread::StreamThread;
use crate::error::Error;
use crate::kafka::{Fault, FaultKind, TopicPartition};

/// How long agents may take to end when their partition goes away.
const GOODBYE: Duration = Duration::from_secs(1);

/// Partitions in few words: `orders[0-99,104], payments[3]`.
fn ranges(partitions: &[TopicPartition]) -> String {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    let of = |(topic, mut numbers): (&str, Vec<i32>)| {
        numbers.sort_unstable();
        let runs = numbers.chunk_by(|a, b| a + 1 == *b);
        let runs = runs.map(|run| match run {
            [first, .., last] => format!("{first}-{last}"),
            _ => run[0].to_string(),
        });
        format!("{topic}[{}]", runs.collect::<Vec<_>>().join(","))
    };
    match topics.is_empty() {
        true => "nothing".to_owned(),
        false => topics.into_iter().map(of).collect::<Vec<_>>().join(", "),
    }
}

impl StreamThread {
    /// These partitions are ours now.
    pub(super) fn assigned(&mut self, mut partitions: Vec<TopicPartition>) -> Result<(), Error> {
        let leader = self.worker.settings.leader_topic.as_deref();
        let all = partitions.len();
        partitions.retain(|(topic, _)| Some(&**topic) != leader);
        self.group.leads = partitions.len() < all;
        if self.group.leads {
            tracing::info!(thread = self.number, "this worker is the leader");
        }
        tracing::info!(thread = self.number, "assigned: {}", ranges(&partitions));
        let empty = partitions.is_empty();
        self.group.proven = Instant::now();
        self.group.assigned = Some(partitions);
        for share in self.shares() {
            self.worker
                .status
                .set(share.name(), PartitionState::Assigned);
        }
        let token = self.group.member.token();
        let generation = token.map_or(-1, |token| token.generation);
        self.group.assigned_in = generation;
        let handle = &self.worker.handle;
        handle.assigned(self.number, self.group.leads, generation);
        if empty {
            self.group.member.assign(&[])?;
            return Ok(());
        }
        self.ask();
        Ok(())
    }

    /// The tasks of the assignment.
    pub(super) fn shares(&self) -> Vec<TaskAssignment> {
        let assigned = self.group.assigned.as_deref().unwrap_or_default();
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
    pub(super) fn start_again(&mut self) {
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
        self.commits.backoff.succeed();
        self.tasks.failures.clear();
        match self.group.member.unassign() {
            // A fenced member has nothing to give up.
            Err(fault) if lost => tracing::warn!(thread = self.number, "{fault}"),
            result => result?,
        }
        Ok(())
    }

    /// Nothing is ours until the next assignment.
    pub(super) fn unowned(&mut self) {
        self.group.assigned = None;
        self.tasks.stalled.clear();
        self.group.leads = false;
        self.worker.handle.revoked(self.number);
        self.group.generation += 1;
        self.unconfirmed();
        (self.group.asking, self.group.ask_again) = (false, None);
    }

    /// The tasks go as they are.
    pub(super) fn drop_partitions(&mut self, state: PartitionState) {
        let mut gone: Vec<(TaskName, bool)> = Vec::new();
        for mut partition in self.tasks.partitions.drain(..) {
            partition.task.drop_agents();
            self.worker.handle.gone(self.number, partition.name);
            self.worker.handle.left(partition.sources());
            gone.push((partition.name, partition.is_lost()));
        }
        gone.extend(
            self.tasks
                .down
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
        self.tasks.readers.clear();
        self.commits.pending = false;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn many_partitions_are_named_in_few_words() {
        let all = (0..1000).chain([1004]).map(|number| ("orders", number));
        let all = all.chain([("payments", 3), ("payments", 4)]);
        let all: Vec<_> = all.map(|(topic, number)| (topic.into(), number)).collect();
        assert_eq!(super::ranges(&all), "orders[0-999,1004], payments[3-4]");
        assert_eq!(super::ranges(&[]), "nothing");
    }
}
