//! Calls of the functions beside the agents that are due.

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::background::Attempt;
use super::cluster::Entry;
use super::harness::Harness;
use crate::background::{JobDescriptor, JobFuture, Of, Then, unpanicked};
use crate::error::{Error, Failure};
use crate::key::partition_of;
use crate::record::date;
use crate::topology::TableDescriptor;
use crate::worker::{Answer, Ask};

/// How long a call that waits for something real is waited for.
const REAL_WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between checks whether it goes on.
const CHECK_INTERVAL: Duration = Duration::from_millis(1);

impl Harness {
    /// Calls what is due beside the streams, on every worker or on the one that leads. Returns whether anything was.
    pub(super) fn call_due(&mut self) -> Result<bool, Error> {
        let now = self.now;
        let mut attempts = self.beside.due_again(now);
        for (descriptor, due) in self.beside.due(now) {
            let workers = self.workers.iter().enumerate();
            let up = workers.filter(|(_, worker)| worker.up).map(|(at, _)| at);
            let called = if descriptor.on_leader { 1 } else { usize::MAX };
            attempts.extend(up.take(called).map(|worker| Attempt {
                descriptor,
                worker,
                due,
                failed: 0,
                at: now.mono,
            }));
        }
        for attempt in &attempts {
            self.call(*attempt)?;
        }
        Ok(!attempts.is_empty())
    }

    /// Calls the tasks of the end.
    pub(super) fn call_ends(&mut self) -> Result<(), Error> {
        for descriptor in std::mem::take(&mut self.beside.ends) {
            self.call(Attempt {
                descriptor,
                worker: 0,
                due: date(self.now.wall),
                failed: 0,
                at: self.now.mono,
            })?;
        }
        Ok(())
    }

    /// Lets the tasks of the start go on as far as they can; those that wait for something real go on later.
    pub(super) fn run_tasks(&mut self) -> Result<(), Error> {
        let tasks = std::mem::take(&mut self.beside.tasks);
        for (descriptor, mut task) in tasks {
            match self.poll(&mut task) {
                Some(Err(failure)) => {
                    let then = descriptor.then(&failure, u32::MAX, None);
                    told(descriptor, &failure, &then)?;
                }
                Some(Ok(())) => {}
                None => self.beside.tasks.push((descriptor, task)),
            }
        }
        self.deliver();
        Ok(())
    }

    fn call(&mut self, attempt: Attempt) -> Result<(), Error> {
        let descriptor = attempt.descriptor;
        let cx = self.beside.cx.due_at(attempt.due);
        let mut call: JobFuture = Box::pin(unpanicked((descriptor.run)(cx)));
        let start = Instant::now();
        let result = loop {
            if let Some(result) = self.poll(&mut call) {
                break result;
            }
            if start.elapsed() > REAL_WAIT_TIMEOUT {
                let text = format!(
                    "{} `{}` has been waiting for {} s: a test goes on only when its call is done",
                    descriptor.when.what(),
                    descriptor.name,
                    REAL_WAIT_TIMEOUT.as_secs()
                );
                return Err(Error::agent(text));
            }
            self.runtime.block_on(tokio::time::sleep(CHECK_INTERVAL));
        };
        self.deliver();
        let Err(failure) = result else {
            return Ok(());
        };
        let failed = attempt.failed + 1;
        let left = self.beside.left(descriptor, self.now);
        let then = descriptor.then(&failure, failed, left);
        if let Then::Again(wait) = then {
            let at = self.now.mono.saturating_add(wait);
            self.beside.agains.push(Attempt {
                failed,
                at,
                ..attempt
            });
        }
        told(descriptor, &failure, &then)
    }

    /// Polls a call until it waits for something that is not a row of the test's.
    fn poll(&mut self, call: &mut JobFuture) -> Option<Result<(), Failure>> {
        loop {
            let polled = {
                let _entered = self.runtime.enter();
                call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            };
            if let Poll::Ready(result) = polled {
                return Some(result);
            }
            let mut answered = false;
            while let Ok(asked) = self.beside.asked.try_recv() {
                let rows = self.committed(asked.table, &asked.of, &asked.ask);
                let _ = asked.answer.send(rows);
                answered = true;
            }
            if !answered {
                return None;
            }
        }
    }

    fn committed(
        &self,
        table: &'static TableDescriptor,
        of: &Of,
        ask: &Ask,
    ) -> Result<Answer, Error> {
        let partition = match of {
            Of::Key(wire) => partition_of(wire, self.cluster.partitions),
            Of::Partition(partition) => *partition,
        };
        for seat in self.seats.iter().filter(|seat| seat.partition == partition) {
            let mut tables = self.topologies[seat.topology].tables.iter();
            if let Some(at) = tables.position(|planned| planned.descriptor == table) {
                return match ask {
                    Ask::Row(key) => seat.task.read_committed(at, key).map(Answer::Row),
                    Ask::Rows(scan) => seat.task.scan_committed(at, scan).map(Answer::Rows),
                };
            }
        }
        Err(Error::agent(format!(
            "no agent of the app keeps table `{}`",
            table.name
        )))
    }

    /// What was sent beside the streams is in its topics.
    fn deliver(&mut self) {
        for kept in self.beside.outlet.take() {
            let entry = Entry {
                key: kept.key,
                value: kept.value,
                timestamp: kept.timestamp.unwrap_or(self.now.wall),
                headers: kept.headers,
            };
            self.cluster.append(kept.topic, entry);
        }
    }
}

/// What is fatal to a worker fails the test; any other failure is told.
fn told(descriptor: &JobDescriptor, failure: &Failure, then: &Then) -> Result<(), Error> {
    let (what, name) = (descriptor.when.what(), descriptor.name);
    let text = format!("{what} `{name}` failed: {failure}");
    match then {
        Then::Fatal => return Err(Error::agent(text)),
        Then::Again(wait) => tracing::warn!(retry_in_ms = wait, "{text}"),
        Then::GivenUp => tracing::error!("{text}"),
    }
    Ok(())
}
