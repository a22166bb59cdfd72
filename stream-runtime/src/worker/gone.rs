//! Topics that tasks send to and that the cluster does not have any more.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::messages::Found;
use super::thread::StreamThread;
use crate::error::{Error, Kind};
use crate::topology::SubTopology;

/// Longest wait for the broker to say that a topic is not there.
const BROKER_TIMEOUT: Duration = Duration::from_secs(1);

impl StreamThread {
    /// Asks, after a commit that was not delivered, whether the topics that these tasks send to are still there.
    /// Returns whether one is not. A broker that does not answer says nothing of its topics.
    pub(super) fn note_gone(&mut self, group: &[usize]) -> bool {
        let mut topics = BTreeSet::new();
        for &at in group {
            topics.extend(self.sends_to(at));
        }
        // With the broker away each question takes its time in vain: one is enough, and none of a worker that ends.
        let began = Instant::now();
        topics.retain(|topic| {
            let asks = began.elapsed() < BROKER_TIMEOUT && !self.worker.stop.is_asked();
            asks && self.worker.admin.lacks(topic, BROKER_TIMEOUT)
        });
        let some = !topics.is_empty();
        self.tasks.gone.extend(topics);
        some
    }

    /// Returns the topics of a task's outputs that await a commit.
    fn sends_to(&self, at: usize) -> BTreeSet<String> {
        let mut topics = BTreeSet::new();
        let _ = self.tasks.partitions[at].task.each_output(|topic, _| {
            if !topics.contains(topic) {
                topics.insert(topic.to_owned());
            }
            Ok::<_, std::convert::Infallible>(())
        });
        topics
    }

    /// Stops the tasks that send to a topic that is gone, each until it is there again; redoes the others' work at
    /// once.
    pub(super) fn without_gone(&mut self, group: &[usize]) -> Result<(), Error> {
        let (mut stopped, mut others) = (Vec::new(), Vec::new());
        for &at in group {
            match self
                .sends_to(at)
                .into_iter()
                .find(|topic| self.tasks.gone.contains(topic))
            {
                Some(topic) => stopped.push((at, is_gone(&topic))),
                None => others.push(at),
            }
        }
        self.void(group);
        for (at, error) in stopped {
            self.give_up(at, &error)?;
        }
        // What is wrong is those partitions' from here on.
        self.commits.failing = false;
        self.worker.handle.commit_came_about(self.number);
        self.rewind(&others)
    }

    /// Forgets those of the gone topics that are there again.
    pub(super) fn note_there(&mut self, found: &Found) {
        self.tasks
            .gone
            .retain(|topic| !found.topics.contains_key(topic));
    }

    /// Returns the gone ones of the topics that a sub-topology sends to.
    pub(super) fn gone_of<'t>(
        &'t self,
        topology: &'t SubTopology,
    ) -> impl Iterator<Item = &'t str> {
        let outputs = topology.outputs.iter().map(|output| output.topic.as_str());
        outputs.filter(|topic| self.tasks.gone.contains(*topic))
    }

    /// Checks that no topic that the sub-topology sends to is gone.
    ///
    /// # Errors
    /// One is.
    pub(super) fn has_outputs(&self, topology: &SubTopology) -> Result<(), Error> {
        match self.gone_of(topology).next() {
            Some(topic) => Err(is_gone(topic)),
            None => Ok(()),
        }
    }
}

fn is_gone(topic: &str) -> Error {
    Error::new(
        Kind::Broker,
        format!(
            "the topic `{topic}`, which it sends to, does not exist any more: make it again, with the partitions and settings that `plan` lists; then it goes on by itself"
        ),
    )
}
