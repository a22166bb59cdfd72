//! Partitions are given back in order: agents end, what they acknowledged is committed and stored.

use std::convert::Infallible;
use std::mem::ManuallyDrop;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::status::PartitionState;
use super::thread::StreamThread;
use crate::error::Error;

/// How often a thread that closes its clients looks whether it is late.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

impl StreamThread {
    /// Lets agents end, commits what they acknowledged, hands their rows to the store.
    pub(super) async fn release(&mut self, bound: Duration) -> Result<(), Error> {
        let until = Instant::now() + bound;
        for partition in self.tasks.partitions.iter_mut().filter(|p| p.is_running()) {
            partition.task.revoke();
        }
        loop {
            let now = self.worker.now();
            for at in 0..self.tasks.partitions.len() {
                if self.tasks.partitions[at].is_running()
                    && let Err(failure) = self.tasks.partitions[at].task.run(now)
                {
                    self.failed_task(at, failure);
                }
            }
            let left = self
                .tasks
                .partitions
                .iter()
                .filter(|p| p.is_running())
                .all(|p| p.task.has_left());
            if left || Instant::now() >= until {
                break;
            }
            let (wake, soon) = (
                self.wake.clone(),
                Instant::now() + Duration::from_millis(20),
            );
            let _ = tokio::time::timeout_at(until.min(soon).into(), wake.wait()).await;
        }
        for partition in self.tasks.partitions.iter_mut().filter(|p| p.is_running()) {
            partition.task.drop_agents();
        }
        self.commit()?;
        self.store_rows();
        Ok(())
    }

    /// The worker ends in order: agents end, commit, store, leave the group.
    pub(super) async fn leave(&mut self) -> Result<(), Error> {
        let bound = self.worker.settings.shutdown_timeout;
        self.release(bound).await?;
        let until = Instant::now() + bound;
        while self.storer.pending() > 0 && Instant::now() < until {
            if let Some(stored) = self.storer.wait_done(Duration::from_millis(50)) {
                super::flush::done(&mut self.tasks.partitions, &stored);
                // Rows of commits made while the last round was being written.
                self.store_rows();
            }
        }
        self.drop_partitions(PartitionState::Revoked);
        let had = self
            .group
            .assigned
            .take()
            .is_some_and(|partitions| !partitions.is_empty() || self.group.leads);
        self.worker.handle.revoked(self.number);
        self.group.member.unsubscribe();
        // A broker that is away says nothing.
        let patience = Duration::from_secs(if self.worker.is_late() { 1 } else { 5 });
        let (until, mut events) = (Instant::now() + patience, Vec::new());
        while had && Instant::now() < until {
            self.group.member.events(&mut events);
            if events
                .drain(..)
                .any(|event| matches!(event, crate::kafka::GroupEvent::Revoked { .. }))
            {
                self.group.member.unassign()?;
                break;
            }
            let soon = Instant::now() + Duration::from_millis(20);
            let wake = self.wake.clone();
            let _ = tokio::time::timeout_at(soon.into(), wake.wait()).await;
        }
        Ok(())
    }

    /// The clients go. Librdkafka may wait for a broker that is away: a worker that is late does not, its process ends.
    pub(super) fn close(self) {
        let Self {
            worker,
            number,
            tasks,
            group,
            commits,
            ..
        } = self;
        // Their queues go before the client they are of.
        drop(tasks);
        let clients = ManuallyDrop::new((group.member, commits.outlet));
        if worker.is_late() {
            return;
        }
        let (closing, closed) = channel::<Infallible>();
        let close = move || {
            drop(ManuallyDrop::into_inner(clients));
            drop(closing);
        };
        let name = format!("close-{number}");
        if std::thread::Builder::new().name(name).spawn(close).is_err() {
            return;
        }
        while closed.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout)
            && !worker.is_late()
        {}
    }
}
