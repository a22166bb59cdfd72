//! How long a task has been quiet, as this thread saw it, and what happens to it.

use std::sync::Arc;

use super::messages::Reply;
use super::partition::Partition;
use super::status::TaskName;
use super::thread::StreamThread;
use crate::kafka::{Fault, TopicPartition};
use crate::task::Lull;

impl Partition {
    /// Sum of the positions of a group of inputs.
    fn position_of(&self, lull: Lull) -> i64 {
        let inputs = self.task.lull_inputs(lull).iter();
        inputs.map(|&at| self.task.inbox(at).position()).sum()
    }

    /// Its turn was skipped: the time proves no silence.
    pub(super) fn was_kept_from_reading(&mut self) {
        self.idle.pause();
        for lull in &mut self.lulls {
            lull.clock.pause();
        }
    }

    /// Returns whether it has inputs whose silence is still to be told.
    pub(super) fn waits_to_rest(&self) -> bool {
        self.lulls.iter().any(|clock| !self.task.rests(clock.of))
    }
}

impl StreamThread {
    /// Inputs that have been quiet for `source_idle` and are at their ends do not hold the time of others.
    pub(super) fn watch_lulls(&mut self, at: usize, mono: u64) {
        let partition = &mut self.tasks.partitions[at];
        let Some(after) = self.worker.settings.time.source_idle else {
            return;
        };
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        for number in 0..partition.lulls.len() {
            let lull = partition.lulls[number].of;
            if partition.task.rests(lull) {
                continue;
            }
            let now = (partition.task.is_spent(lull), partition.position_of(lull));
            let clock = &mut partition.lulls[number];
            if !clock.turn(mono, now, after) || std::mem::replace(&mut clock.asked, true) {
                continue;
            }
            let task = partition.name;
            let inputs = partition.task.lull_inputs(lull).iter();
            let places = inputs.map(|&at| &partition.inputs[at]);
            let places: Vec<TopicPartition> = places
                .map(|input| (Arc::clone(&input.topic), input.partition))
                .collect();
            let (generation, worker) = (self.group.generation, Arc::clone(&self.worker));
            let (answer, wake) = (self.replies.0.clone(), self.wake.clone());
            tokio::task::spawn_blocking(move || {
                let result = worker.admin.ends(&places);
                let _ = answer.send(Reply::Ends {
                    generation,
                    task,
                    lull: Some(lull),
                    result,
                });
                wake.wake();
            });
        }
    }

    /// The ends of quiet inputs have come.
    pub(super) fn lull_ends(
        &mut self,
        task: TaskName,
        lull: Lull,
        result: Result<Vec<i64>, Fault>,
    ) {
        let mut partitions = self.tasks.partitions.iter_mut();
        let Some(partition) = partitions.find(|p| p.name == task && p.is_running()) else {
            return;
        };
        let Some(at) = partition.lulls.iter().position(|clock| clock.of == lull) else {
            return;
        };
        if !std::mem::take(&mut partition.lulls[at].asked) {
            return;
        }
        let inputs = partition.task.lull_inputs(lull).iter();
        let positions = inputs.map(|&at| partition.task.inbox(at).position());
        let positions: Vec<i64> = positions.collect();
        if partition.task.is_spent(lull) && result.is_ok_and(|ends| ends == positions) {
            self.commits.pending |= partition.task.rest(lull) || partition.task.is_dirty();
        } else {
            // No answer, or more to come: it begins at zero.
            partition.lulls[at].clock.restart();
            partition.lulls[at].fresh = false;
        }
    }

    /// A task that has been quiet for its tables' `idle` has its inputs' ends looked at afresh.
    pub(super) fn watch_idle(&mut self, at: usize, moved: bool, wall: i64, mono: u64) {
        let partition = &mut self.tasks.partitions[at];
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
        let (generation, worker) = (self.group.generation, Arc::clone(&self.worker));
        let (answer, wake) = (self.replies.0.clone(), self.wake.clone());
        tokio::task::spawn_blocking(move || {
            let behind = super::repartition_lag::sources(&worker, task.0);
            let drained =
                behind.and_then(|behind| super::repartition_lag::are_drained(&worker, &behind));
            let result = match drained {
                Ok(true) => worker.admin.ends(&sources),
                // More is to come through a repartition topic: nobody's ends.
                Ok(false) => Ok(Vec::new()),
                Err(fault) => Err(fault),
            };
            let _ = answer.send(Reply::Ends {
                generation,
                task,
                lull: None,
                result,
            });
            wake.wake();
        });
    }

    /// The ends of a quiet task's inputs have come.
    pub(super) fn ends(&mut self, task: TaskName, result: Result<Vec<i64>, Fault>) {
        let Some(partition) = self
            .tasks
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
        if at_end && partition.task.idle(crate::clock::wall_ms()) {
            self.commits.pending = true;
        } else {
            // No answer, or more to come: idle begins at zero.
            partition.idle.restart();
        }
    }
}
