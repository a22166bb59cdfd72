//! What the stream threads of one worker share. Nothing of it is touched on a record's way.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::handle::WorkerHandle;
use super::settings::WorkerSettings;
use super::shutdown_signal::ShutdownSignal;
use super::status::Status;
use super::topics::Unfit;
use crate::kafka::{Admin, TopicPartition};
use crate::store::Store;
use crate::sync::Mutex;
use crate::task::{Limits, Now, States};
use crate::topology::SubTopology;

/// What a last commit may take beyond the time that agents have to end.
const GRACE: Duration = Duration::from_secs(5);

/// What is known of the app's topics.
pub(super) struct TopicFacts {
    /// Bytes that each dead-letter topic takes in one message.
    pub(super) dead_letters: HashMap<String, usize>,
    /// What the client and the topics take.
    pub(super) limits: Arc<Limits>,
    /// How long each changelog keeps its tombstones.
    pub(super) tombstones: HashMap<String, Duration>,
    /// Partitions of each sub-topology's inputs, as they were when the worker began.
    pub(super) counts: Vec<i32>,
    /// Sub-topologies whose topics have settings with which they must not go on.
    pub(super) unfit: Arc<Unfit>,
    /// The broker does not let the app delete records: said once, and not tried again.
    pub(super) purge_refused: AtomicBool,
}

/// Writers that are gone and whose transactions this worker has ended, see [`succession`](super::succession).
pub(super) struct EndedWriters {
    pub(super) names: Mutex<BTreeSet<String>>,
    /// The generation of the group in which they were looked for last.
    pub(super) generation: AtomicI32,
}

impl Default for EndedWriters {
    fn default() -> Self {
        EndedWriters {
            names: Mutex::default(),
            generation: AtomicI32::new(-1),
        }
    }
}

/// The worker, as its threads see it.
pub(super) struct WorkerContext {
    /// The name on the wire: group id, and the beginning of transactional ids.
    pub(super) app: String,
    /// The topic in which workers tell of themselves.
    pub(super) workers_topic: String,
    pub(super) settings: WorkerSettings,
    pub(super) topologies: Vec<Arc<SubTopology>>,
    pub(super) states: Arc<States>,
    pub(super) admin: Arc<Admin>,
    pub(super) store: Arc<dyn Store>,
    pub(super) status: Arc<Status>,
    pub(super) handle: Arc<WorkerHandle>,
    pub(super) stop: ShutdownSignal,
    /// Identity of the worker's slot: the same after a restart.
    pub(super) slot: uuid::Uuid,
    pub(super) topics: TopicFacts,
    pub(super) succession: EndedWriters,
    /// Begin of monotonic time.
    pub(super) began: Instant,
    /// One per stream thread.
    pub(super) views: Vec<View>,
    /// Threads whose clients are made.
    pub(super) ready: AtomicUsize,
}

impl WorkerContext {
    /// The name of a stream thread among all writers of the app: the same after a restart.
    pub(super) fn writer(&self, thread: usize) -> String {
        format!("{}-{thread}", self.slot.simple())
    }

    /// The id of a writer's transactions.
    pub(super) fn transactional_id(&self, writer: &str) -> String {
        format!("{}-{writer}", self.app)
    }

    /// Both clocks.
    pub(super) fn now(&self) -> Now {
        Now {
            wall: crate::clock::wall_ms(),
            mono: self.began.elapsed().as_millis() as u64,
        }
    }

    /// Returns why a coordinator may not answer: the cluster cannot make the `log` that it keeps, whose replicas
    /// `setting` says, or `otherwise`.
    pub(super) fn why_no_coordinator(&self, log: &str, setting: &str, otherwise: &str) -> String {
        match self.admin.topic(log) {
            Ok(None) => format!(
                "the cluster shows no `{log}`: where it cannot make it, its `{setting}` is larger than its number of brokers"
            ),
            Ok(Some(_)) => otherwise.to_owned(),
            Err(fault) => fault.to_string(),
        }
    }

    /// The worker was asked to end, and its time for that is over: the broker is not waited for any more.
    pub(super) fn is_late(&self) -> bool {
        let bound = self.settings.shutdown_timeout + GRACE;
        self.stop
            .ends_since()
            .is_some_and(|at| at.elapsed() >= bound)
    }

    /// Waits until every thread's clients are made: members that join together are given their
    /// partitions once, not each time another comes.
    pub(super) fn join_together(&self) {
        self.ready.fetch_add(1, Ordering::AcqRel);
        while self.ready.load(Ordering::Acquire) < self.views.len() && !self.stop.is_asked() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// All input topics that the group shares out, each once.
    pub(super) fn input_topics(&self) -> Vec<&str> {
        let mut topics: Vec<&str> = self
            .topologies
            .iter()
            .flat_map(|topology| topology.timely_inputs())
            .map(|input| input.topic.as_str())
            .collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}

/// What a stream thread says of itself to whoever waits for the worker to catch up.
#[derive(Debug, Default)]
pub(super) struct View(Mutex<Seen>);

/// A thread's last word.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    /// Changes with everything the thread does, ticks of timers left out: they go on for ever.
    pub(super) epoch: u64,
    /// All that came is processed and committed, and nothing waits for its time.
    pub(super) settled: bool,
    /// How far the committed inputs are.
    pub(super) places: Vec<(TopicPartition, i64)>,
}

impl View {
    pub(super) fn get(&self) -> Seen {
        self.0.lock().clone()
    }

    pub(super) fn set(&self, seen: Seen) {
        *self.0.lock() = seen;
    }
}
