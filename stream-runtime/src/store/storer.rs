//! The thread that writes to the store, one a worker.
//!
//! Writing waits for the disk, so stream threads hand their rounds over and go on. What several of them have handed
//! over in the meantime goes into one round, because a flush is of the whole store. A round that fails is tried again
//! until it succeeds, the store turns out to be corrupt, or the worker ends.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Store, StoreError, TreeWrite};

/// The first and the longest pause before a failed round is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How often a failure that lasts is logged.
const REMIND: Duration = Duration::from_secs(60);

/// Owns the storer's thread. Dropping it stops the thread after what has been handed over is written.
pub struct Storer {
    jobs: Option<Sender<Job>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// One stream thread's connection to the storer.
pub struct StorerClient {
    jobs: Sender<Job>,
    done: Sender<Stored>,
    finished: Receiver<Stored>,
    bell: Bell,
    shared: Arc<Shared>,
    next: u64,
    pending: u64,
}

/// The outcome of what one [`StorerClient::submit`] handed over.
#[derive(Debug)]
pub struct Stored {
    /// What `submit` returned.
    pub ticket: u64,
    /// An error is final: the store is corrupt, or the worker ended before a retry could succeed.
    pub result: Result<(), StoreError>,
}

/// What is rung when an outcome is there.
type Bell = Arc<dyn Fn() + Send + Sync>;

struct Job {
    ticket: u64,
    writes: Vec<TreeWrite>,
    done: Sender<Stored>,
    bell: Bell,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    rounds: AtomicU64,
    trouble: Mutex<Option<StoreError>>,
}

impl Storer {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(store: Arc<dyn Store>) -> io::Result<Storer> {
        let (jobs, queue) = channel();
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("storer".to_owned())
            .spawn(move || run(&*store, &queue, &seen))?;
        Ok(Storer {
            jobs: Some(jobs),
            shared,
            thread: Some(thread),
        })
    }

    /// A connection for one more stream thread.
    pub fn client(&self) -> Result<StorerClient, StoreError> {
        let jobs = self.jobs.clone().ok_or_else(StoreError::stopped)?;
        let (done, finished) = channel();
        Ok(StorerClient {
            jobs,
            done,
            finished,
            bell: Arc::new(|| ()),
            shared: Arc::clone(&self.shared),
            next: 0,
            pending: 0,
        })
    }

    /// Why the round in hand is being tried again, if it is.
    pub fn trouble(&self) -> Option<StoreError> {
        self.shared
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many rounds have been written.
    pub fn rounds(&self) -> u64 {
        self.shared.rounds.load(Ordering::Relaxed)
    }

    /// Writes what has been handed over, each failing round tried once more, and ends the thread.
    ///
    /// Clients still see the outcomes; what they submit afterwards is refused.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!(
                    "the storer panicked; tables are rebuilt from their last checkpoint"
                );
            }
        }
    }
}

impl Drop for Storer {
    fn drop(&mut self) {
        self.end();
    }
}

impl StorerClient {
    /// Calls `bell`, on the storer's thread, when an outcome is there.
    pub fn ringing(mut self, bell: impl Fn() + Send + Sync + 'static) -> StorerClient {
        self.bell = Arc::new(bell);
        self
    }

    /// Hands writes over; returns at once with the ticket their outcome will carry.
    pub fn submit(&mut self, writes: Vec<TreeWrite>) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.pending += 1;
        let job = Job {
            ticket,
            writes,
            done: self.done.clone(),
            bell: Arc::clone(&self.bell),
        };
        if self.shared.stopping.load(Ordering::Acquire) || self.jobs.send(job).is_err() {
            // Our own receiver lives, so this cannot fail.
            let _ = self.done.send(Stored {
                ticket,
                result: Err(StoreError::stopped()),
            });
        }
        ticket
    }

    /// The next outcome, in the order of submission, if there is one by now.
    pub fn try_done(&mut self) -> Option<Stored> {
        let stored = self.finished.try_recv().ok()?;
        self.pending -= 1;
        Some(stored)
    }

    /// The next outcome, waited for at most `timeout`; for an orderly shutdown.
    pub fn wait_done(&mut self, timeout: Duration) -> Option<Stored> {
        let stored = self.finished.recv_timeout(timeout).ok()?;
        self.pending -= 1;
        Some(stored)
    }

    /// How many submissions have no outcome yet.
    pub fn pending(&self) -> u64 {
        self.pending
    }
}

fn run(store: &dyn Store, queue: &Receiver<Job>, shared: &Shared) {
    loop {
        let first = match queue.recv_timeout(Duration::from_millis(500)) {
            Ok(job) => job,
            // Clients may hold senders for longer than the worker runs.
            Err(RecvTimeoutError::Timeout) if !shared.stopping.load(Ordering::Acquire) => continue,
            Err(_) => return,
        };
        let mut writes = first.writes;
        let mut waiting = vec![(first.ticket, first.done, first.bell)];
        while let Ok(job) = queue.try_recv() {
            writes.extend(job.writes);
            waiting.push((job.ticket, job.done, job.bell));
        }
        let result = write(store, &mut writes, shared);
        for (ticket, done, bell) in waiting {
            // A stream thread that has ended does not ask any more.
            let _ = done.send(Stored {
                ticket,
                result: result.clone(),
            });
            bell();
        }
    }
}

fn write(store: &dyn Store, writes: &mut [TreeWrite], shared: &Shared) -> Result<(), StoreError> {
    let mut pause = BACKOFF.0;
    let mut logged: Option<Instant> = None;
    loop {
        let last = shared.stopping.load(Ordering::Acquire);
        let result = store.round(writes);
        *shared
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = result.as_ref().err().cloned();
        let error = match result {
            Ok(()) => {
                shared.rounds.fetch_add(1, Ordering::Relaxed);
                if logged.is_some() {
                    tracing::info!("the store is written again");
                }
                return Ok(());
            }
            Err(error) => error,
        };
        if last || error.is_corrupt() {
            tracing::error!("{error}");
            return Err(error);
        }
        if logged.is_none_or(|at| at.elapsed() >= REMIND) {
            tracing::warn!("{error}; trying again; nothing is lost: the changelog has it");
            logged = Some(Instant::now());
        }
        std::thread::park_timeout(pause);
        pause = (pause * 2).min(BACKOFF.1);
    }
}
