//! Tasks that failed: the others go on, and what may get better by itself starts again after a while.

use super::failed::Down;
use super::failed::Failures;
use super::failed::STEADY_RUN;
use super::failed::comes_back;
use super::failed::wait;
use std::time::Instant;

use super::messages::Found;
use super::partition::{Input, Partition, Phase};
use super::status::{PartitionState, Retry, TaskName};
use super::thread::StreamThread;
use crate::error::{Error, Kind};
use crate::kafka::{Fault, PartitionQueue, TopicPartitionOffset};
/// Failures in a row after which a worker that is to end once it has caught up gives a task up.
const FAILURES_BEFORE_GIVING_UP: u32 = 4;

impl StreamThread {
    /// A task cannot go on: its agents end, the others go on. What it had acknowledged goes into the next
    /// commit.
    pub(super) fn fail(&mut self, at: usize, error: &Error) {
        let name = self.tasks.partitions[at].name;
        let until = self.failed(name, error);
        self.end(at, until);
    }

    /// A task starts again at once, from what the cluster has: nothing is wrong with it.
    pub(super) fn again(&mut self, at: usize) {
        let name = self.tasks.partitions[at].name;
        self.worker.status.set(name, PartitionState::Assigned);
        self.end(at, Some(Instant::now()));
    }

    /// Stops a task whose topic has settings with which results would be wrong; it starts again when they are right
    /// again.
    pub(super) fn unfit(&mut self, name: TaskName, why: String) {
        let mut partitions = self.tasks.partitions.iter();
        if let Some(at) = partitions.position(|p| p.name == name && p.is_running()) {
            self.fail(at, &Error::new(Kind::Broker, why));
        }
    }

    /// A task is over, and does not start again here.
    pub(super) fn lose(&mut self, at: usize, error: &Error) {
        let state = PartitionState::Failed(error.to_string());
        self.worker
            .status
            .set(self.tasks.partitions[at].name, state);
        self.end(at, None);
    }

    fn end(&mut self, at: usize, until: Option<Instant>) {
        let partition = &mut self.tasks.partitions[at];
        partition.task.drop_agents();
        // As a source it holds the time of others until it runs again: the last commit says so.
        partition.task.counts_again();
        let last = partition.is_running();
        self.commits.pending |= last;
        partition.phase = Phase::Failed { last, until };
        self.worker.handle.gone(self.number, partition.name);
    }

    /// A task failed that was not even made; `inputs` are those that are assigned.
    pub(super) fn sink(&mut self, name: TaskName, inputs: Vec<Input>, error: &Error) {
        let until = self.failed(name, error);
        self.tasks.down.push(Down {
            name,
            inputs,
            until,
            asked: false,
        });
    }

    /// Says that a task failed, and when it starts again.
    fn failed(&mut self, name: TaskName, error: &Error) -> Option<Instant> {
        let now = Instant::now();
        let before = self.tasks.failures.get(&name);
        let before = before.filter(|f| now.duration_since(f.last) < STEADY_RUN + wait(f.count));
        let steady = before.is_none();
        let count = before.map_or(0, |f| f.count) + 1;
        self.tasks
            .failures
            .insert(name, Failures { count, last: now });
        let gives_up = self.worker.settings.until_caught_up && count >= FAILURES_BEFORE_GIVING_UP;
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

    /// Takes tasks that failed, and have nothing left to commit, out of the round, and starts those again
    /// whose time has come.
    pub(super) fn bring_back(&mut self) {
        let over = |p: &mut Partition| matches!(p.phase, Phase::Failed { last: false, .. });
        let over: Vec<Partition> = self.tasks.partitions.extract_if(.., over).collect();
        for partition in over {
            self.stalled_at(&partition);
            let Phase::Failed { until, .. } = partition.phase else {
                continue;
            };
            self.tasks.down.push(Down {
                name: partition.name,
                inputs: partition.inputs,
                until,
                asked: false,
            });
        }
        if self.tasks.down.is_empty() || self.group.asking || self.group.ask_again.is_some() {
            return;
        }
        let now = Instant::now();
        let due = |down: &&mut Down| down.due().is_some_and(|at| at <= now);
        let mut names = Vec::new();
        for down in self.tasks.down.iter_mut().filter(due) {
            down.asked = true;
            names.push(down.name);
        }
        for share in self.shares() {
            if names.contains(&share.name()) {
                self.ask_for(&share);
            }
        }
    }

    /// What a task that failed needs to start again has come.
    pub(super) fn found_one(
        &mut self,
        name: TaskName,
        result: Result<Box<Found>, Fault>,
    ) -> Result<(), Error> {
        let Some(at) = self.tasks.down.iter().position(|down| down.name == name) else {
            return Ok(());
        };
        let inputs = self.tasks.down.swap_remove(at).inputs;
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
        let places: Vec<TopicPartitionOffset> = draft.places();
        if let Err(fault) = self.group.member.seek(&places) {
            // After an offset that was out of range librdkafka seeks no more: only a new assignment helps.
            tracing::warn!(thread = self.number, "{fault}; starting again");
            self.start_again();
            return Ok(());
        }
        let queues: Vec<PartitionQueue> = inputs.into_iter().map(|input| input.queue).collect();
        self.begin(vec![draft], vec![queues])
    }
}
