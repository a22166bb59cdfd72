//! A stream thread: one consumer, one producer, the tasks of its partitions, and the loop over them.

use super::messages::Reply;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::ahead::Ahead;
use super::backoff::Backoff;
use super::commit_producer::{Outlet, SEND_OFFSETS_TIMEOUT};
use super::context::{Seen, WorkerContext};
use super::failed::Stalled;
use super::failed::{Down, Failures};
use super::metrics::CommitMeters;
use super::partition::Partition;
use super::questions::Confirmed;
use super::sent::Standing;
use super::status::TaskName;
use super::strangers::Looking;
use crate::error::Error;
use crate::kafka::{
    Batch, Fault, FaultKind, GroupConsumer, GroupEvent, Reader, TopicPartition, Wake,
};
use crate::store::StorerClient;
use crate::task::Pulse;

/// Records read from a queue at once.
const BATCH_RECORDS: usize = 1_024;
/// How long a producer may take to begin before another one is made.
const INIT_TRANSACTIONS_TIMEOUT: Duration = Duration::from_secs(30);

/// When a fenced member joins again.
#[derive(Debug, Default)]
pub(super) struct Rejoin {
    pub(super) backoff: Backoff,
    pub(super) fenced: Option<Instant>,
    pub(super) at: Option<Instant>,
}

/// A thread's place in the group, and the partitions that go with it.
pub(super) struct Membership {
    pub(super) member: GroupConsumer,
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
    /// When it is said next that the group has given no partitions; `None` while it has.
    pub(super) say_waiting: Option<Instant>,
    /// When the group last took this worker for a member.
    pub(super) proven: Instant,
    pub(super) confirmed: Confirmed,
    pub(super) events: Vec<GroupEvent>,
}

impl Membership {
    fn new(member: GroupConsumer) -> Self {
        Membership {
            member,
            assigned: None,
            generation: 0,
            assigned_in: -1,
            leads: false,
            asking: false,
            ask_again: None,
            rejoin: Rejoin::default(),
            say_waiting: None,
            proven: Instant::now(),
            confirmed: Confirmed::default(),
            events: Vec::new(),
        }
    }
}

/// A thread's producer, and how its commits go.
pub(super) struct Committer {
    pub(super) outlet: Outlet,
    pub(super) backoff: Backoff,
    /// Topics that have refused records for what they are.
    pub(super) standing: HashMap<String, Standing>,
    /// Commits that failed the same way in a row, and how.
    pub(super) strikes: (u32, String),
    /// Timeout for adding offsets to the next transaction.
    pub(super) patience: Duration,
    /// The last commit did not succeed.
    pub(super) failing: bool,
    pub(super) last_commit: Instant,
    pub(super) last_purge: Instant,
    /// Something may have to be committed.
    pub(super) pending: bool,
    /// Watermarks may have to be committed.
    pub(super) heard: bool,
    pub(super) meters: CommitMeters,
}

impl Committer {
    fn new(outlet: Outlet, thread: usize) -> Self {
        Committer {
            outlet,
            backoff: Backoff::default(),
            standing: HashMap::new(),
            strikes: (0, String::new()),
            patience: SEND_OFFSETS_TIMEOUT,
            failing: false,
            last_commit: Instant::now(),
            last_purge: Instant::now(),
            pending: false,
            heard: false,
            meters: CommitMeters::new(thread),
        }
    }
}

/// The tasks of a thread: those that run or recover, and those that failed.
#[derive(Default)]
pub(super) struct TaskSet {
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
}

/// What a thread reads into, kept from one read to the next.
pub(super) struct Reading {
    pub(super) batch: Batch,
    pub(super) headers: Vec<u8>,
}

/// A stream thread.
pub(super) struct StreamThread {
    pub(super) number: usize,
    pub(super) worker: Arc<WorkerContext>,
    pub(super) wake: Wake,
    pub(super) pulse: Arc<Pulse>,
    pub(super) group: Membership,
    pub(super) commits: Committer,
    pub(super) tasks: TaskSet,
    pub(super) storer: StorerClient,
    pub(super) last_round: Instant,
    pub(super) ahead: Ahead,
    pub(super) looking: Looking,
    /// Time of the last look at what holds time back.
    pub(super) looked: Instant,
    /// What ends the worker once this thread has left in order.
    pub(super) fatal: Option<Error>,
    pub(super) reading: Reading,
    /// What others have found for this thread, or ask of it, and the way to tell it.
    pub(super) replies: (Sender<Reply>, Receiver<Reply>),
    pub(super) seen: Seen,
}

/// Says what a thread waits for that cannot start transactions.
fn say_waiting(worker: &WorkerContext, fault: &Fault, spent: Duration) {
    let why = worker.why_no_coordinator(
        "__transaction_state",
        "transaction.state.log.replication.factor",
        "an earlier transaction of this worker has to end or time out first, or the coordinator is away",
    );
    tracing::warn!(
        "waiting for the coordinator of transactions for {} s: {why}; {fault}",
        spent.as_secs()
    );
}

impl StreamThread {
    /// Makes the clients. Does not join the group yet.
    pub(super) fn new(
        worker: Arc<WorkerContext>,
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
        Ok(Self {
            number,
            wake,
            pulse,
            group: Membership::new(member),
            commits: Committer::new(outlet, number),
            tasks: TaskSet::default(),
            storer,
            last_round: Instant::now(),
            ahead: Ahead::of(&worker),
            looking: Looking::new(),
            looked: Instant::now(),
            fatal: None,
            reading: Reading {
                batch: Batch::new(BATCH_RECORDS),
                headers: Vec::new(),
            },
            replies: (answer, replies),
            seen: Seen::default(),
            worker,
        })
    }

    /// A producer for this thread; a broker in trouble is waited for.
    pub(super) fn outlet(worker: &WorkerContext, number: usize) -> Result<Outlet, Error> {
        let id = worker.transactional_id(&worker.writer(number));
        let mut backoff = Backoff::default();
        loop {
            match Outlet::new(
                &worker.settings.properties,
                worker.settings.exactly_once,
                &id,
                |spent| spent < INIT_TRANSACTIONS_TIMEOUT && !worker.stop.is_asked(),
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
}
