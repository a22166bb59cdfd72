//! How far a group has come with a topic.

use crate::client::{self, Committed, Isolation};
use std::time::{Duration, Instant};

/// A group and one of its input topics, from which nothing was deleted.
pub struct Progress {
    bootstrap: String,
    topic: String,
    committed: Committed,
}

impl Progress {
    /// The topic must be there.
    pub fn of(bootstrap: &str, group: &str, topic: &str) -> Self {
        let committed = Committed::of(bootstrap, group, topic).expect("the broker answers");
        Self {
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
            committed,
        }
    }

    /// Committed so far, over all partitions.
    pub fn committed(&self) -> i64 {
        self.committed.total().expect("the broker answers")
    }

    /// Sent and not committed yet.
    pub fn left(&self) -> i64 {
        self.sent() - self.committed()
    }

    fn sent(&self) -> i64 {
        let ends = client::end_offsets(&self.bootstrap, &self.topic, Isolation::Uncommitted);
        ends.expect("the broker answers").iter().sum()
    }

    /// Waits until something was committed that is not yet.
    pub fn wait_for_more(&self) {
        self.wait_past(self.committed());
    }

    /// Waits until more than `before` is committed.
    pub fn wait_past(&self, before: i64) {
        self.wait(
            |committed| committed > before,
            &format!("more than {before} committed records"),
        );
    }

    /// Waits until everything sent so far is committed.
    pub fn wait_for_all(&self) {
        let all = self.sent();
        self.wait(|committed| committed >= all, &format!("all {all} records"));
    }

    fn wait(&self, done: impl Fn(i64) -> bool, what: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let committed = self.committed();
            if done(committed) {
                return;
            }
            assert!(
                Instant::now() < until,
                "{what} of {} do not come, only {committed}",
                self.topic
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
