//! A task's start: put together from the assignment, its tables brought back, its inputs begun.

use super::partition::LastTurn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::assignment::TaskAssignment;
use super::clocks::{IdleClock, LullClock};
use super::messages::Found;
use super::metrics::Meters;
use super::partition::{Input, Partition, Phase, Recovering, TableState};
use super::recovery::{Changelog, Recovery, Turned};
use super::sent::Sent;
use super::signatures::Signed;
use super::status::{PartitionState, TaskName};
use super::thread::StreamThread;
use super::topics::{SHORT_TOMBSTONES, grown};
use crate::error::{Error, Kind};
use crate::kafka::{Fault, FaultKind, Isolation, PartitionQueue, Reader, TopicPartitionOffset};
use crate::task::{self, CACHE_BYTES, StartAt, Task, TaskParts, TaskSettings, signature};
use crate::topology::{InputPlan, OnGap, Start, SubTopology};

/// Bytes that the caches of all tables' partitions may hold together, about, were they all with this worker.
const CACHE: usize = 128 << 20;
/// Bytes for the cache of one table's partition, at least and at most.
const CACHE_OF_ONE: (usize, usize) = (1 << 20, CACHE_BYTES);
/// A task that is being put together, before its queues are there.
pub(super) struct Draft {
    pub(super) name: TaskName,
    task: Task,
    topology: Arc<SubTopology>,
    tables: Vec<TableState>,
    recovery: Recovery,
    committed: Vec<task::Committed>,
    defaults: Vec<i64>,
    logs: Vec<(i64, i64)>,
    starts: Vec<i64>,
    signed: Signed,
}

impl Draft {
    /// Where its inputs begin, as far as is known before its tables are back.
    pub(super) fn places(&self) -> Vec<TopicPartitionOffset> {
        let inputs = self.topology.inputs.iter().zip(&self.starts);
        inputs
            .map(|(input, start)| {
                TopicPartitionOffset::new(input.topic.as_str(), self.name.1, *start)
            })
            .collect()
    }
}

impl StreamThread {
    /// What the assignment needs has come: makes its tasks.
    pub(super) fn found(&mut self, result: Result<Box<Found>, Fault>) -> Result<(), Error> {
        self.group.asking = false;
        let found = match result {
            Ok(found) => found,
            Err(fault) if fault.kind() == FaultKind::Refused => return Err(fault.into()),
            Err(fault) => {
                let wait = self.commits.backoff.fail(Instant::now());
                tracing::warn!(thread = self.number, "{fault}; trying again");
                self.group.ask_again = Some(Instant::now() + wait);
                return Ok(());
            }
        };
        if !self.tell_that_sources_count()? {
            self.group.ask_again = Some(Instant::now() + self.commits.backoff.fail(Instant::now()));
            return Ok(());
        }
        self.commits.backoff.succeed();
        self.note_there(&found);
        let (mut drafts, mut failed) = (Vec::new(), Vec::new());
        for share in self.shares() {
            match self.draft(&share, &found) {
                Ok(draft) => drafts.push(draft),
                Err(error) => failed.push((share, error)),
            }
        }
        let mut places: Vec<TopicPartitionOffset> = drafts.iter().flat_map(Draft::places).collect();
        // What may come back by itself is assigned as well: nothing else is disturbed when it does.
        for (share, error) in &failed {
            if super::failed::comes_back(error) {
                places.extend(self.first_places(share, &found));
            }
        }
        // The inputs are fetched while the tables recover, but not read before.
        let mut queues = self.group.member.assign(&places)?.into_iter();
        let mut inputs = Vec::with_capacity(drafts.len());
        for draft in &drafts {
            inputs.push(queues.by_ref().take(draft.starts.len()).collect());
        }
        for (share, error) in failed {
            let mut kept = Vec::new();
            if super::failed::comes_back(&error) {
                let places = self.first_places(&share, &found);
                let queues = queues.by_ref().take(places.len());
                kept = places.iter().zip(queues).map(Input::at).collect();
            }
            self.sink(share.name(), kept, &error);
        }
        self.begin(drafts, inputs)
    }

    /// The begin of each input's log.
    fn first_places(&self, share: &TaskAssignment, found: &Found) -> Vec<TopicPartitionOffset> {
        let topology = &self.worker.topologies[share.topology];
        let place = |topic: &str| {
            let key = (Arc::from(topic), share.partition);
            let low = found.inputs.get(&key).map_or(0, |source| source.low);
            TopicPartitionOffset::new(key.0, key.1, low)
        };
        topology.inputs.iter().map(|i| place(&i.topic)).collect()
    }

    /// The tasks' recoveries begin. `queues` are those of their inputs.
    pub(super) fn begin(
        &mut self,
        mut drafts: Vec<Draft>,
        queues: Vec<Vec<PartitionQueue>>,
    ) -> Result<(), Error> {
        let logs: Vec<TopicPartitionOffset> =
            drafts.iter().flat_map(|d| d.recovery.places()).collect();
        let mut reader = None;
        if !logs.is_empty() {
            let made = Rc::new(Reader::new(
                &self.worker.settings.properties,
                &self.worker.app,
                Isolation::Committed,
                &self.wake,
            )?);
            // All at once: with every change librdkafka starts the others again.
            let mut queues = made.add(&logs)?.into_iter();
            for draft in &mut drafts {
                draft.recovery.open(&mut queues);
            }
            self.tasks.readers.push(Rc::clone(&made));
            reader = Some(made);
        }
        for (mut draft, queues) in drafts.into_iter().zip(queues) {
            if self.is_left_out(draft.name) {
                draft.task.stays_left_out();
            }
            let progress = draft.recovery.progress();
            self.worker
                .status
                .set(draft.name, PartitionState::Recovering(progress));
            let committed = draft.committed.iter().map(|c| c.offset.unwrap_or(-1));
            let inputs = draft.places().into_iter().zip(committed).zip(queues);
            let inputs = inputs
                .map(|((place, committed), queue)| Input {
                    committed,
                    ..Input::at((&place, queue))
                })
                .collect();
            let recovering = Recovering {
                recovery: draft.recovery,
                _reader: reader.clone(),
                committed: draft.committed,
                defaults: draft.defaults,
                logs: draft.logs,
                signed: draft.signed,
            };
            let outputs = draft.topology.outputs.len();
            let lulls = draft.task.lulls().map(LullClock::new).collect();
            self.tasks.partitions.push(Partition {
                name: draft.name,
                task: draft.task,
                inputs,
                tables: draft.tables,
                phase: Phase::Recovering(Box::new(recovering)),
                idle: IdleClock::default(),
                idle_asked: false,
                lulls,
                turn: LastTurn::default(),
                meters: Meters::new(draft.name.0, draft.name.1),
                retrying: None,
                late: 0,
                sent: Sent::new(outputs),
                held: (crate::table::NO_TIME, None, false),
            });
        }
        Ok(())
    }

    /// Puts a task together.
    ///
    /// # Errors
    /// An offset is not in its log, the store does not open, or an input is another worker's.
    pub(super) fn draft(&self, share: &TaskAssignment, found: &Found) -> Result<Draft, Error> {
        let topology = Arc::clone(&self.worker.topologies[share.topology]);
        let partition = share.partition;
        if let Some(why) = self.worker.topics.unfit.why(share.topology) {
            return Err(Error::new(Kind::Broker, why));
        }
        self.fits(share, found)?;
        self.has_outputs(&topology)?;
        if !share.missing.is_empty() {
            if topology.inputs.iter().any(|input| input.found) {
                let text = format!(
                    "partition {partition} of {} is with a worker that has not taken in yet all that its patterns match; waiting for it",
                    share.missing.join(", ")
                );
                return Err(Error::new(Kind::Broker, text));
            }
            let text = format!(
                "partition {partition} of {} is with another worker, and must be with its other inputs: all workers of group `{}` must run the same program and use the `range` assignor",
                share.missing.join(", "),
                self.worker.app
            );
            return Err(Error::new(Kind::Topology, text));
        }
        let (mut committed, mut defaults, mut starts, mut logs) = (vec![], vec![], vec![], vec![]);
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
            // What waits in a repartition topic was read already, as the app's, and so were windows that come again.
            let at_end = match input.declared.and_then(|topic| topic.start) {
                Some(start) => start == Start::Latest,
                None => {
                    let own = input.is_repartition() || input.is_internal() || input.again;
                    self.worker.settings.start_at_end && !own
                }
            };
            let default = if at_end { source.end } else { source.low };
            let start = match source.committed {
                Some(offset) => self.check_gap(input, partition, offset, source.low, source.end)?,
                None => default,
            };
            committed.push(task::Committed {
                offset: source.committed.map(|_| start),
                metadata: source.metadata.clone(),
            });
            defaults.push(default);
            starts.push(start);
            logs.push((source.low, source.end));
        }
        let mut trees = Vec::with_capacity(topology.tables.len());
        for table in &topology.tables {
            trees.push(match &table.changelog {
                Some(_) => {
                    let tree = self.worker.store.tree(table.descriptor.name, partition)?;
                    // What the partition's last task handed over, maybe on another thread, is not written from now on.
                    Some(self.storer.own(tree))
                }
                None => None,
            });
        }
        let wake = self.wake.clone();
        let mut task = Task::new(TaskParts {
            topology: Arc::clone(&topology),
            partition,
            partitions: self
                .worker
                .topics
                .counts
                .get(share.topology)
                .copied()
                .unwrap_or(0),
            sources: super::repartition_lag::filled_from(&self.worker, share.topology),
            settings: self.task_settings(),
            trees: trees.clone(),
            states: Arc::clone(&self.worker.states),
            wake: Arc::new(move || wake.wake()),
            pulse: Arc::clone(&self.pulse),
        })?;
        task.begin_in(self.group.assigned_in);
        let mut changelogs = Vec::new();
        let mut tables = Vec::with_capacity(trees.len());
        for (at, (table, tree)) in topology.tables.iter().zip(trees).enumerate() {
            let topic: Option<Arc<str>> = table.changelog.as_deref().map(Arc::from);
            let named = committed
                .iter()
                .find_map(|c| signature::incarnation(&c.metadata, table.descriptor.name));
            let tombstones = topic
                .as_ref()
                .and_then(|topic| self.worker.topics.tombstones.get(&**topic));
            let tombstones = tombstones.copied().unwrap_or(SHORT_TOMBSTONES);
            if let Some(topic) = &topic {
                let key = (Arc::clone(topic), partition);
                let Some((low, end)) = found.changelogs.get(&key).copied() else {
                    return Err(Error::new(
                        Kind::Internal,
                        format!("no offsets of {topic}[{partition}]"),
                    ));
                };
                changelogs.push(Changelog {
                    table: at,
                    topic: Arc::clone(topic),
                    partition,
                    tree: tree.clone(),
                    low,
                    end,
                    named,
                    tombstones,
                });
            }
            tables.push(TableState {
                changelog: topic,
                tree,
                next: 0,
                round: None,
                stored: None,
                fresh: i64::try_from((tombstones / 4).as_millis()).unwrap_or(i64::MAX),
                named,
            });
        }
        let signed = found.signed.for_task(&committed, crate::clock::wall_ms());
        task.sign(signed.since, signed.again);
        if self.worker.settings.exactly_once {
            task.is_written_by(self.worker.writer(self.number));
        }
        let recovery = Recovery::new(&mut task, changelogs, crate::clock::wall_ms())?;
        Ok(Draft {
            signed,
            name: share.name(),
            task,
            topology,
            tables,
            recovery,
            committed,
            defaults,
            logs,
            starts,
        })
    }

    /// A task with a partition too many, or without one of its inputs, is asked whether a topic has grown.
    ///
    /// # Errors
    /// One has.
    fn fits(&self, share: &TaskAssignment, found: &Found) -> Result<(), Error> {
        if !self.outgrown(share) && share.missing.is_empty() {
            return Ok(());
        }
        let before = self.worker.topics.counts.get(share.topology).copied();
        grown(
            &self.worker.topologies[share.topology],
            before,
            &found.topics,
        )
    }

    fn task_settings(&self) -> TaskSettings {
        let settings = &self.worker.settings;
        let app = Rc::from(self.worker.app.as_str());
        TaskSettings {
            max_ahead: i64::try_from(settings.time.max_ahead.as_millis()).unwrap_or(i64::MAX),
            max_task_idle: settings.time.max_task_idle.as_millis() as u64,
            cache_bytes: self.cache_bytes(),
            commit_events: settings.intervals.commit_events,
            exactly_once: settings.exactly_once,
            rows_confirmed: settings.rows_confirmed,
            ..TaskSettings::new(app, Arc::clone(&self.worker.topics.limits))
        }
    }

    /// The share of one table's partition in the memory for caches.
    fn cache_bytes(&self) -> usize {
        let topologies = self
            .worker
            .topologies
            .iter()
            .zip(&self.worker.topics.counts);
        let shares = topologies.map(|(topology, partitions)| {
            topology.tables.len() * usize::try_from(*partitions).unwrap_or(1)
        });
        let share = CACHE / shares.sum::<usize>().max(1);
        share.clamp(CACHE_OF_ONE.0, CACHE_OF_ONE.1)
    }

    /// An offset to read from must be in the log.
    fn check_gap(
        &self,
        input: &InputPlan,
        partition: i32,
        offset: i64,
        low: i64,
        end: i64,
    ) -> Result<i64, Error> {
        let topic = input.topic.as_str();
        if offset > end {
            let text = format!(
                "{topic}[{partition}]: the next offset to read is {offset} and the log ends at {end}: the topic was made again or lost records; `reset` starts again"
            );
            return Err(Error::new(Kind::Refused, text));
        }
        if offset >= low {
            return Ok(offset);
        }
        let lost = low - offset;
        let skips = match input.declared.and_then(|topic| topic.on_gap) {
            Some(on_gap) => on_gap == OnGap::Skip,
            None => self.worker.settings.skip_gaps,
        };
        if skips {
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

    /// One turn of every recovery. Returns whether there is more to do at once.
    pub(super) fn recover(&mut self) -> Result<bool, Error> {
        let mut busy = false;
        let patience = self.patience();
        for at in 0..self.tasks.partitions.len() {
            let partition = &mut self.tasks.partitions[at];
            let Phase::Recovering(recovering) = &mut partition.phase else {
                continue;
            };
            let storing = partition.tables.iter().any(|table| table.round.is_some());
            let recovery = &mut recovering.recovery;
            let turned = recovery.turn(
                &mut partition.task,
                &mut self.reading.batch,
                patience,
                storing,
            );
            match turned {
                Ok(Turned::Again) => {
                    self.again(at);
                    busy = true;
                    continue;
                }
                Ok(turned) => busy |= turned == Turned::Moved,
                Err(error) => {
                    self.fail(at, &error);
                    continue;
                }
            }
            if let Some(progress) = recovering.recovery.shows() {
                self.worker
                    .status
                    .set(partition.name, PartitionState::Recovering(progress));
            }
            let partition = &self.tasks.partitions[at];
            if matches!(&partition.phase, Phase::Recovering(recovering) if recovering.recovery.is_done())
            {
                self.recovered(at)?;
                busy = true;
            }
        }
        // A reader goes with the last recovery that needs it.
        self.tasks
            .readers
            .retain(|reader| Rc::strong_count(reader) > 1);
        for reader in &self.tasks.readers {
            if let Err(fault) = reader.serve() {
                tracing::warn!(thread = self.number, "{fault}");
            }
        }
        Ok(busy)
    }

    /// How long a recovery may stand still: as long as somebody's transaction may be open, and some.
    fn patience(&self) -> Duration {
        let timeout = self
            .worker
            .settings
            .properties
            .get("transaction.timeout.ms")
            .and_then(|ms| ms.parse().ok());
        Duration::from_millis(timeout.unwrap_or(15_000)) + Duration::from_secs(10)
    }

    /// The tables of a task are back: its inputs begin.
    fn recovered(&mut self, at: usize) -> Result<(), Error> {
        let partition = &mut self.tasks.partitions[at];
        let Phase::Recovering(recovering) = &partition.phase else {
            return Ok(());
        };
        for (table, next) in recovering.recovery.next() {
            partition.tables[table].next = next;
            partition.task.changelog_at(table, next);
        }
        let progress = recovering.recovery.progress();
        let starts = match partition.task.recovered(&recovering.committed) {
            Ok(starts) => starts,
            Err(error) => {
                self.fail(at, &error);
                return Ok(());
            }
        };
        let logs = recovering.logs.clone();
        let empty: Vec<bool> = logs.iter().map(|(low, end)| low == end).collect();
        let known = starts.iter().zip(&recovering.defaults);
        let known: Vec<(i64, bool)> = known
            .map(|(start, default)| match start {
                StartAt::Offset(offset) => (*offset, true),
                StartAt::Default => (*default, false),
            })
            .collect();
        if let Err(error) = self.check_foreign(at) {
            self.fail(at, &error);
            return Ok(());
        }
        let mut offsets = Vec::with_capacity(known.len());
        for (at_input, ((offset, checked), (low, end))) in known.into_iter().zip(logs).enumerate() {
            let input = &self.tasks.partitions[at].inputs[at_input];
            let checked = match checked {
                // Without a group's offset it is the tables' place, which may be gone as well.
                true => self.check_gap(
                    &self.tasks.partitions[at].task.topology().inputs[at_input],
                    input.partition,
                    offset,
                    low,
                    end,
                ),
                false => Ok(offset),
            };
            match checked {
                Ok(offset) => offsets.push(offset),
                Err(error) => {
                    self.fail(at, &error);
                    return Ok(());
                }
            }
        }
        let partition = &mut self.tasks.partitions[at];
        partition.task.begin_at(&offsets);
        let moved: Vec<TopicPartitionOffset> = partition
            .places(&offsets)
            .into_iter()
            .zip(&partition.inputs)
            .filter(|(p, i)| p.offset != i.start)
            .map(|(p, _)| p)
            .collect();
        for (input, offset) in partition.inputs.iter_mut().zip(&offsets) {
            input.start = *offset;
        }
        for clock in &mut partition.lulls {
            let mut inputs = partition.task.lull_inputs(clock.of()).iter();
            clock.begin(inputs.all(|&at| empty[at]));
        }
        partition.phase = Phase::Running;
        let handle = &self.worker.handle;
        handle.runs(self.number, partition.name);
        handle.committed(partition.sources().zip(offsets.iter().copied()));
        let status = &self.worker.status;
        status.set(partition.name, PartitionState::Recovering(progress));
        status.set(partition.name, PartitionState::Running);
        tracing::debug!(
            thread = self.number,
            partition = partition.label(),
            offsets = ?offsets,
            "the inputs begin"
        );
        if let Err(fault) = self.group.member.seek(&moved) {
            tracing::warn!(thread = self.number, "{fault}; starting again");
            self.start_again();
        }
        Ok(())
    }
}
