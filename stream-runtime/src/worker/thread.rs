//! A stream thread: one consumer, one producer, the tasks of its partitions, and the loop over them.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::ahead::Ahead;
use super::backoff::Backoff;
use super::commit;
use super::down::{Down, Failures};
use super::foreign::Looking;
use super::found::Found;
use super::membership::Rejoin;
use super::meters::CommitMeters;
use super::outlet::Outlet;
use super::partition::Partition;
use super::reads::{Confirmation, Confirmed, ReadRequest};
use super::refused::Standing;
use super::shared::{Seen, Shared};
use super::stalled::Stalled;
use super::status::{PartitionState, Retry, TaskName};
use super::storing;
use crate::error::Error;
use crate::kafka::{
    Batch, Fault, FaultKind, GroupConsumer, GroupEvent, Reader, TopicPartition, Wake,
};
use crate::store::StorerClient;
use crate::task::{Lull, Pulse, Stand, TaskFailure};

/// Records read from a queue at once.
const BATCH: usize = 1_024;
/// Rows that await the store at most, about.
const ROUND_ROWS: usize = 100_000;
/// Longest rest: events of the group are served this often at least.
const REST: Duration = Duration::from_secs(1);
/// The same while a table with `idle` has open windows.
const IDLE_REST: Duration = Duration::from_millis(500);
/// Time that watermarks wait for a commit of their own.
const HEARD: Duration = Duration::from_secs(1);
/// How long a producer may take to begin before another one is made.
const INIT: Duration = Duration::from_secs(30);

/// What other threads found for this one, or ask of it.
pub(super) enum Reply {
    /// What an assignment needs to begin.
    Found {
        generation: u64,
        /// The one task that was asked for, else the whole assignment.
        task: Option<TaskName>,
        result: Result<Box<Found>, Fault>,
    },
    /// End offsets of a quiet task's inputs, or of a group of them.
    Ends {
        generation: u64,
        task: TaskName,
        lull: Option<Lull>,
        result: Result<Vec<i64>, Fault>,
    },
    /// Somebody asks for rows.
    Read(ReadRequest),
    /// Settings of a task's topic have become such that results would be wrong.
    Unfit { task: TaskName, why: String },
    /// What the group said when it was asked whether this member is one.
    Confirmed {
        generation: u64,
        confirmation: Confirmation,
    },
}

/// A stream thread.
pub(super) struct StreamThread {
    pub(super) number: usize,
    pub(super) worker: Arc<Shared>,
    pub(super) partitions: Vec<Partition>,
    /// Tasks that failed.
    pub(super) down: Vec<Down>,
    pub(super) failures: HashMap<TaskName, Failures>,
    /// Tasks that failed and have got no further since, where others' time waits for them.
    pub(super) stalled: HashMap<TaskName, Stalled>,
    /// Topics that tasks send to and that are not there any more.
    pub(super) gone: BTreeSet<String>,
    /// Read changelogs, each for the tasks that began together.
    pub(super) readers: Vec<Rc<Reader>>,
    pub(super) member: GroupConsumer,
    pub(super) outlet: Outlet,
    pub(super) storer: StorerClient,
    pub(super) wake: Wake,
    pub(super) pulse: Arc<Pulse>,
    /// Our partitions; `None` between a revocation and the next assignment.
    pub(super) assigned: Option<Vec<TopicPartition>>,
    /// Numbers what is asked: answers to earlier questions are dropped.
    pub(super) generation: u64,
    /// The group's generation that gave us our partitions; -1 before the first.
    pub(super) assigned_in: i32,
    /// Partition 0 of the leader topic is ours as well.
    pub(super) leads: bool,
    /// What the assignment needs has been asked for and not come.
    pub(super) asking: bool,
    pub(super) ask_again: Option<Instant>,
    pub(super) rejoin: Rejoin,
    pub(super) confirmed: Confirmed,
    pub(super) backoff: Backoff,
    /// Topics that have refused records for what they are.
    pub(super) standing: HashMap<String, Standing>,
    /// Commits that failed the same way in a row, and how.
    pub(super) strikes: (u32, String),
    /// Timeout for adding offsets to the next transaction.
    pub(super) patience: Duration,
    /// The last commit did not come about.
    pub(super) failing: bool,
    pub(super) last_commit: Instant,
    /// When the group last took this worker for a member.
    pub(super) proven: Instant,
    pub(super) last_purge: Instant,
    pub(super) looking: Looking,
    /// Something may have to be committed.
    pub(super) pending: bool,
    /// Watermarks may have to be committed.
    pub(super) heard: bool,
    /// What ends the worker once this thread has left in order.
    fatal: Option<Error>,
    pub(super) meters: CommitMeters,
    last_round: Instant,
    /// Time of the last look at what holds time back.
    looked: Instant,
    pub(super) batch: Batch,
    headers: Vec<u8>,
    pub(super) events: Vec<GroupEvent>,
    replies: Receiver<Reply>,
    pub(super) answer: Sender<Reply>,
    pub(super) seen: Seen,
    pub(super) ahead: Ahead,
}

/// Says what a thread waits for that cannot start transactions.
fn say_waiting(worker: &Shared, fault: &Fault, spent: Duration) {
    const LOG: &str = "__transaction_state";
    let why = match worker.admin.topic(LOG) {
        Ok(None) => format!(
            "the cluster shows no `{LOG}`: where it cannot make it, its `transaction.state.log.replication.factor` is larger than its number of brokers"
        ),
        Ok(Some(_)) => "an earlier transaction of this worker has to end or time out first, or the coordinator is away".to_owned(),
        Err(fault) => fault.to_string(),
    };
    tracing::warn!(
        "waiting for the coordinator of transactions for {} s: {why}; {fault}",
        spent.as_secs()
    );
}

impl StreamThread {
    /// Makes the clients. Does not join the group yet.
    pub(super) fn new(
        worker: Arc<Shared>,
        number: usize,
        storer: StorerClient,
        pulse: Arc<Pulse>,
    ) -> Result<Self, Error> {
        let wake = Wake::new();
        worker.stop.wakes(&wake);
        let bell = wake.clone();
        let storer = storer.ringing(move || bell.wake());
        let outlet = Self::outlet(&worker, number)?;
        let member = Self::member(&worker, number, &wake)?;
        let (answer, replies) = channel();
        worker.handle.open(number, answer.clone(), wake.clone());
        let now = Instant::now();
        Ok(Self {
            number,
            partitions: Vec::new(),
            down: Vec::new(),
            failures: HashMap::new(),
            stalled: HashMap::new(),
            gone: BTreeSet::new(),
            readers: Vec::new(),
            member,
            outlet,
            storer,
            wake,
            pulse,
            assigned: None,
            leads: false,
            generation: 0,
            assigned_in: -1,
            heard: false,
            asking: false,
            ask_again: None,
            rejoin: Rejoin::default(),
            confirmed: Confirmed::default(),
            backoff: Backoff::default(),
            standing: HashMap::new(),
            strikes: (0, String::new()),
            patience: commit::OFFSETS,
            failing: false,
            last_commit: now,
            proven: now,
            last_purge: now,
            looking: Looking::new(),
            pending: false,
            fatal: None,
            meters: CommitMeters::new(number),
            last_round: now,
            looked: now,
            batch: Batch::new(BATCH),
            headers: Vec::new(),
            events: Vec::new(),
            replies,
            answer,
            seen: Seen::default(),
            ahead: Ahead::of(&worker),
            worker,
        })
    }

    /// A producer for this thread; a broker in trouble is waited for.
    pub(super) fn outlet(worker: &Shared, number: usize) -> Result<Outlet, Error> {
        let id = worker.transactional_id(&worker.writer(number));
        let mut backoff = Backoff::default();
        loop {
            match Outlet::new(
                &worker.settings.properties,
                worker.settings.exactly_once,
                &id,
                |spent| spent < INIT && !worker.stop.is_asked(),
                |fault, spent| say_waiting(worker, fault, spent),
            ) {
                Ok(outlet) => return Ok(outlet),
                Err(fault) if fault.kind() == FaultKind::Retriable && !worker.stop.is_asked() => {
                    let wait = backoff.fail(Instant::now());
                    tracing::debug!(thread = number, "{fault}; with another producer");
                    std::thread::sleep(wait);
                }
                Err(fault) if fault.kind() == FaultKind::Retriable => {
                    return Err(worker.stop.excuse(fault.into()));
                }
                Err(fault) if fault.is_unsupported() && worker.settings.exactly_once => {
                    return Err(Error::from(fault).context(
                        "a broker without transactions needs --processing-guarantee at-least-once",
                    ));
                }
                Err(fault) => return Err(fault.with_cure(&worker.settings.properties).into()),
            }
        }
    }

    /// The loop, until the worker is asked to stop.
    ///
    /// # Errors
    /// The thread cannot go on: the whole worker ends.
    pub(super) async fn run(&mut self) -> Result<(), Error> {
        self.join()?;
        loop {
            self.pulse.at(Stand::Group);
            self.serve_group().await?;
            if self.worker.stop.is_asked() {
                self.pulse.at(Stand::Ends);
                self.leave().await?;
                return self.fatal.take().map_or(Ok(()), Err);
            }
            self.pulse.at(Stand::Answers);
            self.take_replies()?;
            self.take_stored();
            self.pulse.at(Stand::Recovery);
            let mut busy = self.recover()?;
            self.pulse.at(Stand::Work);
            if self.backoff.waits(Instant::now()).is_none() {
                let (moved, commit_due) = self.process();
                busy |= moved;
                let since = self.last_commit.elapsed();
                if self.pending && (commit_due || since >= self.worker.settings.commit_interval)
                    || self.heard && since >= HEARD
                {
                    self.pulse.at(Stand::Commit);
                    self.commit()?;
                    self.purge();
                }
            }
            self.pulse.at(Stand::Store);
            self.bring_back();
            self.tell_stalled()?;
            self.look_at_times();
            self.write_rounds();
            self.pulse.at(Stand::Rest);
            if busy {
                self.unsettle();
                // Lets timers and sockets that agents wait for come in.
                tokio::task::yield_now().await;
            } else {
                self.settle();
                self.rest().await;
            }
        }
    }

    fn take_replies(&mut self) -> Result<(), Error> {
        while let Ok(reply) = self.replies.try_recv() {
            match reply {
                Reply::Found {
                    generation,
                    task,
                    result,
                } if generation == self.generation => match task {
                    None => self.found(result)?,
                    Some(task) => self.found_one(task, result)?,
                },
                Reply::Ends {
                    generation,
                    task,
                    lull,
                    result,
                } if generation == self.generation => match lull {
                    None => self.ends(task, result),
                    Some(lull) => self.lull_ends(task, lull, result),
                },
                Reply::Read(request) => self.read(request),
                Reply::Unfit { task, why } => self.unfit(task, why),
                Reply::Confirmed {
                    generation,
                    confirmation,
                } => self.confirmed(generation, confirmation),
                _ => {}
            }
        }
        Ok(())
    }

    fn take_stored(&mut self) {
        while let Some(stored) = self.storer.try_done() {
            if let (Some(at), Err(error)) =
                (storing::done(&mut self.partitions, &stored), stored.result)
            {
                self.fail(at, &error.into());
            }
        }
    }

    /// Fills inboxes and runs tasks. Returns whether anything moved, and whether a commit is due.
    fn process(&mut self) -> (bool, bool) {
        let (mut busy, mut commit_due) = (false, false);
        let now = self.worker.now();
        self.look_at_sources();
        for at in 0..self.partitions.len() {
            if self.sits_out(at) {
                continue;
            }
            let partition = &mut self.partitions[at];
            // With a full cache it waits for the store, whose end wakes the thread.
            if !partition.is_running() || partition.task.is_full() {
                continue;
            }
            let read = partition.read(&mut self.batch, &mut self.headers);
            partition.brought = read.items > 0;
            let result = partition.task.run(now);
            let (more, due) = result
                .as_ref()
                .map_or((false, false), |turn| (turn.more, turn.commit_due));
            let processed = partition.task.processed();
            // Ticks are committed like other events, and leave a quiet input quiet.
            let ticks = partition.task.ticks();
            let ticked = std::mem::replace(&mut partition.ticks, ticks) != ticks;
            let moved = read.items > 0 || processed != partition.seen;
            partition.seen = processed;
            self.pending |= moved || ticked || partition.task.is_dirty();
            let heard = partition.task.heard();
            let passed = std::mem::replace(&mut partition.heard, heard) != heard || read.passed > 0;
            self.heard |= passed;
            busy |= passed;
            busy |= moved || ticked || more || (partition.task.is_woken() && result.is_ok());
            commit_due |= due;
            if let Some(fault) = read.error {
                self.unreadable(at, fault);
                continue;
            }
            if let Err(failure) = result {
                self.failed_task(at, failure);
                continue;
            }
            self.watch_idle(at, moved, now.wall, now.mono);
            self.watch_lulls(at, now.mono);
            self.watch_retries(at);
        }
        (busy, commit_due)
    }

    /// A task said that it cannot go on, or that nobody can.
    pub(super) fn failed_task(&mut self, at: usize, failure: TaskFailure) {
        if !failure.fatal {
            self.fail(at, &failure.error);
            return;
        }
        // The others end in order, and what is acknowledged is committed.
        self.lose(at, &failure.error);
        self.fatal.get_or_insert(failure.error);
        self.worker.handle.stop.ask();
    }

    fn watch_retries(&mut self, at: usize) {
        let partition = &mut self.partitions[at];
        let retrying = partition.task.retrying();
        if retrying == partition.retrying {
            return;
        }
        partition.retrying = retrying;
        let state = match retrying {
            None => PartitionState::Running,
            Some(retrying) => PartitionState::Retrying(Retry {
                why: format!(
                    "agent `{}` failed at {}",
                    retrying.agent,
                    partition.task.whereabouts()
                ),
                failed: retrying.failed,
                at: self.worker.began + Duration::from_millis(retrying.at),
            }),
        };
        self.worker.status.retries(partition.name, state);
    }

    /// Looks what holds back the time of tasks behind a hop.
    fn look_at_times(&mut self) {
        if self.looked.elapsed() < REST {
            return;
        }
        self.looked = Instant::now();
        let behind = |p: &&mut Partition| p.is_running() && p.task.is_behind_a_hop();
        for partition in self.partitions.iter_mut().filter(behind) {
            let held = partition.held();
            self.worker.status.holds(partition.name, held);
        }
    }

    fn write_rounds(&mut self) {
        let rows = |p: &Partition| {
            (0..p.tables.len())
                .map(|at| p.task.unstored(at))
                .sum::<usize>()
        };
        // Also of tasks that recover: their tables may be larger than the cache.
        for partition in self.partitions.iter_mut().filter(|p| p.task.is_full()) {
            partition.store(&mut self.storer, super::shared::wall());
        }
        let due = self.last_round.elapsed() >= self.worker.settings.store_interval;
        if !due && self.partitions.iter().map(rows).sum::<usize>() < ROUND_ROWS {
            return;
        }
        self.last_round = Instant::now();
        self.store_rows();
        self.look_for_others();
    }

    /// Hands all rows that await the store to the storer.
    pub(super) fn store_rows(&mut self) {
        crate::error::quiet::say_left_out(false);
        crate::kafka::say_over();
        let wall = super::shared::wall();
        for partition in self.partitions.iter_mut().filter(|p| p.is_running()) {
            partition.store(&mut self.storer, wall);
            partition.say_late();
        }
    }

    /// Waits for the first of: something to read, an agent, the group, an answer, the next deadline.
    async fn rest(&mut self) {
        let now = Instant::now();
        let mut until = now + REST;
        if self.pending {
            until = until.min(self.last_commit + self.worker.settings.commit_interval);
        }
        if self.heard {
            until = until.min(self.last_commit + HEARD);
        }
        if let Some(at) = self.backoff.waits(now) {
            until = at.min(now + REST);
        }
        for at in [self.ask_again, self.rejoin.at].into_iter().flatten() {
            until = until.min(at);
        }
        for at in self.down.iter().filter_map(Down::due) {
            until = until.min(at);
        }
        // While a failed commit is waited for, nothing is begun.
        let begins = self.backoff.waits(now).is_none();
        for partition in self.partitions.iter().filter(|p| begins && p.is_running()) {
            if let Some(mono) = partition.task.next_wake() {
                until = until.min(self.worker.began + Duration::from_millis(mono));
            }
            if let Some(after) = partition.task.idle_after() {
                until = until.min(now + IDLE_REST.min(Duration::from_millis(after.max(1))));
            }
            if let Some(idle) = self.worker.settings.source_idle
                && partition.waits_to_rest()
            {
                until = until.min(now + IDLE_REST.min(idle.max(Duration::from_millis(1))));
            }
        }
        if until <= now {
            tokio::task::yield_now().await;
            return;
        }
        let wake = self.wake.clone();
        let _ = tokio::time::timeout_at(until.into(), wake.wait()).await;
    }
}
