//! How long a task has been quiet, as this thread saw it, and what becomes of it.

use std::sync::Arc;

use super::partition::Partition;
use super::status::TaskName;
use super::thread::{Reply, StreamThread};
use crate::kafka::{Fault, TopicPartition};
use crate::task::Lull;

/// A turn that took this long proves nothing: the process was frozen, or a handler blocked it.
const TRUST: u64 = 1_000;

/// Sums the loop turns in which nothing came; a turn of a second or more begins anew.
#[derive(Debug, Default)]
pub(super) struct IdleClock {
    quiet: u64,
    last: Option<u64>,
}

impl IdleClock {
    /// One loop turn at the monotonic time `now` (ms); returns the quiet time so far, in ms.
    pub(super) fn turn(&mut self, now: u64, moved: bool) -> u64 {
        let turn = now.saturating_sub(self.last.replace(now).unwrap_or(now));
        self.quiet = if moved || turn >= TRUST {
            0
        } else {
            self.quiet + turn
        };
        self.quiet
    }

    /// Begins anew.
    pub(super) fn restart(&mut self) {
        self.quiet = 0;
    }

    /// Begins anew with the next turn: the time until then was none in which anything could be read.
    fn pause(&mut self) {
        *self = IdleClock::default();
    }
}

/// Clock of a group of inputs whose silence is told.
#[derive(Debug)]
pub(super) struct LullClock {
    of: Lull,
    clock: IdleClock,
    /// A fresh look at the ends has been asked for.
    asked: bool,
    /// Nothing has come since the task began.
    fresh: bool,
    /// Nothing was there when it began: nobody has to wait for more.
    empty: bool,
    /// Sum of the positions as of the last turn.
    position: i64,
}

impl LullClock {
    pub(super) fn new(of: Lull) -> Self {
        LullClock {
            of,
            clock: IdleClock::default(),
            asked: false,
            fresh: true,
            empty: false,
            position: -1,
        }
    }

    pub(super) fn of(&self) -> Lull {
        self.of
    }

    /// The inputs begin; `empty`: their topics hold nothing.
    pub(super) fn begin(&mut self, empty: bool) {
        self.empty = empty;
    }

    /// One loop turn at the monotonic time `now` (ms): returns whether the group has been quiet for `after` ms.
    fn turn(&mut self, now: u64, (spent, position): (bool, i64), after: u64) -> bool {
        // The first position is where it begins.
        let moved = self.position >= 0 && position != self.position;
        self.position = position;
        self.fresh &= !moved;
        let quiet = self.clock.turn(now, moved || !spent);
        if quiet == 0 {
            self.asked = false;
        }
        spent && (quiet >= after || self.empty && self.fresh)
    }
}

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
        let partition = &mut self.partitions[at];
        let Some(after) = self.worker.settings.source_idle else {
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
            let (generation, worker) = (self.generation, Arc::clone(&self.worker));
            let (answer, wake) = (self.answer.clone(), self.wake.clone());
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
        let mut partitions = self.partitions.iter_mut();
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
            self.pending |= partition.task.rest(lull) || partition.task.is_dirty();
        } else {
            // No answer, or more to come: it begins at zero.
            partition.lulls[at].clock.restart();
            partition.lulls[at].fresh = false;
        }
    }

    /// A task that has been quiet for its tables' `idle` has its inputs' ends looked at afresh.
    pub(super) fn watch_idle(&mut self, at: usize, moved: bool, wall: i64, mono: u64) {
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
        let (generation, worker) = (self.generation, Arc::clone(&self.worker));
        let (answer, wake) = (self.answer.clone(), self.wake.clone());
        tokio::task::spawn_blocking(move || {
            let behind = super::hops::sources(&worker, task.0);
            let drained = behind.and_then(|behind| super::hops::are_drained(&worker, &behind));
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_turns_add_up() {
        let mut clock = IdleClock::default();
        assert_eq!(clock.turn(10_000, false), 0);
        assert_eq!(clock.turn(10_400, false), 400);
        assert_eq!(clock.turn(10_900, false), 900);
        assert_eq!(clock.turn(11_000, true), 0);
        assert_eq!(clock.turn(11_100, false), 100);
        clock.restart();
        assert_eq!(clock.turn(11_200, false), 100);
    }

    #[test]
    fn time_of_turns_that_were_skipped_is_none_of_quiet() {
        let mut clock = IdleClock::default();
        clock.turn(0, false);
        assert_eq!(clock.turn(500, false), 500);
        clock.pause();
        assert_eq!(clock.turn(1_400, false), 0);
        assert_eq!(clock.turn(1_500, false), 100);
    }

    #[test]
    fn a_frozen_process_begins_anew() {
        let mut clock = IdleClock::default();
        clock.turn(0, false);
        clock.turn(900, false);
        assert_eq!(clock.turn(60_000, false), 0);
        assert_eq!(clock.turn(60_100, false), 100);
    }
}
