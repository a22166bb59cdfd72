//! A stream thread: one consumer, one producer, the tasks of its partitions, and the loop over them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::outlet::Outlet;
use super::partition::{Partition, Phase};
use super::rebalance::Found;
use super::recovery::Turned;
use super::shared::{Seen, Shared};
use super::status::{PartitionState, Retry, TaskName};
use super::storing;
use crate::error::Error;
use crate::kafka::{
    Batch, Fault, FaultKind, GroupConsumer, GroupEvent, Isolation, Reader, TopicPartition, Wake,
};
use crate::store::StorerClient;
use crate::task::Pulse;

/// Records read from a queue at once.
const BATCH: usize = 1_024;
/// Time between rounds of the store.
const ROUND: Duration = Duration::from_secs(5);
/// Rows that await the store at most, about.
const ROUND_ROWS: usize = 100_000;
/// Longest rest: events of the group are served this often at least.
const REST: Duration = Duration::from_secs(1);
/// The same while a table with `idle` has open windows.
const IDLE_REST: Duration = Duration::from_millis(500);

/// Answers that other threads found for this one.
pub(super) enum Reply {
    /// What an assignment needs to begin.
    Found {
        generation: u64,
        result: Result<Box<Found>, Fault>,
    },
    /// End offsets of a quiet task's inputs.
    Ends {
        generation: u64,
        task: TaskName,
        result: Result<Vec<i64>, Fault>,
    },
}

/// A stream thread.
pub(super) struct StreamThread {
    pub(super) number: usize,
    pub(super) worker: Arc<Shared>,
    pub(super) partitions: Vec<Partition>,
    /// Reads changelogs; made when the first is to be read.
    pub(super) reader: Option<Reader>,
    pub(super) member: GroupConsumer,
    pub(super) outlet: Outlet,
    pub(super) storer: StorerClient,
    pub(super) wake: Wake,
    pub(super) pulse: Arc<Pulse>,
    /// Our partitions; `None` between a revocation and the next assignment.
    pub(super) assigned: Option<Vec<TopicPartition>>,
    /// Numbers what is asked: answers to earlier questions are dropped.
    pub(super) generation: u64,
    /// What the assignment needs has been asked for and not come.
    pub(super) asking: bool,
    pub(super) ask_again: Option<Instant>,
    pub(super) backoff: Backoff,
    /// Commits that failed the same way in a row, and how.
    pub(super) strikes: (u32, String),
    pub(super) last_commit: Instant,
    /// Something may have to be committed.
    pub(super) pending: bool,
    last_round: Instant,
    batch: Batch,
    headers: Vec<u8>,
    events: Vec<GroupEvent>,
    replies: Receiver<Reply>,
    pub(super) answer: Sender<Reply>,
    seen: Seen,
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
        let settings = &worker.settings;
        let outlet = Self::outlet(&worker, number)?;
        let instance = settings
            .instance_id
            .as_ref()
            .map(|id| format!("{id}-{number}"));
        let member = GroupConsumer::new(
            &settings.properties,
            &worker.app,
            instance.as_deref(),
            &wake,
        )?;
        let (answer, replies) = channel();
        let now = Instant::now();
        Ok(Self {
            number,
            partitions: Vec::new(),
            reader: None,
            member,
            outlet,
            storer,
            wake,
            pulse,
            assigned: None,
            generation: 0,
            asking: false,
            ask_again: None,
            backoff: Backoff::default(),
            strikes: (0, String::new()),
            last_commit: now,
            pending: false,
            last_round: now,
            batch: Batch::new(BATCH),
            headers: Vec::new(),
            events: Vec::new(),
            replies,
            answer,
            seen: Seen::default(),
            worker,
        })
    }

    /// A producer for this thread; a broker in trouble is waited for.
    pub(super) fn outlet(worker: &Shared, number: usize) -> Result<Outlet, Error> {
        let id = format!("{}-{}-{number}", worker.app, worker.slot.simple());
        let mut backoff = Backoff::default();
        loop {
            match Outlet::new(
                &worker.settings.properties,
                worker.settings.exactly_once,
                &id,
            ) {
                Ok(outlet) => return Ok(outlet),
                Err(fault) if fault.kind() == FaultKind::Retriable && !worker.stop.is_asked() => {
                    let wait = backoff.fail(Instant::now());
                    tracing::warn!(thread = number, "{fault}; trying again");
                    std::thread::sleep(wait);
                }
                Err(fault)
                    if fault.kind() == FaultKind::Refused && worker.settings.exactly_once =>
                {
                    return Err(Error::from(fault).context(
                        "a broker without transactions needs --processing-guarantee at-least-once",
                    ));
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// The loop, until the worker is asked to stop.
    ///
    /// # Errors
    /// The thread cannot go on: the whole worker ends.
    pub(super) async fn run(&mut self) -> Result<(), Error> {
        self.member.subscribe(&self.worker.input_topics())?;
        loop {
            self.serve_group().await?;
            if self.worker.stop.is_asked() {
                return self.leave().await;
            }
            self.take_replies()?;
            self.take_stored();
            let mut busy = self.recover()?;
            if self.backoff.waits(Instant::now()).is_none() {
                let (moved, commit_due) = self.process()?;
                busy |= moved;
                if self.pending
                    && (commit_due
                        || self.last_commit.elapsed() >= self.worker.settings.commit_interval)
                {
                    self.commit()?;
                }
            }
            self.write_rounds();
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

    async fn serve_group(&mut self) -> Result<(), Error> {
        let mut events = std::mem::take(&mut self.events);
        self.member.events(&mut events);
        for event in events.drain(..) {
            self.unsettle();
            match event {
                GroupEvent::Assigned(partitions) => self.assigned(partitions)?,
                GroupEvent::Revoked { partitions, lost } => {
                    self.revoked(partitions.len(), lost).await?;
                }
                GroupEvent::Failed(fault) => match fault.kind() {
                    FaultKind::Refused | FaultKind::Fatal => return Err(fault.into()),
                    _ => tracing::warn!(thread = self.number, "{fault}"),
                },
            }
        }
        self.events = events;
        if self.ask_again.is_some_and(|at| at <= Instant::now()) {
            self.ask_again = None;
            self.ask();
        }
        Ok(())
    }

    fn take_replies(&mut self) -> Result<(), Error> {
        while let Ok(reply) = self.replies.try_recv() {
            match reply {
                Reply::Found { generation, result } if generation == self.generation => {
                    self.found(result)?
                }
                Reply::Ends {
                    generation,
                    task,
                    result,
                } if generation == self.generation => self.ends(task, result),
                _ => {}
            }
        }
        Ok(())
    }

    fn take_stored(&mut self) {
        while let Some(stored) = self.storer.try_done() {
            storing::done(&mut self.partitions, &stored);
        }
    }

    /// One turn of every recovery. Returns whether there is more to do at once.
    fn recover(&mut self) -> Result<bool, Error> {
        let mut busy = false;
        let patience = self.patience();
        for at in 0..self.partitions.len() {
            let partition = &mut self.partitions[at];
            let Phase::Recovering(recovering) = &mut partition.phase else {
                continue;
            };
            let recovery = &mut recovering.recovery;
            let turned = recovery.turn(&mut partition.task, &mut self.batch, patience);
            match turned {
                Ok(Turned::Anew) => {
                    self.begin_anew();
                    return Ok(true);
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
            let partition = &self.partitions[at];
            if matches!(&partition.phase, Phase::Recovering(recovering) if recovering.recovery.is_done())
            {
                self.recovered(at)?;
                busy = true;
            }
        }
        let recovering = |p: &Partition| matches!(p.phase, Phase::Recovering(_));
        if self.reader.is_some() && !self.partitions.iter().any(recovering) {
            self.reader = None;
        }
        if let Some(reader) = &self.reader
            && let Err(fault) = reader.serve()
        {
            tracing::warn!(thread = self.number, "{fault}");
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

    /// Fills inboxes and runs tasks. Returns whether anything moved, and whether a commit is due.
    fn process(&mut self) -> Result<(bool, bool), Error> {
        let (mut busy, mut commit_due) = (false, false);
        let now = self.worker.now();
        for at in 0..self.partitions.len() {
            let partition = &mut self.partitions[at];
            if !partition.is_running() {
                continue;
            }
            let read = partition.read(&mut self.batch, &mut self.headers);
            let result = partition.task.run(now);
            let (more, due) = result
                .as_ref()
                .map_or((false, false), |turn| (turn.more, turn.commit_due));
            let processed = partition.task.processed();
            let moved = read.items > 0 || processed != partition.seen;
            partition.seen = processed;
            self.pending |= moved;
            busy |= moved || more || (partition.task.is_woken() && result.is_ok());
            commit_due |= due;
            if let Some(fault) = read.error {
                self.unreadable(at, fault)?;
                continue;
            }
            if let Err(failure) = result {
                if failure.fatal {
                    // What is acknowledged is committed before the worker ends.
                    self.partitions[at].task.drop_agents();
                    self.commit()?;
                    return Err(failure.error);
                }
                self.fail(at, &failure.error);
                self.pending = true;
                continue;
            }
            self.watch_idle(at, moved, now.wall, now.mono);
            self.watch_retries(at);
        }
        Ok((busy, commit_due))
    }

    /// A task that has been quiet for its tables' `idle` has its inputs' ends looked at afresh.
    fn watch_idle(&mut self, at: usize, moved: bool, wall: i64, mono: u64) {
        let partition = &mut self.partitions[at];
        let Some(after) = partition.task.idle_after() else {
            return;
        };
        let quiet = partition
            .idle
            .turn(mono, moved || !partition.task.is_quiet());
        if quiet == 0 {
            partition.idle_asked = false;
        }
        if quiet < after
            || partition.idle_asked
            || !partition.is_at_end()
            || !partition.task.can_idle(wall)
        {
            return;
        }
        partition.idle_asked = true;
        let (sources, task): (Vec<TopicPartition>, _) =
            (partition.sources().collect(), partition.name);
        let (generation, admin) = (self.generation, Arc::clone(&self.worker.admin));
        let (answer, wake) = (self.answer.clone(), self.wake.clone());
        tokio::task::spawn_blocking(move || {
            let result = admin.ends(&sources);
            let _ = answer.send(Reply::Ends {
                generation,
                task,
                result,
            });
            wake.wake();
        });
    }

    /// The ends of a quiet task's inputs have come.
    fn ends(&mut self, task: TaskName, result: Result<Vec<i64>, Fault>) {
        let Some(partition) = self
            .partitions
            .iter_mut()
            .find(|p| p.name == task && p.is_running())
        else {
            return;
        };
        if !std::mem::take(&mut partition.idle_asked) {
            return;
        }
        let at_end = result.is_ok_and(|ends| ends == partition.positions());
        if at_end && partition.task.idle(super::shared::wall()) {
            self.pending = true;
        } else {
            // No answer, or more to come: idle begins at zero.
            partition.idle.restart();
        }
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
        self.worker.status.set(partition.name, state);
    }

    /// A task cannot go on: its agents end, it keeps its place, the others go on.
    pub(super) fn fail(&mut self, at: usize, error: &Error) {
        let partition = &mut self.partitions[at];
        partition.task.drop_agents();
        partition.phase = Phase::Failed {
            last: partition.is_running(),
        };
        self.worker
            .status
            .set(partition.name, PartitionState::Failed(error.to_string()));
    }

    fn write_rounds(&mut self) {
        let rows = |p: &Partition| {
            (0..p.tables.len())
                .map(|at| p.task.unstored(at))
                .sum::<usize>()
        };
        let due = self.last_round.elapsed() >= ROUND;
        if !due && self.partitions.iter().map(rows).sum::<usize>() < ROUND_ROWS {
            return;
        }
        self.last_round = Instant::now();
        self.store_rows();
    }

    /// Hands all rows that await the store to the storer.
    pub(super) fn store_rows(&mut self) {
        let wall = super::shared::wall();
        for partition in self.partitions.iter_mut().filter(|p| p.is_running()) {
            partition.store(&mut self.storer, wall);
            partition.say_late();
        }
    }

    /// The reader of changelogs.
    pub(super) fn reader(&mut self) -> Result<&Reader, Error> {
        if self.reader.is_none() {
            let properties = &self.worker.settings.properties;
            self.reader = Some(Reader::new(
                properties,
                &self.worker.app,
                Isolation::Committed,
                &self.wake,
            )?);
        }
        self.reader
            .as_ref()
            .ok_or_else(|| Fault::new(FaultKind::Other, "make a reader", "there is none").into())
    }

    /// Waits for the first of: something to read, an agent, the group, an answer, the next deadline.
    async fn rest(&mut self) {
        let now = Instant::now();
        let mut until = now + REST;
        if self.pending {
            until = until.min(self.last_commit + self.worker.settings.commit_interval);
        }
        if let Some(at) = self.backoff.waits(now) {
            until = at.min(now + REST);
        }
        if let Some(at) = self.ask_again {
            until = until.min(at);
        }
        for partition in self.partitions.iter().filter(|p| p.is_running()) {
            if let Some(mono) = partition.task.next_wake() {
                until = until.min(self.worker.began + Duration::from_millis(mono));
            }
            if let Some(after) = partition.task.idle_after() {
                until = until.min(now + IDLE_REST.min(Duration::from_millis(after.max(1))));
            }
        }
        if until <= now {
            tokio::task::yield_now().await;
            return;
        }
        let wake = self.wake.clone();
        let _ = tokio::time::timeout_at(until.into(), wake.wait()).await;
    }

    /// Says to the worker that this thread has nothing to do, and how far it is.
    fn settle(&mut self) {
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
                .all(|p| p.is_failed() || (p.is_running() && p.is_settled(wall)));
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
    fn unsettle(&mut self) {
        if self.seen.settled {
            self.seen = Seen {
                epoch: self.seen.epoch + 1,
                ..Seen::default()
            };
            self.worker.views[self.number].set(self.seen.clone());
        }
    }
}
