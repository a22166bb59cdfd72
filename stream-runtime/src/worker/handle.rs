//! A running worker as what runs beside its stream threads sees it.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Stop;
use super::status::{PartitionState, Status, TaskName};
use super::thread::Reply;
use crate::error::{Error, Kind};
use crate::kafka::{Admin, TopicPartition, Wake};
use crate::topology::{Plan, TableDescriptor};

/// A worker from outside: what its partitions do, whether it leads, the rows it has, how to stop it. Nothing of it is
/// touched on a record's way.
pub(crate) struct WorkerHandle {
    pub(crate) stop: Stop,
    pub(crate) status: Arc<Status>,
    /// One per stream thread.
    threads: Mutex<Vec<Thread>>,
    facts: Mutex<Option<Arc<Facts>>>,
    /// Next offsets of the inputs, as committed.
    places: Mutex<BTreeMap<TopicPartition, i64>>,
}

/// What is known once the topics are there.
struct Facts {
    tables: HashMap<&'static str, Home>,
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
    /// The tasks that it runs.
    tasks: Vec<TaskName>,
}

/// Where the rows of a table are.
struct Home {
    topology: usize,
    table: usize,
    partitions: i32,
}

/// Somebody asks a stream thread for a committed row.
pub(super) struct ReadRequest {
    pub(super) task: TaskName,
    pub(super) table: usize,
    /// The row's layout key.
    pub(super) key: Vec<u8>,
    pub(super) answer: oneshot::Sender<Result<Option<Vec<u8>>, Error>>,
}

impl WorkerHandle {
    pub(crate) fn new(stop: Stop, status: Status) -> Arc<Self> {
        Arc::new(WorkerHandle {
            stop,
            status: Arc::new(status),
            threads: Mutex::default(),
            facts: Mutex::default(),
            places: Mutex::default(),
        })
    }

    /// The plan and its partitions are known; so many threads will come. Again when the worker begins anew.
    pub(super) fn begin(&self, plan: &Plan, counts: &[i32], threads: usize, admin: &Arc<Admin>) {
        let mut tables = HashMap::new();
        for (topology, partitions) in plan.topologies.iter().zip(counts) {
            for (table, planned) in topology.tables.iter().enumerate() {
                let home = Home {
                    topology: topology.index,
                    table,
                    partitions: *partitions,
                };
                tables.insert(planned.descriptor.name, home);
            }
        }
        let facts = Arc::new(Facts {
            tables,
            admin: Arc::clone(admin),
        });
        *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = Some(facts);
        self.status.begin(plan);
        self.places().clear();
        let mut all = self.threads();
        all.clear();
        all.resize_with(threads, Thread::default);
    }

    fn facts(&self) -> Option<Arc<Facts>> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        facts.clone()
    }

    pub(super) fn open(&self, thread: usize, sender: Sender<Reply>, wake: Wake) {
        self.of(thread, |thread| thread.door = Some((sender, wake)));
    }

    pub(super) fn assigned(&self, thread: usize, leads: bool) {
        self.of(thread, |thread| {
            (thread.assigned, thread.leads) = (true, leads);
        });
    }

    pub(super) fn revoked(&self, thread: usize) {
        self.of(thread, |thread| {
            (thread.assigned, thread.leads) = (false, false);
            thread.tasks.clear();
        });
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
    }

    fn threads(&self) -> MutexGuard<'_, Vec<Thread>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offsets between what is committed and the end of each input; asks the broker, and blocks for it.
    pub(crate) fn lags(&self) -> Vec<(TopicPartition, i64)> {
        let (inputs, places): (Vec<_>, Vec<_>) = self.places().clone().into_iter().unzip();
        let ends = self.facts().map(|facts| facts.admin.ends(&inputs));
        let Some(Ok(ends)) = ends else {
            return Vec::new();
        };
        let lags = ends
            .iter()
            .zip(places)
            .map(|(end, place)| (end - place).max(0));
        inputs.into_iter().zip(lags).collect()
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

    /// Whether all partitions that this worker has are running.
    pub(crate) fn is_ready(&self) -> bool {
        let runs = |state: &PartitionState| {
            matches!(state, PartitionState::Running | PartitionState::Revoked)
        };
        self.has_recovered() && !self.is_any(|state| !runs(state))
    }

    fn is_any(&self, so: impl Fn(&PartitionState) -> bool) -> bool {
        self.status.snapshot().iter().any(|view| so(&view.state))
    }

    /// The committed row of a key: its bytes, from the partition that the key's wire form belongs to.
    ///
    /// # Errors
    /// The partition is not with this worker, or its store does not read.
    pub(crate) async fn read(
        &self,
        table: &'static TableDescriptor,
        wire_key: &[u8],
        layout_key: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let facts = self.facts();
        let Some(home) = facts
            .as_ref()
            .and_then(|facts| facts.tables.get(table.name))
        else {
            let text = format!(
                "table `{}`: the worker is not that far yet: ask again",
                table.name
            );
            return Err(Error::new(Kind::Stopped, text));
        };
        let partition = crate::key::partition_of(wire_key, home.partitions);
        let task = (home.topology, partition);
        let (answer, row) = oneshot::channel();
        let sent = {
            let threads = self.threads();
            let owner = threads.iter().find(|thread| thread.tasks.contains(&task));
            owner
                .and_then(|thread| thread.door.as_ref())
                .is_some_and(|(sender, wake)| {
                    let request = ReadRequest {
                        task,
                        table: home.table,
                        key: layout_key,
                        answer,
                    };
                    let sent = sender.send(Reply::Read(request)).is_ok();
                    wake.wake();
                    sent
                })
        };
        let answered = if sent { row.await.ok() } else { None };
        answered.unwrap_or_else(|| Err(self.elsewhere(table.name, wire_key, task)))
    }

    /// Why a partition's rows cannot be had here.
    fn elsewhere(&self, table: &str, wire_key: &[u8], task: TaskName) -> Error {
        let view = self
            .status
            .snapshot()
            .into_iter()
            .find(|view| view.task == task);
        let why = match view.map(|view| view.state) {
            None | Some(PartitionState::Revoked) => {
                "which another worker has: ask that one".to_owned()
            }
            Some(PartitionState::Failed(why)) => format!("which has stopped: {why}"),
            Some(state) => format!("which is not running here ({state}): ask again"),
        };
        let text = format!(
            "table `{table}`: key {:?} belongs to partition {}, {why}",
            String::from_utf8_lossy(wire_key),
            task.1
        );
        Error::new(Kind::Stopped, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_ready_when_all_that_it_was_given_runs() {
        let plan = Plan {
            app: "app".into(),
            topologies: Vec::new(),
            topics: BTreeMap::new(),
            patterns: Vec::new(),
        };
        let handle = WorkerHandle::new(Stop::new(), Status::of(&plan));
        assert!(!handle.has_recovered(), "nothing has begun");
        handle.threads().resize_with(2, Thread::default);
        handle.assigned(0, false);
        assert!(
            !handle.has_recovered(),
            "the second thread has no share yet"
        );
        handle.status.set((0, 1), PartitionState::Assigned);
        handle.assigned(1, true);
        assert!(!handle.has_recovered());
        assert!(handle.is_leader());
        handle.status.set((0, 1), PartitionState::Running);
        assert!(handle.is_ready());
        handle
            .status
            .set((0, 1), PartitionState::Failed("why".into()));
        assert!(handle.has_recovered() && !handle.is_ready());
        handle.status.set((0, 1), PartitionState::Revoked);
        assert!(handle.is_ready());
        handle.revoked(1);
        assert!(!handle.is_leader() && !handle.is_ready());
    }
}
