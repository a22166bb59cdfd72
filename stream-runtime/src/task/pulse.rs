//! Whose code a stream thread is running, for the watchdog.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Written by a stream thread around each poll of an agent, read by another thread.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Number of the agent in the plan, plus one; 0 when none runs.
    agent: AtomicUsize,
    since: AtomicU64,
}

impl Pulse {
    pub(crate) fn enter(&self, agent: usize, mono: u64) {
        self.since.store(mono, Ordering::Relaxed);
        self.agent.store(agent + 1, Ordering::Release);
    }

    pub(crate) fn leave(&self) {
        self.agent.store(0, Ordering::Release);
    }

    /// The agent that runs, by its number in the plan, and the monotonic ms since when.
    pub fn running(&self) -> Option<(usize, u64)> {
        let agent = self.agent.load(Ordering::Acquire).checked_sub(1)?;
        Some((agent, self.since.load(Ordering::Relaxed)))
    }
}
