//! What the cluster knows of the partitions that a thread is given: offsets, and where the logs begin and end.

use super::messages::Found;
use super::messages::Source;
use super::topics::{existing, is_bound};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::assignment::TaskAssignment;
use super::messages::Reply;
use super::signatures::Signatures;
use super::thread::StreamThread;
use super::topics::Existing;
use crate::kafka::{Admin, Committed, Fault, TopicPartition};
use crate::task::signature;

/// How long the group's offsets are waited for: somebody's transaction may be open.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(30);

impl StreamThread {
    /// Asks for the offsets of the assignment, on a thread that may wait.
    pub(super) fn ask(&mut self) {
        self.group.generation += 1;
        self.group.asking = true;
        let mut inputs = self.group.assigned.clone().unwrap_or_default();
        let shares = self.shares();
        for share in shares.iter().filter(|share| !self.outgrown(share)) {
            // What brings windows again goes with the task, and is in no assignment.
            let all = self.worker.topologies[share.topology].inputs.iter();
            let again = all.filter(|input| input.again);
            inputs.extend(again.map(|i| (Arc::from(i.topic.as_str()), share.partition)));
        }
        self.ask_about(None, inputs, &shares);
    }

    /// Asks for the offsets of one task.
    pub(super) fn ask_for(&mut self, share: &TaskAssignment) {
        let topology = &self.worker.topologies[share.topology];
        let inputs = topology.inputs.iter();
        let inputs = inputs.map(|input| (Arc::from(input.topic.as_str()), share.partition));
        let inputs = inputs.collect();
        self.ask_about(Some(share.name()), inputs, std::slice::from_ref(share));
    }

    /// Returns whether a task is of a partition that its inputs did not have when the worker began, and cannot be
    /// taken: its tables have rows by the number of partitions.
    pub(super) fn outgrown(&self, share: &TaskAssignment) -> bool {
        let count = self.worker.topics.counts.get(share.topology);
        is_bound(&self.worker.topologies[share.topology])
            && count.is_some_and(|count| share.partition >= *count)
    }

    fn ask_about(
        &self,
        task: Option<super::status::TaskName>,
        inputs: Vec<TopicPartition>,
        shares: &[TaskAssignment],
    ) {
        let mut changelogs: Vec<TopicPartition> = Vec::new();
        let mut doubtful: BTreeSet<String> = BTreeSet::new();
        for share in shares {
            let topology = &self.worker.topologies[share.topology];
            let logs = topology.tables.iter();
            let logs = logs.filter_map(|table| table.changelog.as_deref());
            if self.outgrown(share) || !share.missing.is_empty() {
                let inputs = topology.inputs.iter().map(|input| input.topic.as_str());
                doubtful.extend(inputs.chain(logs.clone()).map(str::to_owned));
            }
            doubtful.extend(self.gone_of(topology).map(str::to_owned));
            // Where there is a partition too many, the changelog has none for it.
            if !self.outgrown(share) {
                changelogs.extend(logs.map(|log| (Arc::from(log), share.partition)));
            }
        }
        let all = self.all_inputs();
        self.end_what_is_open(&all);
        let (generation, worker) = (self.group.generation, Arc::clone(&self.worker));
        let (answer, wake) = (self.replies.0.clone(), self.wake.clone());
        tokio::task::spawn_blocking(move || {
            let admin = &worker.admin;
            let result = find(admin, &worker.app, inputs, changelogs, &all);
            let result = result.and_then(|found| {
                let topics = existing(admin, doubtful)?;
                Ok(Box::new(Found { topics, ..found }))
            });
            let _ = answer.send(Reply::Found {
                generation,
                task,
                result,
            });
            wake.wake();
        });
    }
}

fn find(
    admin: &Admin,
    group: &str,
    inputs: Vec<TopicPartition>,
    changelogs: Vec<TopicPartition>,
    all: &[TopicPartition],
) -> Result<Found, Fault> {
    // In this order: what is committed is stable before the changelogs' ends are taken. Not by the member: what it asks
    // waits on its connection behind its next join, and ends that with it when it waits too long.
    let visitor = admin.visitor(group)?;
    let committed = visitor.committed(&inputs, OFFSETS_TIMEOUT)?;
    let signed = match committed
        .iter()
        .all(|c| signature::since(&c.metadata).is_some())
    {
        true => Signatures::of(&committed),
        false => Signatures::of(&visitor.committed(all, OFFSETS_TIMEOUT)?),
    };
    let (lows, ends) = (admin.starts(&inputs)?, admin.ends(&inputs)?);
    let (log_lows, log_ends) = (admin.starts(&changelogs)?, admin.ends(&changelogs)?);
    let mut committed: HashMap<TopicPartition, Committed> = committed
        .into_iter()
        .map(|c| ((Arc::clone(&c.topic), c.partition), c))
        .collect();
    let mut source = |(key, (low, end)): (TopicPartition, (i64, i64))| {
        let (committed, metadata) = committed
            .remove(&key)
            .map_or((None, String::new()), |c| (c.offset, c.metadata));
        let source = Source {
            committed,
            metadata,
            low,
            end,
        };
        (key, source)
    };
    let inputs = inputs.into_iter().zip(lows.into_iter().zip(ends));
    let changelogs = changelogs
        .into_iter()
        .zip(log_lows.into_iter().zip(log_ends));
    Ok(Found {
        inputs: inputs.map(&mut source).collect(),
        changelogs: changelogs.collect(),
        topics: Existing::new(),
        signed,
    })
}
