//! A partition as the server sees it: its log behind a lock, and those who wait for more of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::log::{Appended, Log, LogError, Outcome};

/// Someone who waits for records.
pub(crate) type Waiter = Arc<Notify>;

/// One partition of a topic.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) index: i32,
    log: Mutex<Log>,
    waiters: Mutex<Vec<Weak<Notify>>>,
}

impl Partition {
    pub(crate) fn new(topic: &str, index: i32, log: Log) -> Self {
        Self {
            topic: topic.to_owned(),
            index,
            log: Mutex::new(log),
            waiters: Mutex::default(),
        }
    }

    /// The log, for this caller alone. A panic elsewhere does not take the partition away: the log changes its own
    /// state only after a write has succeeded.
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a client's batch; gives also the start of the log.
    pub(crate) fn append(&self, batch: &mut [u8], now: i64) -> Result<(Appended, i64), LogError> {
        let mut log = self.log();
        let appended = log.append(batch, now)?;
        let start = log.log_start();
        drop(log);
        self.wake();
        Ok((appended, start))
    }

    /// Ends a producer's transaction here.
    pub(crate) fn end(
        &self,
        outcome: Outcome,
        producer_id: i64,
        epoch: i16,
        now: i64,
    ) -> Result<(), LogError> {
        let mut log = self.log();
        if !log.producers().takes_part(producer_id) {
            // Ended here before: the markers are being written a second time after an error or a restart.
            return Ok(());
        }
        log.append_marker(outcome, producer_id, epoch, now)?;
        drop(log);
        self.wake();
        Ok(())
    }

    /// Compacts the log, if that is due.
    pub(crate) fn compact(&self, now: i64, stop: &dyn Fn() -> bool) -> std::io::Result<()> {
        let Some(job) = self.log().plan_compaction(now) else {
            return Ok(());
        };
        match job.run(stop)? {
            Some(cleaned) => self.log().finish_compaction(cleaned, now),
            None => Ok(()),
        }
    }

    /// Wakes this waiter at the next append.
    pub(crate) fn wait(&self, waiter: &Waiter) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        if waiters.len() >= 16 {
            waiters.retain(|waiter| waiter.strong_count() > 0);
        }
        waiters.push(Arc::downgrade(waiter));
    }

    fn wake(&self) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        waiters
            .drain(..)
            .filter_map(|waiter| waiter.upgrade())
            .for_each(|waiter| waiter.notify_one());
    }

    /// Wakes everybody, for the topic is going away.
    pub(crate) fn dismiss(&self) {
        self.wake();
    }
}
