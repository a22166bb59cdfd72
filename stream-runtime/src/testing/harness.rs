//! The tasks of a [`TestApp`](super::TestApp) at work: fetched for, run, committed, with a clock that the test moves.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::background::Beside;
use super::cluster::{Cluster, Entry};
use super::globals::Globals;
use super::rules::Broker;
use super::workers::{TestTask, Worker};
use crate::error::Error;
use crate::task::{Now, RawRecord, States, TaskSettings, decode_headers, encode_headers};
use crate::topology::{OutputKind, SubTopology};

/// How long a handler that waits for something real is waited for.
const REAL_WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// How far ahead of the clock a record may be, in ms, for the clock to follow it: 31 days.
pub(super) const FOLLOWS: i64 = 31 * 86_400_000;

/// How partitions are given to workers.
#[derive(Default)]
pub(super) struct Assignment {
    /// By how much it is turned: each rebalance moves every partition.
    pub(super) shift: usize,
    /// Assignments so far.
    pub(super) generation: i32,
}

/// How the clock of a test began.
pub(super) struct ClockStart {
    /// It has been set, by the test or by a record.
    is_set: bool,
    /// Wall clock time up to which crontabs of partitions are not called: a record set the clock to it.
    pub(super) calls_from: i64,
}

/// Commits that fail.
#[derive(Default)]
pub(super) struct TestCommits {
    /// How many of the next ones fail.
    pub(super) to_fail: u32,
    /// Commits that were aborted so far.
    aborted: u64,
}

/// All tasks of the app, over a cluster that outlives them.
pub(super) struct Harness {
    pub(super) cluster: Cluster,
    pub(super) topologies: Vec<Arc<SubTopology>>,
    pub(super) workers: Vec<Worker>,
    pub(super) seats: Vec<TestTask>,
    pub(super) assignment: Assignment,
    /// Time in ms for which a source is quiet before it does not hold the time of others; `None`: it always does.
    pub(super) source_idle: Option<u64>,
    pub(super) states: Arc<States>,
    pub(super) globals: Globals,
    pub(super) settings: TaskSettings,
    pub(super) now: Now,
    pub(super) clock: ClockStart,
    pub(super) commits: TestCommits,
    pub(super) wake: Arc<tokio::sync::Notify>,
    pub(super) beside: Beside,
    pub(super) broker: Broker,
    pub(super) runtime: Rc<tokio::runtime::Runtime>,
}

impl Harness {
    pub(super) fn new(
        topologies: Vec<Arc<SubTopology>>,
        settings: TaskSettings,
        states: Arc<States>,
        globals: Globals,
        (beside, broker): (Beside, Broker),
        (partitions, workers, source_idle): (i32, usize, Option<u64>),
        runtime: Rc<tokio::runtime::Runtime>,
    ) -> Result<Self, Error> {
        let mut drive = Harness {
            cluster: Cluster::new(partitions),
            topologies,
            workers: (0..workers).map(|_| Worker::new()).collect(),
            seats: Vec::new(),
            assignment: Assignment::default(),
            source_idle,
            states: globals.beside(states),
            globals,
            settings,
            now: Now { wall: 0, mono: 0 },
            clock: ClockStart {
                is_set: false,
                calls_from: i64::MIN,
            },
            commits: TestCommits::default(),
            wake: Arc::default(),
            beside,
            broker,
            runtime,
        };
        drive.assign()?;
        drive.run_tasks()?;
        Ok(drive)
    }

    /// Runs everything until nothing is left to do at this time; what is sent is read by others.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        self.globals.follow(&self.cluster)?;
        self.run_tasks()?;
        loop {
            let mut moved = false;
            self.globals.follow(&self.cluster)?;
            for at in 0..self.seats.len() {
                moved |= self.fetch(at, usize::MAX);
                moved |= self.turn(at)?;
            }
            for worker in 0..self.workers.len() {
                moved |= self.commit(worker)?;
            }
            moved = moved || self.rest();
            if !moved && !self.wait_for_handlers()? {
                return Ok(());
            }
        }
    }

    /// The same up to the commits: what was done is there to be lost.
    pub(super) fn run_without_commit(&mut self) -> Result<(), Error> {
        for at in 0..self.seats.len() {
            self.fetch(at, usize::MAX);
            self.turn(at)?;
        }
        Ok(())
    }

    /// A part of the work, as chance has it: some partitions, some records of each, some commits.
    pub(super) fn run_by_chance(&mut self, random: &mut fastrand::Rng) -> Result<(), Error> {
        for _ in 0..random.usize(1..=2 * self.seats.len()) {
            let at = random.usize(..self.seats.len());
            self.fetch(at, random.usize(1..8));
            self.turn(at)?;
            if random.u8(..4) == 0 {
                self.commit(self.seats[at].worker)?;
            }
        }
        Ok(())
    }

    /// Hands over at most `limit` records of each input.
    fn fetch(&mut self, at: usize, limit: usize) -> bool {
        let seat = &self.seats[at];
        let mut moved = false;
        let mut headers = Vec::new();
        for (i, input) in self.topologies[seat.topology].inputs.iter().enumerate() {
            let mut inbox = seat.task.inbox(i);
            let log = self.cluster.log(&input.topic, seat.partition);
            let from = inbox.position() as usize;
            for (offset, entry) in log.iter().enumerate().skip(from).take(limit) {
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
            if inbox.position() as usize >= log.len() {
                inbox.reached_end();
            }
        }
        moved
    }

    /// Says of the sources that have had nothing for `source_idle` that they do not hold the time of others. Returns
    /// whether that is news.
    fn rest(&mut self) -> bool {
        let Some(after) = self.source_idle else {
            return false;
        };
        let mut news = false;
        for seat in &mut self.seats {
            let quiet = self.now.mono - seat.busy >= after;
            for lull in seat.task.lulls().filter(|_| quiet) {
                if seat.task.is_spent(lull) && !seat.task.rests(lull) {
                    seat.task.rest(lull);
                    news = true;
                }
            }
        }
        news
    }

    pub(super) fn turn(&mut self, at: usize) -> Result<bool, Error> {
        let _entered = self.runtime.enter();
        let seat = &mut self.seats[at];
        let (before, ticks) = (seat.task.processed(), seat.task.ticks());
        let heard = seat.task.heard();
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
        Ok(moved || seat.task.ticks() != ticks || seat.task.heard() != heard)
    }

    /// Commits what the tasks of a worker have acknowledged, all at once, or aborts when the test asked for that.
    pub(super) fn commit(&mut self, worker: usize) -> Result<bool, Error> {
        let (mut group, mut again) = (Vec::new(), false);
        for at in 0..self.seats.len() {
            let seat = &mut self.seats[at];
            if seat.worker != worker {
                continue;
            }
            match seat.task.prepare() {
                Ok(true) => group.push(at),
                Ok(false) => {}
                // A row cannot be written: the event that made it so is looked for, once.
                Err(error) if !seat.task.be_careful() => return Err(error),
                Err(_) => {
                    self.void(&[at])?;
                    again = true;
                }
            }
        }
        if group.is_empty() {
            return Ok(again);
        }
        if self.commits.to_fail > 0 {
            self.commits.to_fail -= 1;
            self.void(&group)?;
            return Ok(true);
        }
        if self.refuse(&group)? {
            return Ok(true);
        }
        for at in group {
            self.take_over(at)?;
        }
        Ok(true)
    }

    /// What these tasks did since their last commit is void, and done again.
    pub(super) fn void(&mut self, group: &[usize]) -> Result<(), Error> {
        self.commits.aborted += 1;
        for &at in group {
            self.seats[at].task.aborted()?;
        }
        Ok(())
    }

    /// What a task prepared becomes part of the cluster.
    fn take_over(&mut self, at: usize) -> Result<(), Error> {
        let seat = &mut self.seats[at];
        let mut outputs: Vec<(String, OutputKind, Entry)> = Vec::new();
        let kinds = &self.topologies[seat.topology].outputs;
        seat.task.each_output(|topic, out| {
            let entry = Entry {
                key: out.key.map(<[u8]>::to_vec),
                value: out.value.map(<[u8]>::to_vec),
                timestamp: out.timestamp,
                headers: decode_headers(out.headers)
                    .map(|(name, value)| (name.to_owned(), value.unwrap_or_default().to_vec()))
                    .collect(),
            };
            outputs.push((topic.to_owned(), kinds[out.topic].kind, entry));
            Ok::<_, Error>(())
        })?;
        for (topic, kind, entry) in outputs {
            self.broker.took(&topic);
            match entry.key {
                None if kind == OutputKind::Repartition => {
                    self.cluster.append_together(&topic, entry);
                }
                _ => self.cluster.append(&topic, entry),
            }
        }
        let mut watermarks: Vec<(String, Entry)> = Vec::new();
        seat.task.each_watermark(|topic, headers, timestamp| {
            let headers = decode_headers(headers)
                .map(|(name, value)| (name.to_owned(), value.unwrap_or_default().to_vec()));
            let entry = Entry {
                key: None,
                value: None,
                timestamp,
                headers: headers.collect(),
            };
            watermarks.push((topic.to_owned(), entry));
            Ok::<_, Error>(())
        })?;
        for (topic, entry) in watermarks {
            for partition in 0..self.cluster.partitions {
                self.cluster.append_to(&topic, partition, entry.clone());
            }
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
            seat.task.changelog_at(table, seat.ends[table]);
        }
        let metadata = seat.task.commit_metadata();
        for (topic, offset) in seat.task.offsets() {
            let key = (topic.to_owned(), seat.partition);
            self.cluster.offsets.insert(key, (offset, metadata.clone()));
        }
        seat.task.committed();
        Ok(())
    }

    /// A handler waits for something real, a timer or a socket: gives it time.
    fn wait_for_handlers(&mut self) -> Result<bool, Error> {
        let waits = |seat: &&TestTask| {
            let task = &seat.task;
            !task.is_quiet() && task.retrying().is_none() && !task.waits_for_more()
        };
        // When their `timeout`s end them; `None` when one of them has none.
        let ends = self.seats.iter().filter(waits);
        let ends: Option<Vec<u64>> = ends.map(|seat| seat.task.next_wake()).collect();
        let patience = match ends.as_ref().map(|ends| ends.iter().max()) {
            Some(None) => return Ok(false),
            Some(Some(end)) => Duration::from_millis(end.saturating_sub(self.now.mono)),
            None => REAL_WAIT_TIMEOUT,
        };
        let wake = Arc::clone(&self.wake);
        let woken = self.runtime.block_on(async {
            tokio::time::timeout(patience.min(REAL_WAIT_TIMEOUT), wake.notified())
                .await
                .is_ok()
        });
        if !woken && ends.is_none() {
            return Err(Error::agent(format!(
                "a handler has been waiting for {} s: a test goes on only when every handler is done",
                REAL_WAIT_TIMEOUT.as_secs()
            )));
        }
        Ok(woken)
    }

    /// A record of this event time comes: the clock starts there, and is not behind it later unless that is out of all
    /// reason.
    pub(super) fn follow(&mut self, time: i64) {
        if !self.clock.is_set || time.saturating_sub(self.now.wall) <= FOLLOWS {
            self.leave_out_calls(time);
            self.now.wall = self.now.wall.max(time);
        }
        self.clock.is_set = true;
    }

    /// A record moves the clock: what lies on the way is left out.
    fn leave_out_calls(&mut self, time: i64) {
        if time > self.now.wall || !self.clock.is_set {
            self.clock.calls_from = self.now.wall.max(time);
            for seat in &mut self.seats {
                seat.task.leave_out_calls(self.clock.calls_from);
            }
        }
    }

    /// Moves the clock from one moment at which something falls due to the next: retries, timeouts, ticks, calls, and
    /// the windows of quiet tasks. So one step comes to the same as any number of small ones.
    pub(super) fn advance(&mut self, to: i64) -> Result<(), Error> {
        self.clock.is_set = true;
        self.settle()?;
        self.beside.look_at_the_calendar(self.now);
        while self.now.wall < to {
            let left = (to - self.now.wall) as u64;
            let next = self.next_moment().unwrap_or(u64::MAX);
            let step = next.saturating_sub(self.now.mono).clamp(1, left);
            self.now.wall += step as i64;
            self.now.mono += step;
            self.settle()?;
            self.close_idle()?;
            if self.call_due()? {
                self.settle()?;
            }
        }
        Ok(())
    }

    /// Monotonic time at which something next falls due.
    fn next_moment(&self) -> Option<u64> {
        let now = self.now;
        let wakes = self.seats.iter().filter_map(|seat| seat.task.next_wake());
        let quiet = self.seats.iter().filter_map(|seat| {
            let at = seat.busy + seat.task.idle_after()?;
            (at > now.mono).then_some(at)
        });
        let over = self.seats.iter().filter_map(|seat| {
            let left = seat.task.idle_due(now.wall)?.saturating_sub(now.wall);
            Some(now.mono.saturating_add(left as u64))
        });
        let resting = self.seats.iter().filter_map(|seat| {
            let at = seat.busy + self.source_idle?;
            let waits = |lull| seat.task.is_spent(lull) && !seat.task.rests(lull);
            (at > now.mono && seat.task.lulls().any(waits)).then_some(at)
        });
        let beside = self.beside.next(now);
        wakes
            .chain(quiet)
            .chain(resting)
            .chain(over)
            .chain(beside)
            .min()
    }

    /// Closes what is over by the wall clock in tasks that have been quiet for long enough: a task that feeds another
    /// one first, whose records then are news to the other.
    fn close_idle(&mut self) -> Result<(), Error> {
        for rank in self.ranks() {
            let idle: Vec<usize> = (0..self.seats.len())
                .filter(|at| rank.contains(&self.seats[*at].topology) && self.is_idle(*at))
                .collect();
            if idle.is_empty() {
                continue;
            }
            self.until_committed(|drive| {
                for &at in &idle {
                    drive.seats[at].task.idle(drive.now.wall);
                }
            })?;
        }
        Ok(())
    }

    /// Whether a task's tables with `idle` have been quiet for long enough, and a window of theirs is over.
    fn is_idle(&self, at: usize) -> bool {
        let seat = &self.seats[at];
        let after = seat.task.idle_after();
        after.is_some_and(|after| seat.task.is_quiet() && self.now.mono - seat.busy >= after)
            && seat.task.can_idle(self.now.wall)
    }

    /// The topologies, feeders before those they feed; those of a circle come last, together.
    fn ranks(&self) -> Vec<Vec<usize>> {
        let feeds = |from: usize, to: usize| {
            let outputs = &self.topologies[from].outputs;
            let inputs = &self.topologies[to].inputs;
            let to_it = |topic: &String| inputs.iter().any(|input| input.topic == *topic);
            from != to && outputs.iter().any(|output| to_it(&output.topic))
        };
        let mut left: Vec<usize> = (0..self.topologies.len()).collect();
        let mut ranks = Vec::new();
        while !left.is_empty() {
            let fed = |to: usize| left.iter().any(|from| feeds(*from, to));
            let first: Vec<usize> = left.iter().copied().filter(|to| !fed(*to)).collect();
            let first = if first.is_empty() {
                left.clone()
            } else {
                first
            };
            left.retain(|at| !first.contains(at));
            ranks.push(first);
        }
        ranks
    }

    /// Raises the stream time of every task: of those that feed others first, whose windows are then news to the
    /// others.
    pub(super) fn raise(&mut self, to: i64) -> Result<(), Error> {
        self.settle()?;
        self.ranks().iter().try_for_each(|rank| {
            self.until_committed(|drive| {
                let seats = drive.seats.iter_mut();
                for seat in seats.filter(|seat| rank.contains(&seat.topology)) {
                    seat.task.raise_to(to);
                }
            })
        })
    }

    /// Raises stream time and works off what that closes; an aborted commit takes it back, and then it rises again.
    fn until_committed(&mut self, raise: impl Fn(&mut Self)) -> Result<(), Error> {
        loop {
            let before = self.commits.aborted;
            raise(self);
            self.settle()?;
            if self.commits.aborted == before {
                return Ok(());
            }
        }
    }

    /// (record, window) pairs that came too late.
    pub(super) fn late(&self) -> u64 {
        self.seats.iter().map(|seat| seat.task.late()).sum()
    }
}
