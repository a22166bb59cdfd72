//! Tasks that failed: the others go on, and what may get better by itself begins anew after a while.

use std::time::{Duration, Instant};

use super::found::Found;
use super::partition::{Input, Partition, Phase};
use super::status::{PartitionState, Retry, TaskName};
use super::thread::StreamThread;
use crate::error::{Error, Kind};
use crate::kafka::{Fault, PartitionQueue, Place};

/// First and longest wait before a task begins anew; it doubles in between.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A task that ran this long before it failed waits as after its first failure.
const STEADY: Duration = Duration::from_secs(60);
/// Failures in a row after which a worker that is to end once it has caught up gives a task up.
const LAST: u32 = 4;

/// A task that failed. Its inputs stay assigned, and are not read.
pub(super) struct Down {
    pub(super) name: TaskName,
    inputs: Vec<Input>,
    /// When it begins anew; `None`: not by itself.
    pub(super) until: Option<Instant>,
    /// What it needs has been asked for and not come.
    asked: bool,
}

impl Down {
    /// When there is something to do about it.
    pub(super) fn due(&self) -> Option<Instant> {
        self.until.filter(|_| !self.asked)
    }
}

/// Failures of a task in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failures {
    count: u32,
    last: Instant,
}

/// Whether a task that failed with this may do better later without anybody's doing.
pub(super) fn comes_back(error: &Error) -> bool {
    !(error.is_fatal() || error.is_record())
}

fn wait(failures: u32) -> Duration {
    let doubled = WAITS
        .0
        .saturating_mul(1 << failures.saturating_sub(1).min(10));
    doubled.min(WAITS.1)
}

impl StreamThread {
    /// A task cannot go on: its agents end, the others go on. What it had acknowledged goes into the next
    /// commit.
    pub(super) fn fail(&mut self, at: usize, error: &Error) {
        let name = self.partitions[at].name;
        let until = self.failed(name, error);
        self.end(at, until);
    }

    /// A task begins anew at once, from what the cluster has: nothing is wrong with it.
    pub(super) fn again(&mut self, at: usize) {
        let name = self.partitions[at].name;
        self.worker.status.set(name, PartitionState::Assigned);
        self.end(at, Some(Instant::now()));
    }

    /// Stops a task whose topic has settings with which results would be wrong; it begins anew when they are right again.
    pub(super) fn unfit(&mut self, name: TaskName, why: String) {
        let mut partitions = self.partitions.iter();
        if let Some(at) = partitions.position(|p| p.name == name && p.is_running()) {
            self.fail(at, &Error::new(Kind::Broker, why));
        }
    }

    /// A task is over, and does not begin anew here.
    pub(super) fn lose(&mut self, at: usize, error: &Error) {
        let state = PartitionState::Failed(error.to_string());
        self.worker.status.set(self.partitions[at].name, state);
        self.end(at, None);
    }

    fn end(&mut self, at: usize, until: Option<Instant>) {
        let partition = &mut self.partitions[at];
        partition.task.drop_agents();
        // As a source it holds the time of others until it runs again: the last commit says so.
        partition.task.counts_again();
        let last = partition.is_running();
        self.pending |= last;
        partition.phase = Phase::Failed { last, until };
        self.worker.handle.gone(self.number, partition.name);
    }

    /// A task failed that was not even made; `inputs` are those that are assigned.
    pub(super) fn sink(&mut self, name: TaskName, inputs: Vec<Input>, error: &Error) {
        let until = self.failed(name, error);
        self.down.push(Down {
            name,
            inputs,
            until,
            asked: false,
        });
    }

    /// Says that a task failed, and when it begins anew.
    fn failed(&mut self, name: TaskName, error: &Error) -> Option<Instant> {
        let now = Instant::now();
        let before = self.failures.get(&name);
        let before = before.filter(|f| now.duration_since(f.last) < STEADY + wait(f.count));
        let steady = before.is_none();
        let count = before.map_or(0, |f| f.count) + 1;
        self.failures.insert(name, Failures { count, last: now });
        let gives_up = self.worker.settings.until_caught_up && count >= LAST;
        let until = (comes_back(error) && !gives_up).then(|| now + wait(count));
        let state = match until {
            Some(at) => PartitionState::Retrying(Retry {
                why: error.to_string(),
                failed: count,
                at,
            }),
            None => PartitionState::Failed(error.to_string()),
        };
        self.worker.status.set(name, state);
        self.stalls(name, steady);
        until
    }

    /// Takes tasks that failed, and have nothing left to commit, out of the round, and begins those anew
    /// whose time has come.
    pub(super) fn bring_back(&mut self) {
        let over = |p: &mut Partition| matches!(p.phase, Phase::Failed { last: false, .. });
        let over: Vec<Partition> = self.partitions.extract_if(.., over).collect();
        for partition in over {
            self.stalled_at(&partition);
            let Phase::Failed { until, .. } = partition.phase else {
                continue;
            };
            self.down.push(Down {
                name: partition.name,
                inputs: partition.inputs,
                until,
                asked: false,
            });
        }
        if self.down.is_empty() || self.asking || self.ask_again.is_some() {
            return;
        }
        let now = Instant::now();
        let due = |down: &&mut Down| down.due().is_some_and(|at| at <= now);
        let mut names = Vec::new();
        for down in self.down.iter_mut().filter(due) {
            down.asked = true;
            names.push(down.name);
        }
        for share in self.shares() {
            if names.contains(&share.name()) {
                self.ask_for(&share);
            }
        }
    }

    /// What a task that failed needs to begin anew has come.
    pub(super) fn found_one(
        &mut self,
        name: TaskName,
        result: Result<Box<Found>, Fault>,
    ) -> Result<(), Error> {
        let Some(at) = self.down.iter().position(|down| down.name == name) else {
            return Ok(());
        };
        let inputs = self.down.swap_remove(at).inputs;
        let Some(share) = self.shares().into_iter().find(|share| share.name() == name) else {
            return Ok(());
        };
        let draft = result.map_err(Error::from).and_then(|found| {
            self.note_there(&found);
            self.draft(&share, &found)
        });
        let draft = match draft {
            Ok(draft) => draft,
            Err(error) => {
                self.sink(name, inputs, &error);
                return Ok(());
            }
        };
        let places: Vec<Place> = draft.places();
        if let Err(fault) = self.member.seek(&places) {
            // After an offset that was out of range librdkafka seeks no more: only a new assignment helps.
            tracing::warn!(thread = self.number, "{fault}; beginning anew");
            self.begin_anew();
            return Ok(());
        }
        let queues: Vec<PartitionQueue> = inputs.into_iter().map(|input| input.queue).collect();
        self.begin(vec![draft], vec![queues])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_a_second_to_a_minute() {
        let waits: Vec<u64> = (1..9).map(|n| wait(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn what_a_person_must_repair_does_not_come_back_by_itself() {
        for kind in [Kind::Broker, Kind::Store, Kind::Handler, Kind::Fenced] {
            assert!(comes_back(&Error::new(kind, "")), "{kind:?}");
        }
        for kind in [Kind::Refused, Kind::Topology, Kind::Record] {
            assert!(!comes_back(&Error::new(kind, "")), "{kind:?}");
        }
    }
}
