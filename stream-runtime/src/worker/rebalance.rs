//! Partitions come and go.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::assignment::{Share, shares};
use super::idle::IdleClock;
use super::partition::{Input, Partition, Phase, Recovering, TableState};
use super::recovery::{Changelog, Recovery};
use super::status::PartitionState;
use super::thread::{Reply, StreamThread};
use crate::error::{Error, Kind};
use crate::kafka::{Committed, Fault, FaultKind, Place, TopicPartition};
use crate::task::{self, StartAt, Task, TaskParts, TaskSettings};
use crate::topology::SubTopology;

/// How long the group's offsets are waited for: somebody's transaction may be open.
const OFFSETS: Duration = Duration::from_secs(30);
/// How long agents may take to end when their partition goes away.
const GOODBYE: Duration = Duration::from_secs(1);
/// Bytes that the cache of one table's partition may hold, about.
const CACHE: usize = 64 << 20;
/// Largest record sent, in bytes; Kafka's own limit less what a batch adds.
const MAX_RECORD: usize = 1_000_000;

/// What an assignment needs to begin.
pub(super) struct Found {
    inputs: HashMap<TopicPartition, Source>,
    changelogs: HashMap<TopicPartition, (i64, i64)>,
}

/// An input partition as the cluster has it.
struct Source {
    committed: Option<i64>,
    metadata: String,
    low: i64,
    end: i64,
}

/// A task that is being put together, before its queues are there.
struct Draft {
    task: Task,
    name: (usize, i32),
    topology: Arc<SubTopology>,
    tables: Vec<TableState>,
    recovering: Box<Recovering>,
    starts: Vec<i64>,
}

impl StreamThread {
    /// These partitions are ours now.
    pub(super) fn assigned(&mut self, partitions: Vec<TopicPartition>) -> Result<(), Error> {
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
        for share in shares(&self.worker.topologies, &partitions) {
            self.worker
                .status
                .set((share.topology, share.partition), PartitionState::Assigned);
        }
        self.assigned = Some(partitions);
        if empty {
            self.member.assign(&[])?;
            return Ok(());
        }
        self.ask();
        Ok(())
    }

    /// Asks for the offsets of the assignment, on a thread that may wait.
    pub(super) fn ask(&mut self) {
        self.generation += 1;
        self.asking = true;
        let inputs = self.assigned.clone().unwrap_or_default();
        let mut changelogs: Vec<TopicPartition> = Vec::new();
        for share in shares(&self.worker.topologies, &inputs) {
            let tables = self.worker.topologies[share.topology].tables.iter();
            changelogs.extend(
                tables.filter_map(|t| Some((Arc::from(t.changelog.as_deref()?), share.partition))),
            );
        }
        let (generation, lookup, admin) = (
            self.generation,
            self.member.lookup(),
            Arc::clone(&self.worker.admin),
        );
        let (answer, wake) = (self.answer.clone(), self.wake.clone());
        tokio::task::spawn_blocking(move || {
            let find = || {
                // In this order: what is committed is stable before the changelogs' ends are taken.
                let committed = lookup.committed(&inputs, OFFSETS)?;
                let (lows, ends) = (admin.starts(&inputs)?, admin.ends(&inputs)?);
                let (log_lows, log_ends) = (admin.starts(&changelogs)?, admin.ends(&changelogs)?);
                let mut committed: HashMap<TopicPartition, Committed> = committed
                    .into_iter()
                    .map(|c| ((Arc::clone(&c.topic), c.partition), c))
                    .collect();
                let sources =
                    inputs
                        .into_iter()
                        .zip(lows.into_iter().zip(ends))
                        .map(|(key, (low, end))| {
                            let (committed, metadata) = committed
                                .remove(&key)
                                .map_or((None, String::new()), |c| (c.offset, c.metadata));
                            (
                                key,
                                Source {
                                    committed,
                                    metadata,
                                    low,
                                    end,
                                },
                            )
                        });
                let inputs = sources.collect();
                let changelogs = changelogs
                    .into_iter()
                    .zip(log_lows.into_iter().zip(log_ends))
                    .collect();
                Ok(Box::new(Found { inputs, changelogs }))
            };
            let result = find();
            drop(lookup);
            let _ = answer.send(Reply::Found { generation, result });
            wake.wake();
        });
    }

    /// What the assignment needs has come: makes its tasks.
    pub(super) fn found(&mut self, result: Result<Box<Found>, Fault>) -> Result<(), Error> {
        self.asking = false;
        let Some(assigned) = self.assigned.clone() else {
            return Ok(());
        };
        let found = match result {
            Ok(found) => found,
            Err(fault) if fault.kind() == FaultKind::Refused => return Err(fault.into()),
            Err(fault) => {
                let wait = self.backoff.fail(Instant::now());
                tracing::warn!(thread = self.number, "{fault}; trying again");
                self.ask_again = Some(Instant::now() + wait);
                return Ok(());
            }
        };
        self.backoff.succeed();
        let mut drafts = Vec::new();
        for share in shares(&self.worker.topologies, &assigned) {
            let name = (share.topology, share.partition);
            match self.draft(share, &found) {
                Ok(draft) => drafts.push(draft),
                Err(error) => {
                    self.worker
                        .status
                        .set(name, PartitionState::Failed(error.to_string()));
                }
            }
        }
        let mut places = Vec::new();
        for draft in &drafts {
            for (input, start) in draft.topology.inputs.iter().zip(&draft.starts) {
                places.push(Place::new(input.topic.as_str(), draft.name.1, *start));
            }
        }
        let logs: Vec<Place> = drafts
            .iter()
            .flat_map(|draft| draft.recovering.recovery.places())
            .collect();
        if !logs.is_empty() {
            // All at once: with every change librdkafka begins the others anew.
            let mut queues = self.reader()?.add(&logs)?.into_iter();
            for draft in &mut drafts {
                draft.recovering.recovery.open(&mut queues);
            }
        }
        // The inputs are fetched while the tables recover, but not read before.
        let mut queues = self.member.assign(&places)?.into_iter();
        for draft in drafts {
            let progress = draft.recovering.recovery.progress();
            self.worker
                .status
                .set(draft.name, PartitionState::Recovering(progress));
            let committed: Vec<i64> = draft
                .recovering
                .committed
                .iter()
                .map(|c| c.offset.unwrap_or(-1))
                .collect();
            let inputs = draft
                .topology
                .inputs
                .iter()
                .zip(draft.starts.iter().zip(committed));
            let inputs = inputs
                .zip(&mut queues)
                .map(|((input, (start, committed)), queue)| Input {
                    topic: Arc::from(input.topic.as_str()),
                    partition: draft.name.1,
                    queue,
                    start: *start,
                    committed,
                })
                .collect();
            let partition = Partition {
                name: draft.name,
                task: draft.task,
                inputs,
                tables: draft.tables,
                phase: Phase::Recovering(draft.recovering),
                idle: IdleClock::default(),
                idle_asked: false,
                seen: 0,
                retrying: None,
                late: 0,
            };
            self.partitions.push(partition);
        }
        Ok(())
    }

    fn draft(&mut self, share: Share, found: &Found) -> Result<Draft, Error> {
        let topology = Arc::clone(&self.worker.topologies[share.topology]);
        let partition = share.partition;
        if !share.missing.is_empty() {
            let text = format!(
                "partition {partition} of {} is with another worker, and must be with its other inputs: all workers of group `{}` must run the same program and use the `range` assignor",
                share.missing.join(", "),
                self.worker.app
            );
            return Err(Error::new(Kind::Topology, text));
        }
        let (mut committed, mut defaults, mut starts, mut lows) = (vec![], vec![], vec![], vec![]);
        for input in &topology.inputs {
            let Some(source) = found
                .inputs
                .get(&(Arc::from(input.topic.as_str()), partition))
            else {
                return Err(Error::new(
                    Kind::Internal,
                    format!("no offsets of {}[{partition}]", input.topic),
                ));
            };
            let default = if self.worker.settings.start_at_end {
                source.end
            } else {
                source.low
            };
            let start = match source.committed {
                Some(offset) => {
                    self.check_gap(&input.topic, partition, offset, source.low, source.end)?
                }
                None => default,
            };
            committed.push(task::Committed {
                offset: source.committed.map(|_| start),
                metadata: source.metadata.clone(),
            });
            defaults.push(default);
            starts.push(start);
            lows.push(source.low);
        }
        let mut trees = Vec::with_capacity(topology.tables.len());
        for table in &topology.tables {
            trees.push(match &table.changelog {
                Some(_) => Some(self.worker.store.tree(table.descriptor.name, partition)?),
                None => None,
            });
        }
        let wake = self.wake.clone();
        let mut task = Task::new(TaskParts {
            topology: Arc::clone(&topology),
            partition,
            partitions: self.worker.counts.get(share.topology).copied().unwrap_or(0),
            settings: self.task_settings(),
            trees: trees.clone(),
            states: Arc::clone(&self.worker.states),
            wake: Arc::new(move || wake.wake()),
            pulse: Arc::clone(&self.pulse),
        })?;
        let mut changelogs = Vec::new();
        let mut tables = Vec::with_capacity(trees.len());
        for (at, (table, tree)) in topology.tables.iter().zip(trees).enumerate() {
            let topic: Option<Arc<str>> = table.changelog.as_deref().map(Arc::from);
            if let Some(topic) = &topic {
                let key = (Arc::clone(topic), partition);
                let Some((low, end)) = found.changelogs.get(&key).copied() else {
                    return Err(Error::new(
                        Kind::Internal,
                        format!("no offsets of {topic}[{partition}]"),
                    ));
                };
                let named = committed
                    .iter()
                    .find_map(|c| incarnation(&c.metadata, table.descriptor.name));
                changelogs.push(Changelog {
                    table: at,
                    topic: Arc::clone(topic),
                    partition,
                    tree: tree.clone(),
                    low,
                    end,
                    named,
                });
            }
            tables.push(TableState {
                changelog: topic,
                tree,
                next: 0,
                round: None,
            });
        }
        let recovery = Recovery::new(&mut task, changelogs, super::shared::wall())?;
        let recovering = Box::new(Recovering {
            recovery,
            committed,
            defaults,
            lows,
        });
        Ok(Draft {
            task,
            name: (share.topology, partition),
            topology,
            tables,
            recovering,
            starts,
        })
    }

    fn task_settings(&self) -> TaskSettings {
        let settings = &self.worker.settings;
        TaskSettings {
            app: Rc::from(self.worker.app.as_str()),
            max_ahead: i64::try_from(settings.max_ahead.as_millis()).unwrap_or(i64::MAX),
            max_message_bytes: MAX_RECORD,
            cache_bytes: CACHE,
            // Commits go by time, bytes and rows; events that change nothing cost nothing.
            commit_events: u32::MAX,
            commit_bytes: 16 << 20,
            commit_rows: 50_000,
            exactly_once: settings.exactly_once,
        }
    }

    /// An offset to read from must be in the log.
    fn check_gap(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        low: i64,
        end: i64,
    ) -> Result<i64, Error> {
        if offset > end {
            let text = format!(
                "{topic}[{partition}]: the group's offset {offset} is past the topic's end {end}: the topic was made anew or lost records; `reset` begins anew"
            );
            return Err(Error::new(Kind::Refused, text));
        }
        if offset >= low {
            return Ok(offset);
        }
        let lost = low - offset;
        if self.worker.settings.skip_gaps {
            tracing::warn!(
                topic,
                partition,
                from = offset,
                to = low,
                "{lost} offsets were deleted before they were read; going on behind them"
            );
            return Ok(low);
        }
        let text = format!(
            "{topic}[{partition}]: the next offset to read is {offset} and the log begins at {low}: {lost} offsets were deleted before they were read; `on_gap(Skip)` goes on behind them"
        );
        Err(Error::new(Kind::Refused, text))
    }

    /// The tables of a task are back: its inputs begin.
    pub(super) fn recovered(&mut self, at: usize) -> Result<(), Error> {
        let partition = &mut self.partitions[at];
        let Phase::Recovering(recovering) = &partition.phase else {
            return Ok(());
        };
        for (table, next) in recovering.recovery.next() {
            partition.tables[table].next = next;
        }
        let progress = recovering.recovery.progress();
        let starts = match partition.task.recovered(&recovering.committed) {
            Ok(starts) => starts,
            Err(error) => {
                self.fail(at, &error);
                return Ok(());
            }
        };
        let offsets = starts
            .iter()
            .zip(&recovering.defaults)
            .zip(&recovering.lows)
            .map(|((start, default), low)| match start {
                StartAt::Offset(offset) => (*offset).max(*low),
                StartAt::Default => *default,
            });
        let offsets: Vec<i64> = offsets.collect();
        partition.task.begin_at(&offsets);
        let moved: Vec<Place> = partition
            .places(&offsets)
            .into_iter()
            .zip(&partition.inputs)
            .filter(|(p, i)| p.offset != i.start)
            .map(|(p, _)| p)
            .collect();
        for (input, offset) in partition.inputs.iter_mut().zip(&offsets) {
            input.start = *offset;
        }
        partition.phase = Phase::Running;
        let status = &self.worker.status;
        status.set(partition.name, PartitionState::Recovering(progress));
        status.set(partition.name, PartitionState::Running);
        tracing::debug!(
            thread = self.number,
            partition = partition.label(),
            offsets = ?offsets,
            "the inputs begin"
        );
        if let Err(fault) = self.member.seek(&moved) {
            tracing::warn!(thread = self.number, "{fault}; beginning anew");
            self.begin_anew();
        }
        Ok(())
    }

    /// Reading an input failed.
    pub(super) fn unreadable(&mut self, at: usize, fault: Fault) -> Result<(), Error> {
        if fault.is_out_of_range() {
            // The look at the log's start that comes with a new beginning decides: gap, stop or go on.
            tracing::warn!(thread = self.number, "{fault}");
            self.commit()?;
            self.begin_anew();
        } else if fault.kind() == FaultKind::Retriable {
            tracing::warn!(thread = self.number, "{fault}");
        } else {
            self.fail(at, &fault.into());
            self.pending = true;
        }
        Ok(())
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
        self.assigned = None;
        self.generation += 1;
        (self.asking, self.ask_again) = (false, None);
        self.backoff.succeed();
        self.member.unassign()?;
        Ok(())
    }

    /// The tasks go as they are.
    pub(super) fn drop_partitions(&mut self, state: PartitionState) {
        for mut partition in self.partitions.drain(..) {
            partition.task.drop_agents();
            // What failed is told by the worker's end: it does not become "revoked" on the way there.
            if !(partition.is_failed() && self.worker.stop.is_asked()) {
                self.worker.status.set(partition.name, state.clone());
            }
        }
        // Its queues have gone with the partitions.
        self.reader = None;
        self.pending = false;
    }

    /// Lets agents end, commits what they acknowledged, hands their rows to the store.
    async fn release(&mut self, bound: Duration) -> Result<(), Error> {
        let until = Instant::now() + bound;
        for partition in self.partitions.iter_mut().filter(|p| p.is_running()) {
            partition.task.revoke();
        }
        loop {
            let now = self.worker.now();
            for at in 0..self.partitions.len() {
                if self.partitions[at].is_running()
                    && let Err(failure) = self.partitions[at].task.run(now)
                {
                    self.fail(at, &failure.error);
                }
            }
            let left = self
                .partitions
                .iter()
                .filter(|p| p.is_running())
                .all(|p| p.task.has_left());
            if left || Instant::now() >= until {
                break;
            }
            let (wake, soon) = (
                self.wake.clone(),
                Instant::now() + Duration::from_millis(20),
            );
            let _ = tokio::time::timeout_at(until.min(soon).into(), wake.wait()).await;
        }
        for partition in self.partitions.iter_mut().filter(|p| p.is_running()) {
            partition.task.drop_agents();
        }
        self.commit()?;
        self.store_rows();
        Ok(())
    }

    /// The worker ends in order: agents end, commit, store, leave the group.
    pub(super) async fn leave(&mut self) -> Result<(), Error> {
        let bound = self.worker.settings.shutdown_timeout;
        self.release(bound).await?;
        let until = Instant::now() + bound;
        while self.storer.pending() > 0 && Instant::now() < until {
            if let Some(stored) = self.storer.wait_done(Duration::from_millis(50)) {
                super::storing::done(&mut self.partitions, &stored);
                // Rows of commits made while the last round was being written.
                self.store_rows();
            }
        }
        self.drop_partitions(PartitionState::Revoked);
        let had = self
            .assigned
            .take()
            .is_some_and(|partitions| !partitions.is_empty());
        self.member.unsubscribe();
        let (until, mut events) = (Instant::now() + Duration::from_secs(5), Vec::new());
        while had && Instant::now() < until {
            self.member.events(&mut events);
            if events
                .drain(..)
                .any(|event| matches!(event, crate::kafka::GroupEvent::Revoked { .. }))
            {
                self.member.unassign()?;
                break;
            }
            let soon = Instant::now() + Duration::from_millis(20);
            let wake = self.wake.clone();
            let _ = tokio::time::timeout_at(soon.into(), wake.wait()).await;
        }
        Ok(())
    }
}

/// The incarnation that a commit's text names for a table: `table=uuid;…`.
fn incarnation(metadata: &str, table: &str) -> Option<[u8; 16]> {
    let pairs = metadata.split(';').filter_map(|pair| pair.split_once('='));
    let named = pairs.into_iter().find(|(name, _)| *name == table)?.1;
    Some(*uuid::Uuid::parse_str(named).ok()?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_incarnation_of_a_table_is_found() {
        let text = "a=00000000000000000000000000000001;b=00000000000000000000000000000002";
        assert_eq!(incarnation(text, "b").unwrap()[15], 2);
        assert_eq!(incarnation(text, "c"), None);
        assert_eq!(incarnation("", "a"), None);
        assert_eq!(incarnation("a=nonsense", "a"), None);
    }
}
