//! The thread that writes to the store, one a worker.
//!
//! Writing waits for the disk, so stream threads hand their rounds over and go on. What several of them have handed
//! over in the meantime goes into one round, because a flush is of the whole store. A round that fails is tried again
//! until it succeeds, the store turns out to be corrupt, or the worker ends.
//!
//! A tree is written for one owner at a time, the last that [owned](StorerClient::own) it. What an earlier one handed
//! over and was not written by then, as a partition's last round before it moved to another stream thread, never is: it
//! would be written over what the owner has found there.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Checkpoint, Row, Store, StoreError, Tree, TreeWrite};

use crate::clock;
use crate::sync::Mutex;

/// The first and the longest pause before a failed round is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How often a failure that lasts is logged.
const REMIND: Duration = Duration::from_secs(60);

/// Owns the storer's thread. Dropping it stops the thread after what has been handed over is written.
pub struct Flusher {
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
    /// An error is final: the store is corrupt, the worker ended before a retry could succeed, or the tree has another
    /// owner.
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
    /// Held while a round is tried.
    owners: Mutex<Owners>,
}

/// The handle of each tree's owner.
type Owners = HashMap<(String, i32), Arc<dyn Tree>>;

/// A tree, as its owner has it.
struct Owned(Arc<dyn Tree>);

impl Tree for Owned {
    fn table(&self) -> &str {
        self.0.table()
    }

    fn partition(&self) -> i32 {
        self.0.partition()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key)
    }

    fn scan<'a>(
        &'a self,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Box<dyn Iterator<Item = Result<Row, StoreError>> + 'a> {
        self.0.scan(from, to)
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        self.0.is_empty()
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        self.0.checkpoint()
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.0.clear()
    }
}

impl Flusher {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(store: Arc<dyn Store>) -> io::Result<Flusher> {
        let (jobs, queue) = channel();
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("storer".to_owned())
            .spawn(move || run(&*store, &queue, &seen))?;
        Ok(Flusher {
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

    /// Why the round in flight is being tried again, if it is.
    pub fn trouble(&self) -> Option<StoreError> {
        self.shared.trouble.lock().clone()
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

impl Drop for Flusher {
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

    /// A handle of the tree for a new owner: from now on the tree is written for whoever hands over this handle, and
    /// for nobody else. Waits for a round that is being tried: when this returns, the tree holds what it will hold.
    pub fn own(&self, tree: Arc<dyn Tree>) -> Arc<dyn Tree> {
        let id = (tree.table().to_owned(), tree.partition());
        // A handle of its own, also where the store gives everybody the same one.
        let owned: Arc<dyn Tree> = Arc::new(Owned(tree));
        let mut owners = self.shared.owners.lock();
        owners.insert(id, Arc::clone(&owned));
        owned
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
        let mut round = Round::default();
        round.add(first);
        while let Ok(job) = queue.try_recv() {
            round.add(job);
        }
        let result = write(store, &mut round, shared);
        for waiting in round.waiting {
            let result = match waiting.superseded {
                Some(error) => Err(error),
                None => result.clone(),
            };
            // A stream thread that has ended does not ask any more.
            let _ = waiting.done.send(Stored {
                ticket: waiting.ticket,
                result,
            });
            (waiting.bell)();
        }
    }
}

/// What is written together, and who waits for it.
#[derive(Default)]
struct Round {
    writes: Vec<TreeWrite>,
    /// Whose each write is: a place in `waiting`.
    of: Vec<usize>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    ticket: u64,
    done: Sender<Stored>,
    bell: Bell,
    superseded: Option<StoreError>,
}

impl Round {
    fn add(&mut self, job: Job) {
        let at = self.waiting.len();
        self.of.extend(job.writes.iter().map(|_| at));
        self.writes.extend(job.writes);
        self.waiting.push(Waiting {
            ticket: job.ticket,
            done: job.done,
            bell: job.bell,
            superseded: None,
        });
    }

    /// Takes out what is not for a tree's owner.
    fn keep_owned(&mut self, owners: &Owners) {
        for at in (0..self.writes.len()).rev() {
            let tree = &self.writes[at].tree;
            let id = (tree.table().to_owned(), tree.partition());
            let other = owners.get(&id).filter(|owner| !Arc::ptr_eq(owner, tree));
            if other.is_some() {
                self.waiting[self.of[at]].superseded = Some(StoreError::superseded(&id.0, id.1));
                self.writes.swap_remove(at);
                self.of.swap_remove(at);
            }
        }
    }
}

fn write(store: &dyn Store, round: &mut Round, shared: &Shared) -> Result<(), StoreError> {
    let mut failures = 0;
    let mut logged: Option<Instant> = None;
    let begun = Instant::now();
    tracing::debug!(trees = round.writes.len(), "writing the store");
    loop {
        let last = shared.stopping.load(Ordering::Acquire);
        let result = {
            let owners = shared.owners.lock();
            round.keep_owned(&owners);
            store.round(&mut round.writes)
        };
        *shared.trouble.lock() = result.as_ref().err().cloned();
        let error = match result {
            Ok(()) => {
                shared.rounds.fetch_add(1, Ordering::Relaxed);
                if logged.is_some() {
                    tracing::info!("the store is written again");
                }
                let took = begun.elapsed().as_millis();
                tracing::debug!("the store was written in {took} ms");
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
        failures += 1;
        std::thread::park_timeout(clock::backoff(BACKOFF.0, failures, BACKOFF.1));
    }
}
