//! Asking a worker to end.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use crate::kafka::Wake;

/// Asks a worker to end in order: stop reading, commit what is acknowledged, store, leave the group.
/// Clones ask the same worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    asked: OnceLock<Instant>,
    wakes: Mutex<Vec<Wake>>,
}

impl Stop {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Asks; more than once is the same.
    pub(crate) fn ask(&self) {
        self.0.asked.get_or_init(Instant::now);
        for wake in self
            .0
            .wakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            wake.wake();
        }
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.since().is_some()
    }

    /// When it was first asked.
    pub(super) fn since(&self) -> Option<Instant> {
        self.0.asked.get().copied()
    }

    /// A thread to wake when asked.
    pub(super) fn wakes(&self, wake: &Wake) {
        self.0
            .wakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(wake.clone());
    }
}
