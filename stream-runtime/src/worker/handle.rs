//! A running worker as what runs beside its stream threads sees it.

use super::workers::Held;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::mpsc::Sender;
use std::sync::{Arc, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use super::messages::Reply;
use super::replicas::Replicas;
use super::shutdown_signal::ShutdownSignal;
use super::status::{PartitionState, Status, TaskName};
use super::workers::Workers;
use crate::error::quiet;
use crate::kafka::{Admin, TopicPartition, Wake};
use crate::sync::Mutex;
use crate::topology::{Plan, TableDescriptor};

/// A worker whose commits have failed for so long is not ready.
const FAILING: Duration = Duration::from_secs(5);
/// Of a commit that failed so long ago, with none after it, nothing is left to do: another worker has done it.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// A worker from outside: what its partitions do, whether it leads, the rows it has, how to stop it. Nothing of it is
/// touched on a record's way.
pub(crate) struct WorkerHandle {
    pub(crate) stop: ShutdownSignal,
    pub(crate) status: Arc<Status>,
    /// All workers of the app, as they tell of themselves.
    pub(crate) workers: Workers,
    /// Its global tables.
    pub(crate) replicas: Replicas,
    /// This worker's own name among them, once it is known.
    name: OnceLock<String>,
    /// Where it can be asked.
    pub(super) address: OnceLock<String>,
    /// One per stream thread.
    threads: Mutex<Vec<Thread>>,
    facts: Mutex<Option<Arc<Facts>>>,
    /// Next offsets of the inputs, as committed.
    places: Mutex<BTreeMap<TopicPartition, i64>>,
    /// Text about somebody who is not a worker and commits in the group.
    others: Mutex<Option<String>>,
    /// Rung when partitions come or go.
    moved: Mutex<Option<Wake>>,
}

/// What is known once the topics are there.
pub(super) struct Facts {
    pub(super) tables: HashMap<&'static str, Home>,
    admin: Arc<Admin>,
}

/// A stream thread from outside.
#[derive(Default)]
struct Thread {
    /// How it is asked, and woken for that.
    door: Option<(Sender<Reply>, Wake)>,
    /// It has been given its share of the partitions.
    assigned: bool,
    leads: bool,
    /// The group's generation that gave it its share.
    generation: i32,
    /// The tasks that it runs.
    tasks: Vec<TaskName>,
    /// Where it stands when it does not turn.
    stands: Option<Standing>,
    /// Its commits fail.
    fails: Option<Failing>,
}

/// A stream thread that does not turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// For messages, after "in".
    pub(crate) place: String,
    pub(crate) seconds: u64,
    /// Longer than the group lets it keep its partitions: it is not expected to turn again.
    pub(crate) lost: bool,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, for {} s", self.place, self.seconds)
    }
}

/// Commits that fail one after the other.
#[derive(Clone, Debug)]
struct Failing {
    /// When the first of them began.
    since: Instant,
    /// When the last of them had failed.
    last: Instant,
    why: String,
}

impl Failing {
    /// It goes on for a while and has not ended: what is done again at once, as after a rebalance, is no reason to take
    /// a worker out of service.
    fn lasts(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= FAILING && now.duration_since(self.last) < FORGOTTEN
    }
}

/// Places of the rows of a table.
pub(super) struct Home {
    pub(super) topology: usize,
    pub(super) table: usize,
    pub(super) partitions: i32,
    pub(super) descriptor: &'static TableDescriptor,
}

impl WorkerHandle {
    pub(crate) fn new(stop: ShutdownSignal, status: Status) -> Arc<Self> {
        Arc::new(WorkerHandle {
            stop,
            status: Arc::new(status),
            workers: Workers::default(),
            replicas: Replicas::default(),
            name: OnceLock::new(),
            address: OnceLock::new(),
            threads: Mutex::default(),
            facts: Mutex::default(),
            places: Mutex::default(),
            others: Mutex::default(),
            moved: Mutex::default(),
        })
    }

    /// The worker has its slot.
    pub(super) fn is_called(&self, name: String, address: Option<String>) {
        let _ = self.name.set(name);
        if let Some(address) = address {
            let _ = self.address.set(address);
        }
    }

    /// Its name among the workers of the app.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.get().map(String::as_str)
    }

    /// The plan and its partitions are known; so many threads will come. Again when the worker starts again.
    pub(super) fn begin(&self, plan: &Plan, counts: &[i32], threads: usize, admin: &Arc<Admin>) {
        let mut tables = HashMap::new();
        for (topology, partitions) in plan.topologies.iter().zip(counts) {
            for (table, planned) in topology.tables.iter().enumerate() {
                let home = Home {
                    topology: topology.index,
                    table,
                    partitions: *partitions,
                    descriptor: planned.descriptor,
                };
                tables.insert(planned.descriptor.name, home);
            }
        }
        let facts = Arc::new(Facts {
            tables,
            admin: Arc::clone(admin),
        });
        *self.facts.lock() = Some(facts);
        self.status.begin(plan);
        self.places().clear();
        let mut all = self.threads();
        all.clear();
        all.resize_with(threads, Thread::default);
    }

    pub(super) fn facts(&self) -> Option<Arc<Facts>> {
        let facts = self.facts.lock();
        facts.clone()
    }

    pub(super) fn open(&self, thread: usize, sender: Sender<Reply>, wake: Wake) {
        self.of(thread, |thread| thread.door = Some((sender, wake)));
    }

    pub(super) fn assigned(&self, thread: usize, leads: bool, generation: i32) {
        self.of(thread, |thread| {
            (thread.assigned, thread.leads) = (true, leads);
            thread.generation = generation;
        });
    }

    pub(super) fn revoked(&self, thread: usize) {
        self.of(thread, |thread| {
            (thread.assigned, thread.leads) = (false, false);
            thread.tasks.clear();
            thread.fails = None;
        });
    }

    /// It does not turn and stands there; `None`: it turns again.
    pub(super) fn stands(&self, thread: usize, standing: Option<Standing>) {
        self.of(thread, |thread| thread.stands = standing);
    }

    /// The stream threads that do not turn, and where they stand.
    pub(crate) fn stuck(&self) -> Vec<(usize, Standing)> {
        let threads = self.threads();
        let stuck = |(number, thread): (usize, &Thread)| Some((number, thread.stands.clone()?));
        threads.iter().enumerate().filter_map(stuck).collect()
    }

    /// A commit that began then did not succeed.
    pub(super) fn commit_failed(&self, thread: usize, began: Instant, why: String) {
        let last = Instant::now();
        if let Some(thread) = self.threads().get_mut(thread) {
            // What failed long ago has come to an end since.
            let before = thread
                .fails
                .take()
                .filter(|fails| last - fails.last < FORGOTTEN);
            let since = before.map_or(began, |fails| fails.since);
            thread.fails = Some(Failing { since, last, why });
        }
    }

    /// A commit succeeded, after others that had not.
    pub(super) fn commit_came_about(&self, thread: usize) {
        if let Some(thread) = self.threads().get_mut(thread) {
            thread.fails = None;
        }
    }

    /// The stream threads whose commits fail: since when, and why the last one did.
    fn failing(&self, now: Instant) -> Vec<(usize, Duration, String)> {
        let threads = self.threads();
        let fails = |(number, thread): (usize, &Thread)| {
            let fails = thread.fails.as_ref().filter(|fails| fails.lasts(now))?;
            Some((number, now.duration_since(fails.since), fails.why.clone()))
        };
        threads.iter().enumerate().filter_map(fails).collect()
    }

    /// The task's tables are back, and its events are processed.
    pub(super) fn runs(&self, thread: usize, task: TaskName) {
        self.of(thread, |thread| thread.tasks.push(task));
    }

    pub(super) fn gone(&self, thread: usize, task: TaskName) {
        self.of(thread, |thread| thread.tasks.retain(|own| *own != task));
    }

    fn of(&self, thread: usize, change: impl FnOnce(&mut Thread)) {
        if let Some(thread) = self.threads().get_mut(thread) {
            change(thread);
        }
        if let Some(wake) = &*self.moved.lock() {
            wake.wake();
        }
    }

    /// Whom to wake when partitions come or go.
    pub(super) fn tells(&self, wake: Wake) {
        *self.moved.lock() = Some(wake);
    }

    /// The partitions of tables that run here.
    pub(super) fn held(&self) -> Held {
        let mut held = Held::default();
        let Some(facts) = self.facts() else {
            return held;
        };
        for thread in &*self.threads() {
            held.generation = held.generation.max(thread.generation);
            for (topology, partition) in &thread.tasks {
                let tables = facts.tables.iter();
                for (table, _) in tables.filter(|(_, home)| home.topology == *topology) {
                    let partitions = held.tables.entry((*table).to_owned()).or_default();
                    partitions.push(*partition);
                }
            }
        }
        held.tables.values_mut().for_each(|all| all.sort_unstable());
        held
    }

    /// Asks the thread that runs a task; `false` when none does.
    pub(super) fn ask(&self, task: TaskName, question: Reply) -> bool {
        let threads = self.threads();
        let owner = threads.iter().find(|thread| thread.tasks.contains(&task));
        let Some((sender, wake)) = owner.and_then(|thread| thread.door.as_ref()) else {
            return false;
        };
        let sent = sender.send(question).is_ok();
        wake.wake();
        sent
    }

    fn threads(&self) -> MutexGuard<'_, Vec<Thread>> {
        self.threads.lock()
    }

    /// What is committed of these inputs.
    pub(super) fn committed(&self, places: impl Iterator<Item = (TopicPartition, i64)>) {
        self.places().extend(places);
    }

    /// These inputs are not ours any more.
    pub(super) fn left(&self, inputs: impl Iterator<Item = TopicPartition>) {
        let mut places = self.places();
        for input in inputs {
            places.remove(&input);
        }
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, i64>> {
        self.places.lock()
    }

    /// Returns whether so many inputs are this worker's.
    pub(super) fn has(&self, inputs: usize) -> bool {
        self.places().len() >= inputs
    }

    /// Notes that somebody who is not a worker commits offsets of the app; `None`: nobody does.
    pub(super) fn others(&self, why: Option<String>) {
        *self.others.lock() = why;
    }

    /// Offsets between what is committed and the end of each input that this worker has; asks the broker, and blocks
    /// for it, up to 3 s. `None` where the broker does not say: that is not known, and not 0.
    pub(crate) fn lags(&self) -> Vec<(TopicPartition, Option<i64>)> {
        let (inputs, places): (Vec<_>, Vec<_>) = self.places().clone().into_iter().unzip();
        let Some(facts) = self.facts() else {
            return Vec::new();
        };
        let ends = facts.admin.each_end(&inputs);
        let ends = ends.unwrap_or_else(|fault| vec![Err(fault); inputs.len()]);
        let mut lags = Vec::with_capacity(inputs.len());
        for ((input, place), end) in inputs.into_iter().zip(places).zip(ends) {
            let lag = match end {
                Ok(end) => Some((end - place).max(0)),
                Err(fault) => {
                    if let Some(more) = quiet::news("lag", &fault.to_string()) {
                        tracing::warn!("the lag is not known: {fault}{}", quiet::and(more));
                    }
                    None
                }
            };
            lags.push((input, lag));
        }
        lags
    }

    /// Whether this worker has partition 0 of the leader topic.
    pub(crate) fn is_leader(&self) -> bool {
        self.threads().iter().any(|thread| thread.leads)
    }

    /// Whether every thread has its share and none of its partitions is on its way to running.
    pub(crate) fn has_recovered(&self) -> bool {
        let given = {
            let threads = self.threads();
            !threads.is_empty() && threads.iter().all(|thread| thread.assigned)
        };
        given
            && !self.is_any(|state| {
                matches!(
                    state,
                    PartitionState::Assigned | PartitionState::Recovering(_)
                )
            })
    }

    /// Whether all partitions that this worker has are running, all its threads turn, and their commits succeed.
    pub(crate) fn is_ready(&self) -> bool {
        self.unready().is_empty()
    }

    /// Reasons for which the worker is not ready, a line each; none when it is.
    pub(crate) fn unready(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (thread, standing) in self.stuck() {
            lines.push(format!(
                "stream thread {thread} does not turn: it stands in {standing}"
            ));
        }
        for (thread, lasts, why) in self.failing(Instant::now()) {
            lines.push(format!(
                "stream thread {thread} has not been able to commit for {} s: {why}",
                lasts.as_secs()
            ));
        }
        let waits = {
            let threads = self.threads();
            let without = threads.iter().filter(|thread| !thread.assigned).count();
            match threads.len() {
                0 => Some("the worker has not joined the group yet".to_owned()),
                all if without > 0 => Some(format!(
                    "{without} of {all} stream threads wait for the group to give them partitions"
                )),
                _ => None,
            }
        };
        lines.extend(waits);
        let others = self.others.lock();
        lines.extend(others.clone());
        drop(others);
        let runs = |state: &PartitionState| {
            matches!(state, PartitionState::Running | PartitionState::Revoked)
        };
        let views = self.status.snapshot().into_iter();
        let others = views.filter(|view| !runs(&view.state));
        lines.extend(others.map(|view| format!("{}: {}", view.label, view.state)));
        lines
    }

    /// Stream threads that are lost: only an end of the process gives their partitions to others.
    pub(crate) fn lost(&self) -> Vec<(usize, Standing)> {
        let mut stuck = self.stuck();
        stuck.retain(|(_, standing)| standing.lost);
        stuck
    }

    fn is_any(&self, so: impl Fn(&PartitionState) -> bool) -> bool {
        self.status.snapshot().iter().any(|view| so(&view.state))
    }
}

/// A worker that has not begun.
#[cfg(test)]
pub(super) fn idle() -> Arc<WorkerHandle> {
    let plan = Plan {
        app: "app".into(),
        topologies: Vec::new(),
        topics: BTreeMap::new(),
        patterns: Vec::new(),
        outside: Vec::new(),
    };
    WorkerHandle::new(ShutdownSignal::new(), Status::of(&plan))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_ready_when_all_that_it_was_given_runs() {
        let handle = idle();
        assert!(!handle.has_recovered(), "nothing has begun");
        handle.threads().resize_with(2, Thread::default);
        handle.assigned(0, false, 1);
        assert!(
            !handle.has_recovered(),
            "the second thread has no share yet"
        );
        handle.status.set((0, 1), PartitionState::Assigned);
        handle.assigned(1, true, 1);
        assert!(!handle.has_recovered());
        assert!(handle.is_leader());
        handle.status.set((0, 1), PartitionState::Running);
        assert!(handle.is_ready());
        let standing = |lost| Standing {
            place: "a commit".into(),
            seconds: 10,
            lost,
        };
        handle.stands(1, Some(standing(false)));
        assert!(!handle.is_ready() && handle.has_recovered());
        assert_eq!(
            handle.unready(),
            ["stream thread 1 does not turn: it stands in a commit, for 10 s"]
        );
        assert_eq!(handle.lost(), []);
        handle.stands(1, Some(standing(true)));
        assert_eq!(handle.lost(), [(1, standing(true))]);
        handle.stands(1, None);
        assert!(handle.is_ready(), "it turns again");
        handle
            .status
            .set((0, 1), PartitionState::Failed("why".into()));
        assert!(handle.has_recovered() && !handle.is_ready());
        handle.status.set((0, 1), PartitionState::Revoked);
        assert!(handle.is_ready());
        handle.revoked(1);
        assert!(!handle.is_leader() && !handle.is_ready());
    }

    #[test]
    fn a_worker_is_not_ready_while_its_commits_fail() {
        let handle = idle();
        handle.threads().resize_with(1, Thread::default);
        handle.assigned(0, true, 1);
        let now = Instant::now();
        handle.commit_failed(0, now, "once".into());
        assert!(handle.is_ready(), "it is done again at once");
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap();
        handle.commit_came_about(0);
        handle.commit_failed(0, ago(7), "the sink is gone".into());
        handle.commit_failed(0, ago(1), "the sink is gone".into());
        assert_eq!(
            handle.unready(),
            ["stream thread 0 has not been able to commit for 7 s: the sink is gone"]
        );
        let later = Instant::now() + FORGOTTEN;
        assert!(handle.failing(later).is_empty(), "others have done it");
        handle.commit_came_about(0);
        assert!(handle.is_ready());
        handle.commit_failed(0, ago(9), "away".into());
        handle.revoked(0);
        handle.assigned(0, true, 2);
        assert!(handle.is_ready(), "it is another's to commit");
    }
}
