//! The tasks of a [`TestApp`](super::TestApp): fetched for, run, committed, crashed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::cluster::{Cluster, Entry};
use crate::error::Error;
use crate::store::{Checkpoint, MemoryStore, Store, TreeWrite};
use crate::task::{
    Committed, Now, Pulse, RawRecord, StartAt, States, Task, TaskParts, TaskSettings,
    decode_headers, encode_headers,
};
use crate::topology::SubTopology;

/// How long a handler that waits for something real is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// One task and where its changelogs end.
struct Seat {
    task: Task,
    topology: usize,
    partition: i32,
    ends: Vec<i64>,
    /// Monotonic time of its last event.
    busy: u64,
}

/// All tasks of the app, over a cluster that outlives them.
pub(super) struct Drive {
    pub(super) cluster: Cluster,
    topologies: Vec<Arc<SubTopology>>,
    seats: Vec<Seat>,
    states: Arc<States>,
    settings: TaskSettings,
    store: Arc<MemoryStore>,
    pub(super) now: Now,
    pub(super) fail_commits: u32,
    wake: Arc<tokio::sync::Notify>,
    runtime: Rc<tokio::runtime::Runtime>,
}

impl Drive {
    pub(super) fn new(
        topologies: Vec<Arc<SubTopology>>,
        settings: TaskSettings,
        states: Arc<States>,
        partitions: i32,
        runtime: Rc<tokio::runtime::Runtime>,
    ) -> Result<Self, Error> {
        let mut drive = Drive {
            cluster: Cluster::new(partitions),
            topologies,
            seats: Vec::new(),
            states,
            settings,
            store: Arc::new(MemoryStore::new()),
            now: Now { wall: 0, mono: 0 },
            fail_commits: 0,
            wake: Arc::default(),
            runtime,
        };
        drive.begin()?;
        Ok(drive)
    }

    /// Opens every task anew, from the cluster and what the store holds.
    fn begin(&mut self) -> Result<(), Error> {
        self.seats.clear();
        for topology in 0..self.topologies.len() {
            for partition in 0..self.cluster.partitions {
                let seat = self.open(topology, partition)?;
                self.seats.push(seat);
            }
        }
        Ok(())
    }

    fn open(&self, at: usize, partition: i32) -> Result<Seat, Error> {
        let topology = &self.topologies[at];
        let mut trees = Vec::new();
        for table in &topology.tables {
            trees.push(match &table.changelog {
                Some(_) => Some(self.store.tree(table.descriptor.name, partition)?),
                None => None,
            });
        }
        let wake = Arc::clone(&self.wake);
        let mut task = Task::new(TaskParts {
            topology: Arc::clone(topology),
            partition,
            partitions: self.cluster.partitions,
            settings: self.settings.clone(),
            trees: trees.clone(),
            states: Arc::clone(&self.states),
            wake: Arc::new(move || wake.notify_one()),
            pulse: Arc::new(Pulse::default()),
        })?;
        let mut ends = Vec::new();
        for (table, tree) in trees.iter().enumerate() {
            let mut from = 0;
            if let Some(tree) = tree
                && let Some(checkpoint) = tree.checkpoint()?
            {
                from = checkpoint.changelog_offset as usize;
                if !checkpoint.mark.is_empty() {
                    task.set_mark(table, &checkpoint.mark)?;
                }
            }
            let log = self.changelog(at, table, partition);
            for (key, value) in log.iter().skip(from) {
                task.restore(table, key, value.as_deref())?;
            }
            ends.push(log.len() as i64);
        }
        let committed: Vec<Committed> = topology
            .inputs
            .iter()
            .map(|input| {
                let have = self.cluster.offsets.get(&(input.topic.clone(), partition));
                have.map_or_else(Committed::default, |(offset, metadata)| Committed {
                    offset: Some(*offset),
                    metadata: metadata.clone(),
                })
            })
            .collect();
        let starts = task.recovered(&committed)?;
        let starts: Vec<i64> = starts
            .into_iter()
            .map(|start| match start {
                StartAt::Offset(offset) => offset,
                StartAt::Default => 0,
            })
            .collect();
        task.begin_at(&starts);
        Ok(Seat {
            task,
            topology: at,
            partition,
            ends,
            busy: self.now.mono,
        })
    }

    fn changelog(
        &self,
        topology: usize,
        table: usize,
        partition: i32,
    ) -> &[super::cluster::Change] {
        let name = self.topologies[topology].tables[table].changelog.clone();
        name.and_then(|name| self.cluster.changelogs.get(&(name, partition)))
            .map_or(&[], Vec::as_slice)
    }

    /// Every process dies; others take over, with what the store holds or with empty disks.
    pub(super) fn crash(&mut self, empty_disk: bool) -> Result<(), Error> {
        if empty_disk {
            self.store = Arc::new(MemoryStore::new());
        }
        self.begin()
    }

    /// Partitions go away in order and come back.
    pub(super) fn rebalance(&mut self) -> Result<(), Error> {
        for at in 0..self.seats.len() {
            self.seats[at].task.revoke();
            self.turn(at)?;
            self.seats[at].task.drop_agents();
            self.commit(at)?;
            self.store(at)?;
        }
        self.begin()
    }

    /// Runs everything until nothing is left to do at this time; what is sent is read by others.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        loop {
            let mut moved = false;
            for at in 0..self.seats.len() {
                moved |= self.fetch(at);
                moved |= self.turn(at)?;
                moved |= self.commit(at)?;
            }
            if !moved && !self.wait_for_handlers()? {
                return Ok(());
            }
        }
    }

    /// The same up to the commits: what was done is there to be lost.
    pub(super) fn run_without_commit(&mut self) -> Result<(), Error> {
        for at in 0..self.seats.len() {
            self.fetch(at);
            self.turn(at)?;
        }
        Ok(())
    }

    fn fetch(&mut self, at: usize) -> bool {
        let seat = &self.seats[at];
        let mut moved = false;
        let mut headers = Vec::new();
        for (i, input) in self.topologies[seat.topology].inputs.iter().enumerate() {
            let mut inbox = seat.task.inbox(i);
            let log = self.cluster.log(&input.topic, seat.partition);
            let from = inbox.position() as usize;
            for (offset, entry) in log.iter().enumerate().skip(from) {
                moved = true;
                headers.clear();
                let list = entry.headers.iter();
                encode_headers(
                    list.map(|(n, v)| (n.as_str(), Some(v.as_slice()))),
                    &mut headers,
                );
                inbox.push(RawRecord {
                    offset: offset as i64,
                    timestamp: entry.timestamp,
                    key: entry.key.as_deref(),
                    value: entry.value.as_deref(),
                    headers: &headers,
                });
            }
            inbox.reached_end();
        }
        moved
    }

    fn turn(&mut self, at: usize) -> Result<bool, Error> {
        let _entered = self.runtime.enter();
        let seat = &mut self.seats[at];
        let before = seat.task.processed();
        while seat
            .task
            .run(self.now)
            .map_err(|failure| failure.error)?
            .more
        {}
        let moved = seat.task.processed() != before;
        if moved {
            seat.busy = self.now.mono;
        }
        Ok(moved)
    }

    /// Commits what a task has acknowledged, or aborts when the test asked for that.
    fn commit(&mut self, at: usize) -> Result<bool, Error> {
        let seat = &mut self.seats[at];
        if !seat.task.prepare()? {
            return Ok(false);
        }
        if self.fail_commits > 0 {
            self.fail_commits -= 1;
            seat.task.aborted()?;
            return Ok(true);
        }
        let mut outputs: Vec<(String, Entry)> = Vec::new();
        seat.task.each_output(|topic, out| {
            let entry = Entry {
                key: out.key.map(<[u8]>::to_vec),
                value: out.value.map(<[u8]>::to_vec),
                timestamp: out.timestamp,
                headers: decode_headers(out.headers)
                    .map(|(name, value)| (name.to_owned(), value.unwrap_or_default().to_vec()))
                    .collect(),
            };
            outputs.push((topic.to_owned(), entry));
            Ok::<_, Error>(())
        })?;
        for (topic, entry) in outputs {
            self.cluster.append(&topic, entry);
        }
        let topology = &self.topologies[seat.topology];
        for (table, plan) in topology.tables.iter().enumerate() {
            let Some(name) = &plan.changelog else {
                continue;
            };
            let key = (name.clone(), seat.partition);
            let log = self.cluster.changelogs.entry(key).or_default();
            seat.task.with_changes(table, &mut |rows, mark| {
                log.extend(rows.upserts().map(|(k, v)| (k.to_vec(), Some(v.to_vec()))));
                log.extend(mark.map(|(k, v)| (k.to_vec(), Some(v.to_vec()))));
                log.extend(rows.tombstones().map(|k| (k.to_vec(), None)));
            });
            seat.ends[table] = log.len() as i64;
        }
        let metadata = seat.task.commit_metadata();
        for (topic, offset) in seat.task.offsets() {
            let key = (topic.to_owned(), seat.partition);
            self.cluster.offsets.insert(key, (offset, metadata.clone()));
        }
        seat.task.committed();
        Ok(true)
    }

    /// A round of the store.
    fn store(&mut self, at: usize) -> Result<(), Error> {
        let seat = &mut self.seats[at];
        for table in 0..seat.ends.len() {
            let Some((rows, commit, mark)) = seat.task.take_round(table) else {
                continue;
            };
            let name = self.topologies[seat.topology].tables[table].descriptor.name;
            let tree = self.store.tree(name, seat.partition)?;
            let mut bytes = Vec::new();
            let mut incarnation = [0; 16];
            if let Some(mark) = mark {
                mark.encode(&mut bytes)?;
                incarnation = mark.incarnation;
            }
            let checkpoint = Checkpoint {
                changelog_offset: seat.ends[table],
                mark: bytes,
                written_at: self.now.wall,
                incarnation,
            };
            self.store.round(&mut [TreeWrite {
                tree,
                rows,
                checkpoint,
            }])?;
            seat.task.round_done(table, commit, true);
        }
        Ok(())
    }

    /// Rounds of all stores.
    pub(super) fn store_all(&mut self) -> Result<(), Error> {
        (0..self.seats.len()).try_for_each(|at| self.store(at))
    }

    /// A handler waits for something real, a timer or a socket: gives it time.
    fn wait_for_handlers(&mut self) -> Result<bool, Error> {
        let waits = |seat: &Seat| {
            let task = &seat.task;
            !task.is_quiet() && task.retrying().is_none() && !task.waits_for_more()
        };
        if !self.seats.iter().any(waits) {
            return Ok(false);
        }
        let wake = Arc::clone(&self.wake);
        let woken = self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, wake.notified())
                .await
                .is_ok()
        });
        if !woken {
            return Err(Error::agent(format!(
                "a handler has been waiting for {} s: a test goes on only when every handler is done",
                PATIENCE.as_secs()
            )));
        }
        Ok(true)
    }

    /// Moves the clock; retries, timeouts and idle windows fall due on the way.
    pub(super) fn advance(&mut self, to: i64) -> Result<(), Error> {
        self.settle()?;
        while self.now.wall < to {
            let left = (to - self.now.wall) as u64;
            let wakes = self.seats.iter().filter_map(|seat| seat.task.next_wake());
            let idles = self.seats.iter().filter_map(|seat| {
                let at = seat.busy + seat.task.idle_after()?;
                (at > self.now.mono).then_some(at)
            });
            let next = wakes.chain(idles).min().unwrap_or(u64::MAX);
            let step = next.saturating_sub(self.now.mono).clamp(1, left);
            self.now.wall += step as i64;
            self.now.mono += step;
            self.close_idle();
            self.settle()?;
        }
        Ok(())
    }

    fn close_idle(&mut self) {
        for seat in &mut self.seats {
            let Some(after) = seat.task.idle_after() else {
                continue;
            };
            if seat.task.is_quiet() && self.now.mono - seat.busy >= after {
                seat.task.idle(self.now.wall);
            }
        }
    }

    /// Raises the stream time of every task.
    pub(super) fn raise(&mut self, to: i64) -> Result<(), Error> {
        self.settle()?;
        for seat in &mut self.seats {
            seat.task.raise_to(to);
        }
        self.settle()
    }

    /// (record, window) pairs that came too late.
    pub(super) fn late(&self) -> u64 {
        self.seats.iter().map(|seat| seat.task.late()).sum()
    }
}
