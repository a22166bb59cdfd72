//! Who runs which task: assignments, crashes, rebalances.

use std::sync::Arc;

use super::cluster::Change;
use super::harness::Harness;
use super::workers::TestTask;
use crate::error::Error;
use crate::store::{Checkpoint, MemoryStore, Store, TreeWrite};
use crate::task::{Committed, Pulse, StartAt, Task, TaskParts};
use crate::topology::SubTopology;

impl Harness {
    /// Shares the partitions among the workers that are up, as Kafka's range assignor does, and opens every task from
    /// the cluster and what its worker has on its disk.
    pub(super) fn assign(&mut self) -> Result<(), Error> {
        self.seats.clear();
        self.assignment.generation += 1;
        let up: Vec<usize> = (0..self.workers.len())
            .filter(|at| self.workers[*at].up)
            .collect();
        let partitions = self.cluster.partitions;
        let each = (partitions as usize).div_ceil(up.len());
        for topology in 0..self.topologies.len() {
            for partition in 0..partitions {
                let share = partition as usize / each + self.assignment.shift;
                let seat = self.open(topology, partition, up[share % up.len()])?;
                self.seats.push(seat);
            }
        }
        Ok(())
    }

    fn open(&self, at: usize, partition: i32, worker: usize) -> Result<TestTask, Error> {
        let topology = &self.topologies[at];
        let store = &self.workers[worker].store;
        let mut trees = Vec::new();
        for table in &topology.tables {
            trees.push(match &table.changelog {
                Some(_) => Some(store.tree(table.descriptor.name, partition)?),
                None => None,
            });
        }
        let wake = Arc::clone(&self.wake);
        let mut task = Task::new(TaskParts {
            topology: Arc::clone(topology),
            partition,
            partitions: self.cluster.partitions,
            sources: {
                let inputs = topology.inputs.iter();
                let count = self.cluster.partitions;
                inputs
                    .map(|input| vec![count; input.feeders.len()])
                    .collect()
            },
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
            task.changelog_at(table, log.len() as i64);
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
        task.begin_in(self.assignment.generation);
        let starts = task.recovered(&committed)?;
        let starts: Vec<i64> = starts
            .into_iter()
            .map(|start| match start {
                StartAt::Offset(offset) => offset,
                StartAt::Default => 0,
            })
            .collect();
        task.begin_at(&starts);
        task.leave_out_calls(self.clock.calls_from);
        Ok(TestTask {
            task,
            worker,
            topology: at,
            partition,
            ends,
            busy: self.now.mono,
        })
    }

    /// Restarts every task with tables within its generation, as after a failure of its own.
    #[cfg(test)]
    pub(super) fn start_again_alone(&mut self) -> Result<(), Error> {
        for at in 0..self.seats.len() {
            let seat = &self.seats[at];
            if !seat.ends.is_empty() {
                self.seats[at] = self.open(seat.topology, seat.partition, seat.worker)?;
            }
        }
        Ok(())
    }

    fn changelog(&self, topology: usize, table: usize, partition: i32) -> &[Change] {
        let name = self.topologies[topology].tables[table].changelog.clone();
        name.and_then(|name| self.cluster.changelogs.get(&(name, partition)))
            .map_or(&[], Vec::as_slice)
    }

    /// Every process dies; they start again, with what is on their disks or with empty ones.
    pub(super) fn crash(&mut self, empty_disk: bool) -> Result<(), Error> {
        self.globals.forget();
        self.beside.forget_calls(None);
        for worker in &mut self.workers {
            worker.up = true;
            if empty_disk {
                worker.store = Arc::new(MemoryStore::new());
            }
        }
        self.assign()
    }

    /// One process dies; the others give up what they have in order, and take over. The last one starts again.
    pub(super) fn crash_worker(&mut self, dead: usize) -> Result<(), Error> {
        self.seats.retain(|seat| seat.worker != dead);
        self.workers[dead].up = false;
        self.beside.forget_calls(Some(dead));
        if !self.workers.iter().any(|worker| worker.up) {
            self.workers[dead].up = true;
        }
        self.leave_in_order()?;
        self.assign()
    }

    /// Partitions go away in order and come back, each to another worker if there are several. Those that died are
    /// there again.
    pub(super) fn rebalance(&mut self) -> Result<(), Error> {
        self.leave_in_order()?;
        self.assignment.shift += 1;
        self.workers.iter_mut().for_each(|worker| worker.up = true);
        self.assign()
    }

    /// The partitions go away in order, and come back in other tasks.
    pub(super) fn start_again(&mut self, topologies: Vec<Arc<SubTopology>>) -> Result<(), Error> {
        self.leave_in_order()?;
        self.topologies = topologies;
        self.assign()
    }

    fn leave_in_order(&mut self) -> Result<(), Error> {
        for at in 0..self.seats.len() {
            self.seats[at].task.revoke();
            self.turn(at)?;
            self.seats[at].task.drop_agents();
        }
        for worker in 0..self.workers.len() {
            self.commit(worker)?;
        }
        self.store_all()
    }

    /// A round of the store.
    fn store(&mut self, at: usize) -> Result<(), Error> {
        let seat = &mut self.seats[at];
        let store = &self.workers[seat.worker].store;
        for table in 0..seat.ends.len() {
            let Some((rows, commit, mark)) = seat.task.take_round(table, false) else {
                continue;
            };
            let name = self.topologies[seat.topology].tables[table].descriptor.name;
            let tree = store.tree(name, seat.partition)?;
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
            store.round(&mut [TreeWrite {
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
}
