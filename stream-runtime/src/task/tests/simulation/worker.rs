//! A worker: a process that may think that it owns the partition, and its disk. It does what the real one does, in
//! steps between which anything may happen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::app::Reading;
use super::cluster::{Cluster, Entry, Offsets, Refusal, WorkerId};
use super::disk::Disk;
use crate::error::Error;
use crate::record::Record;
use crate::store::{Checkpoint, Store, Tree, TreeWrite};
use crate::task::{Committed, Now, Pulse, RawRecord, StartAt, Task, TaskParts, TaskSettings, Turn};
use crate::topology::SubTopology;

/// Wall clock: it stands still.
const WALL: i64 = 1_900_000_000_000;

pub(super) struct Worker {
    id: WorkerId,
    topology: Arc<SubTopology>,
    settings: TaskSettings,
    pub(super) disk: Disk,
    /// Rounds handed to the storer, by ticket. They are written even if their partition has gone.
    rounds: VecDeque<(u64, Vec<TreeWrite>)>,
    tickets: u64,
    process: Option<Process>,
}

struct Process {
    epoch: u32,
    generation: u32,
    phase: Phase,
}

enum Phase {
    /// It owns nothing, as far as it knows.
    Idle,
    /// It has asked for nothing yet.
    Assigned,
    /// Its changelogs have to be read up to these ends.
    Recovering {
        offsets: Offsets,
        ends: Vec<i64>,
    },
    Running(Box<Running>),
}

struct Running {
    task: Task,
    /// Next offset of each changelog, for the store.
    next: Vec<i64>,
    /// A commit must come before the next event.
    due: bool,
    step: Step,
    /// The ticket of the store's round under way, and the commit that it has of each table.
    round: Option<(u64, Vec<(usize, u64)>)>,
}

/// How far the commit is.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    None,
    /// Records are sent, up to this end of each changelog.
    Sent,
    /// The offsets are in the transaction too.
    Offsets,
}

/// How a crash leaves the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Kept,
    Empty,
    /// As it was at some time before.
    Old,
    /// With a part of the round under way.
    Torn {
        steps: u8,
        mask: u64,
    },
}

impl Worker {
    pub(super) fn new(id: WorkerId, topology: Arc<SubTopology>, settings: TaskSettings) -> Self {
        Worker {
            id,
            topology,
            settings,
            disk: Disk::default(),
            rounds: VecDeque::new(),
            tickets: 0,
            process: None,
        }
    }

    fn running(&mut self) -> Option<&mut Running> {
        match &mut self.process.as_mut()?.phase {
            Phase::Running(running) => Some(running),
            _ => None,
        }
    }

    /// Running, and not amid a commit: its thread is free.
    fn free(&mut self) -> Option<&mut Running> {
        self.running().filter(|running| running.step == Step::None)
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.running().is_some()
    }

    /// Everything that it had is void; the process lives.
    fn start_again(&mut self, cluster: &mut Cluster, phase: Phase) {
        let id = self.id;
        if let Some(process) = &mut self.process {
            process.phase = phase;
            process.epoch = cluster.init(id);
        }
    }

    /// The group gives it the partition. It starts, or forgets what it had.
    pub(super) fn assigned(&mut self, cluster: &mut Cluster, generation: u32) {
        let id = self.id;
        match &mut self.process {
            Some(process) => {
                // A transaction never crosses an assignment.
                if cluster.abort(id, process.epoch).is_err() {
                    process.epoch = cluster.init(id);
                }
                process.phase = Phase::Assigned;
                process.generation = generation;
            }
            None => {
                self.process = Some(Process {
                    epoch: cluster.init(id),
                    generation,
                    phase: Phase::Assigned,
                });
            }
        }
    }

    /// Whether the partition is not its any more.
    fn is_stale(&self, cluster: &Cluster) -> bool {
        let stale = |process: &Process| {
            cluster.owner != Some(self.id) || cluster.generation != process.generation
        };
        self.process.as_ref().is_some_and(stale)
    }

    /// It hears that the partition is not its any more.
    pub(super) fn lost(&mut self, cluster: &mut Cluster) {
        if self.is_stale(cluster) {
            self.start_again(cluster, Phase::Idle);
        }
    }

    /// SIGKILL. Its transaction stays open.
    pub(super) fn crash(&mut self, after: After) {
        let round = self.rounds.pop_front();
        self.rounds.clear();
        match (after, round) {
            (After::Torn { steps, mask }, Some((_, writes))) => {
                self.disk.tear(writes, steps.into(), mask);
            }
            (After::Empty, _) => self.disk.empty(),
            (After::Old, _) => self.disk.turn_back(),
            _ => {}
        }
        self.process = None;
    }

    fn tree(&self, table: usize) -> Arc<dyn Tree> {
        let name = self.topology.tables[table].descriptor.name;
        self.disk.store.tree(name, 0).expect("memory")
    }

    /// One step of its recovery, if the cluster lets it.
    pub(super) fn recover(&mut self, cluster: &Cluster) {
        let tables = self.topology.tables.len();
        let phase = match self.process.as_ref().map(|process| &process.phase) {
            Some(Phase::Assigned) => {
                // Committed offsets first, then the ends of the changelogs.
                let Some(offsets) = cluster.stable_offsets() else {
                    return;
                };
                Phase::Recovering {
                    offsets: offsets.clone(),
                    ends: (0..tables).map(|table| cluster.end_of(table)).collect(),
                }
            }
            Some(Phase::Recovering { offsets, ends }) => {
                if (0..tables).any(|table| cluster.stable_end_of(table) < ends[table]) {
                    return;
                }
                match self.replay(cluster, offsets, ends) {
                    Ok(running) => Phase::Running(Box::new(running)),
                    // What it asked for is of yesterday, and compaction took the rest: it has lost the partition.
                    Err(_) if self.is_stale(cluster) => Phase::Idle,
                    Err(error) => panic!("recovery: {error}"),
                }
            }
            _ => return,
        };
        if let Some(process) = &mut self.process {
            process.phase = phase;
        }
    }

    /// The task from the store and what comes behind it in the changelogs.
    fn replay(&self, cluster: &Cluster, offsets: &Offsets, ends: &[i64]) -> Result<Running, Error> {
        let trees: Vec<_> = (0..ends.len()).map(|table| self.tree(table)).collect();
        let mut task = Task::new(TaskParts {
            topology: Arc::clone(&self.topology),
            partition: 0,
            partitions: 1,
            sources: vec![],
            settings: self.settings.clone(),
            trees: trees.iter().map(|tree| Some(Arc::clone(tree))).collect(),
            states: Arc::default(),
            wake: Arc::new(|| {}),
            pulse: Arc::new(Pulse::default()),
        })
        .expect("a task");
        for (table, tree) in trees.iter().enumerate() {
            let mut from = 0;
            match tree.checkpoint().expect("memory") {
                Some(checkpoint) => {
                    from = checkpoint.changelog_offset;
                    if !checkpoint.mark.is_empty() {
                        task.set_mark(table, &checkpoint.mark).expect("a mark");
                    }
                }
                None => tree.clear().expect("memory"),
            }
            for (_, entry) in cluster.changes(table, from, ends[table].max(from)) {
                task.restore(table, &entry.key, entry.value.as_deref())
                    .expect("a row");
            }
        }
        let committed = Committed {
            offset: offsets.input,
            metadata: offsets.metadata.clone(),
        };
        let starts = task.recovered(&[committed])?;
        let at = match starts[0] {
            StartAt::Offset(at) => at,
            StartAt::Default => 0,
        };
        task.begin_at(&[at]);
        Ok(Running {
            task,
            next: ends.to_vec(),
            due: false,
            step: Step::None,
            round: None,
        })
    }

    /// Fetches so many places of the input and runs the task until it has nothing to do or a commit is due.
    pub(super) fn process(&mut self, cluster: &Cluster, places: usize) {
        let Some(running) = self.free() else {
            return;
        };
        if running.due {
            return;
        }
        let task = &mut running.task;
        let at = task.inbox(0).position() as usize;
        let upto = at.saturating_add(places).min(cluster.input.len());
        let mut value = Vec::new();
        for (offset, place) in (at..).zip(&cluster.input[at..upto]) {
            let Some((key, time, number)) = place else {
                task.inbox(0).advance(offset as i64 + 1);
                continue;
            };
            value.clear();
            let reading = Reading {
                time: *time,
                value: *number,
            };
            reading.encode(&mut value).expect("JSON");
            task.inbox(0).push(RawRecord {
                offset: offset as i64,
                timestamp: *time,
                key: Some(key.as_bytes()),
                value: Some(&value),
                headers: &[],
            });
        }
        if upto == cluster.input.len() {
            task.inbox(0).reached_end();
        }
        running.due = loop {
            let now = Now {
                wall: WALL,
                mono: 0,
            };
            let Turn {
                commit_due, more, ..
            } = task
                .run(now)
                .unwrap_or_else(|failure| panic!("{}", failure.error));
            if commit_due || !more {
                break commit_due;
            }
        };
    }

    /// The commit's first step: all its records.
    pub(super) fn send(&mut self, cluster: &mut Cluster) {
        let (id, tables) = (self.id, self.topology.tables.len());
        let epoch = self.process.as_ref().map_or(0, |process| process.epoch);
        let Some(running) = self.free() else {
            return;
        };
        running.due = false;
        if !running.task.prepare().expect("rows that serialize") {
            return;
        }
        running.step = Step::Sent;
        let mut sent = running.task.each_output(|topic, out| {
            let entry = Entry::new(topic, out.key.unwrap_or_default(), out.value);
            cluster.produce(id, epoch, None, entry).map(drop)
        });
        for table in 0..tables {
            running.task.with_changes(table, &mut |rows, mark| {
                let upserts = rows.upserts().map(|(key, value)| (key, Some(value)));
                let mark = mark.map(|(key, value)| (key, Some(value)));
                let tombstones = rows.tombstones().map(|key| (key, None));
                for (key, value) in upserts.chain(mark).chain(tombstones) {
                    let entry = Entry::new("", key, value);
                    let result = cluster.produce(id, epoch, Some(table), entry);
                    sent = sent.and(result.map(drop));
                }
            });
        }
        if let Err(refusal) = sent {
            self.refused(cluster, refusal);
        }
    }

    /// The commit's next step. `known`: the client tells the offsets of the delivered rows, which it does not after a
    /// retry.
    pub(super) fn step(&mut self, cluster: &mut Cluster, known: bool) {
        let (id, tables) = (self.id, self.topology.tables.len());
        let Some(process) = &mut self.process else {
            return;
        };
        let (epoch, generation) = (process.epoch, process.generation);
        let Phase::Running(running) = &mut process.phase else {
            return;
        };
        let result = match running.step {
            Step::None => return,
            Step::Sent => {
                running.step = Step::Offsets;
                let offsets = running.task.commit_offsets().next();
                // A transaction takes no empty list of offsets: nobody is asked.
                offsets.map_or(Ok(()), |(_, offset)| {
                    let offsets = Offsets {
                        input: Some(offset),
                        metadata: running.task.commit_metadata(),
                    };
                    cluster.send_offsets(id, epoch, generation, offsets)
                })
            }
            Step::Offsets => {
                let ends: Vec<i64> = (0..tables).map(|table| cluster.end_of(table)).collect();
                let result = cluster.commit(id, epoch);
                if result.is_ok() {
                    if known {
                        running.next = ends;
                    }
                    running.step = Step::None;
                    running.task.committed();
                }
                result
            }
        };
        if let Err(refusal) = result {
            self.refused(cluster, refusal);
        }
    }

    fn refused(&mut self, cluster: &mut Cluster, refusal: Refusal) {
        match refusal {
            Refusal::Fenced => self.start_again(cluster, Phase::Assigned),
            Refusal::NotAMember => self.start_again(cluster, Phase::Idle),
        }
    }

    /// The whole commit, if it may.
    pub(super) fn commit(&mut self, cluster: &mut Cluster, known: bool) {
        self.send(cluster);
        self.step(cluster, known);
        self.step(cluster, known);
    }

    /// The commit under way fails: it is aborted, and the task goes back to the last one.
    pub(super) fn fail(&mut self, cluster: &mut Cluster) {
        let id = self.id;
        let epoch = self.process.as_ref().map_or(0, |process| process.epoch);
        let Some(running) = self.running() else {
            return;
        };
        if running.step == Step::None {
            return;
        }
        if cluster.abort(id, epoch).is_err() {
            self.start_again(cluster, Phase::Assigned);
            return;
        }
        running.step = Step::None;
        running.task.aborted().expect("memory");
    }

    /// The answer to the commit is lost: nobody here knows what became of it.
    pub(super) fn lose_answer(&mut self, cluster: &mut Cluster, arrives: bool) {
        let id = self.id;
        let epoch = self.process.as_ref().map_or(0, |process| process.epoch);
        if self.running().is_some_and(|r| r.step == Step::Offsets) {
            if arrives {
                let _ = cluster.commit(id, epoch);
            }
            self.start_again(cluster, Phase::Assigned);
        }
    }

    /// The partition goes away in order: commit, then the store.
    pub(super) fn leave(&mut self, cluster: &mut Cluster) {
        while self.running().is_some_and(|r| r.step != Step::None) {
            self.step(cluster, true);
        }
        if let Some(running) = self.running() {
            running.task.drop_agents();
            self.commit(cluster, true);
            self.submit();
        }
        if let Some(process) = &mut self.process {
            process.phase = Phase::Idle;
        }
    }

    /// Hands what is committed and not stored to the storer.
    pub(super) fn submit(&mut self) {
        let trees: Vec<_> = (0..self.topology.tables.len())
            .map(|table| self.tree(table))
            .collect();
        let second = self.tickets % 2 == 1;
        let Some(running) = self.free() else {
            return;
        };
        if running.round.is_some() {
            return;
        }
        let (mut writes, mut commits) = (Vec::new(), Vec::new());
        for (table, tree) in trees.into_iter().enumerate() {
            // Every second time also where nothing but the mark has changed.
            let bare = second && running.task.mark(table).is_some();
            let Some((rows, commit, mark)) = running.task.take_round(table, bare) else {
                continue;
            };
            let mut bytes = Vec::new();
            let incarnation = mark.map_or([0; 16], |mark| {
                mark.encode(&mut bytes).expect("a mark");
                mark.incarnation
            });
            writes.push(TreeWrite {
                tree,
                rows,
                checkpoint: Checkpoint {
                    changelog_offset: running.next[table],
                    mark: bytes,
                    written_at: WALL,
                    incarnation,
                },
            });
            commits.push((table, commit));
        }
        if !writes.is_empty() {
            self.tickets += 1;
            let ticket = self.tickets;
            self.rounds.push_back((ticket, writes));
            if let Some(running) = self.running() {
                running.round = Some((ticket, commits));
            }
        }
    }

    /// The storer has written its oldest round.
    pub(super) fn stored(&mut self) {
        if let Some((ticket, writes)) = self.rounds.pop_front() {
            self.disk.write(writes);
            self.round_done(ticket, true);
        }
    }

    /// The oldest round could not be written, as on a full disk.
    pub(super) fn not_stored(&mut self) {
        if let Some((ticket, _)) = self.rounds.pop_front() {
            self.round_done(ticket, false);
        }
    }

    fn round_done(&mut self, ticket: u64, durable: bool) {
        if let Some(running) = self.running()
            && let Some((_, commits)) = running.round.take_if(|(of, _)| *of == ticket)
        {
            for (table, commit) in commits {
                running.task.round_done(table, commit, durable);
            }
        }
    }

    /// A table's name.
    pub(super) fn table(&self, table: usize) -> &'static str {
        self.topology.tables[table].descriptor.name
    }

    /// Rows of a table as its store has them once it is brought up to date, by key.
    pub(super) fn restored(&self, cluster: &Cluster, table: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let tree = self.tree(table);
        let checkpoint = tree.checkpoint().expect("memory");
        let from = checkpoint.as_ref().map_or(0, |c| c.changelog_offset);
        let mut rows = BTreeMap::new();
        if checkpoint.is_some() {
            rows.extend(tree.scan(&[], None).map(|row| row.expect("memory")));
        }
        cluster.replay(table, from, &mut rows);
        rows
    }
}
