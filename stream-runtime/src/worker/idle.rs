//! How long a task has been quiet, as this thread saw it, and what becomes of it.

use std::sync::Arc;

use super::status::TaskName;
use super::thread::{Reply, StreamThread};
use crate::kafka::{Fault, TopicPartition};

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
}

impl StreamThread {
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
    fn a_frozen_process_begins_anew() {
        let mut clock = IdleClock::default();
        clock.turn(0, false);
        clock.turn(900, false);
        assert_eq!(clock.turn(60_000, false), 0);
        assert_eq!(clock.turn(60_100, false), 100);
    }
}
