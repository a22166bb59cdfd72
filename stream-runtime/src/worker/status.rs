//! What every partition is doing, for the log, the commands and whoever asks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a task is doing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PartitionState {
    /// Given to this worker; its offsets are being asked for.
    Assigned,
    /// Its tables are being read.
    Recovering(Progress),
    /// Events are processed.
    Running,
    /// A handler waits for its next attempt.
    Retrying,
    /// It stopped; the text says why and what to do.
    Failed(String),
    /// It went to another worker.
    Revoked,
}

/// How far a recovery is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Progress {
    /// Changelog offsets passed.
    pub(crate) done: u64,
    /// Changelog offsets to pass.
    pub(crate) total: u64,
    /// Offsets a second so far.
    pub(crate) rate: f64,
}

impl Progress {
    /// Seconds left at the rate so far; `None` while there is none.
    pub(crate) fn seconds_left(&self) -> Option<f64> {
        (self.rate > 0.0).then(|| self.total.saturating_sub(self.done) as f64 / self.rate)
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} changelog records, {:.0}/s",
            self.done, self.total, self.rate
        )?;
        match self.seconds_left() {
            Some(left) => write!(f, ", {left:.0} s left"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for PartitionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartitionState::Assigned => f.write_str("assigned"),
            PartitionState::Recovering(progress) => write!(f, "recovering: {progress}"),
            PartitionState::Running => f.write_str("running"),
            PartitionState::Retrying => f.write_str("retrying"),
            PartitionState::Failed(why) => write!(f, "failed: {why}"),
            PartitionState::Revoked => f.write_str("revoked"),
        }
    }
}

/// A task's name: sub-topology and partition.
pub(crate) type TaskName = (usize, i32);

/// The states of a worker's partitions. Written when a state changes, never per record.
#[derive(Debug, Default)]
pub(crate) struct Status {
    states: Mutex<BTreeMap<TaskName, PartitionState>>,
}

impl Status {
    pub(super) fn set(&self, task: TaskName, state: PartitionState) {
        self.lock().insert(task, state);
    }

    /// All states, in the order of sub-topology and partition.
    #[cfg(test)]
    pub(crate) fn snapshot(&self) -> Vec<(TaskName, PartitionState)> {
        self.lock()
            .iter()
            .map(|(task, state)| (*task, state.clone()))
            .collect()
    }

    /// Why partitions failed.
    pub(crate) fn failures(&self) -> Vec<(TaskName, String)> {
        let failed = |(task, state): (&TaskName, &PartitionState)| match state {
            PartitionState::Failed(why) => Some((*task, why.clone())),
            _ => None,
        };
        self.lock().iter().filter_map(failed).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskName, PartitionState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_how_long() {
        let progress = Progress {
            done: 250,
            total: 1000,
            rate: 250.0,
        };
        assert_eq!(
            progress.to_string(),
            "250 of 1000 changelog records, 250/s, 3 s left"
        );
        assert_eq!(
            Progress {
                rate: 0.0,
                ..progress
            }
            .seconds_left(),
            None
        );
    }

    #[test]
    fn failures_are_listed() {
        let status = Status::default();
        status.set((0, 1), PartitionState::Running);
        status.set((0, 0), PartitionState::Failed("why".into()));
        assert_eq!(status.failures(), [((0, 0), "why".to_owned())]);
        assert_eq!(status.snapshot().len(), 2);
    }
}
