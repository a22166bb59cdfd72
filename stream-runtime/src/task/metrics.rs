//! What others ask of a task: what it waits for, how far it is, what it has counted.

use std::sync::atomic::Ordering;

use super::agent::{AgentState, Status};
use super::calls::Crontab;
use super::dispatch::Current;
use super::record_buffer::RecordBuffer;
use super::sources::Sources;
use super::task::Task;

/// An agent that waits for its next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retrying {
    /// Its name.
    pub agent: &'static str,
    /// Attempts that failed.
    pub failed: u32,
    /// When it gets the event again: monotonic time, ms.
    pub at: u64,
}
impl Task {
    /// Monotonic time in ms at which the task wants its next turn, for a retry, a timeout or a tick.
    pub fn next_wake(&self) -> Option<u64> {
        let retry = |a: &AgentState| match a.status.get() {
            Status::Retry(at) => Some(at),
            _ => None,
        };
        self.shared
            .agents
            .iter()
            .filter_map(|a| {
                [retry(a), a.deadline.get(), a.holds.alarm.get()]
                    .into_iter()
                    .flatten()
                    .min()
            })
            .chain(self.next_tick())
            .chain(self.shared.lacking_until())
            .min()
    }

    /// When the next tick can begin: a current event is waited for.
    fn next_tick(&self) -> Option<u64> {
        let next = self.shared.calls.next_tick.get();
        (next != u64::MAX && self.shared.dispatch.current.get() == Current::None).then_some(next)
    }

    /// Whether some agent has been woken since its last poll.
    pub fn is_woken(&self) -> bool {
        self.shared
            .agents
            .iter()
            .any(|a| a.wakeup.poke.get() || a.wakeup.waker.woken.load(Ordering::Acquire))
    }

    /// Whether nothing is in flight, waiting, due or in back-off.
    pub fn is_quiet(&self) -> bool {
        let shared = &self.shared;
        shared.dispatch.current.get() == Current::None
            && shared.inputs.inboxes.iter().all(|i| i.borrow().is_empty())
            && !shared.clock.is_due()
    }

    /// The agent whose event is tried again, when there is one: the one whose next attempt comes first.
    pub fn retrying(&self) -> Option<Retrying> {
        let waiting = self
            .shared
            .agents
            .iter()
            .filter_map(|a| match a.status.get() {
                Status::Retry(at) => Some((at, a)),
                _ => None,
            });
        let Some((at, agent)) = waiting.min_by_key(|(at, _)| *at) else {
            let (agent, failed, at) = self.shared.held_retry()?;
            let agent = self.shared.agents[agent].name;
            return Some(Retrying { agent, failed, at });
        };
        Some(Retrying {
            agent: agent.name,
            failed: agent.attempts.get(),
            at,
        })
    }

    /// Whether an agent waits for more events before it goes on with those that it has, or an empty input is waited
    /// for: a record wakes the task, or time.
    pub fn waits_for_more(&self) -> bool {
        let gathers = |a: &AgentState| {
            a.options.concurrency <= 1 && (a.holds.wants.get() || a.holds.alarm.get().is_some())
        };
        self.shared.lacking_until().is_some() || self.shared.agents.iter().any(gathers)
    }

    /// Where the current event comes from, for messages: `voltage_input[3]@17`.
    pub fn record_location(&self) -> String {
        self.shared.record_location()
    }

    /// Attempts of handlers that failed since the task began.
    pub fn failures(&self) -> u64 {
        self.shared.counters.failures.get()
    }

    /// Records sent to dead-letter topics since the task began.
    pub fn dead_letters(&self) -> u64 {
        self.shared.counters.dead.get()
    }

    /// Ticks of timers acknowledged since the task began.
    pub fn ticks(&self) -> u64 {
        self.shared.counters.ticks.get()
    }

    /// Events acknowledged since the task began, but for ticks.
    pub fn processed(&self) -> u64 {
        self.shared.counters.processed.get()
    }

    /// (record, window) pairs that came too late since the task began.
    pub fn late(&self) -> u64 {
        self.shared.clock.late.get()
    }

    /// Shortest `idle` of the tables that have open windows, in ms.
    pub fn idle_after(&self) -> Option<u64> {
        self.shared
            .tables
            .iter()
            .filter(|t| t.due_at() != i64::MAX)
            .filter_map(|t| t.descriptor().idle)
            .min()
    }

    /// First wall clock time after `wall`, epoch ms, at which a window of a table with `idle` is over.
    pub fn idle_due(&self, wall: i64) -> Option<i64> {
        let idle = self
            .shared
            .tables
            .iter()
            .filter(|t| t.descriptor().idle.is_some());
        let due = idle.map(|t| t.due_at());
        due.filter(|due| *due > wall && *due != i64::MAX).min()
    }

    /// Whether [`Task::idle`] would close something at this wall time.
    pub fn can_idle(&self, wall: i64) -> bool {
        let idle = self
            .shared
            .tables
            .iter()
            .filter(|t| t.descriptor().idle.is_some());
        let target = idle.filter_map(|t| t.idle_target(wall)).max();
        target.is_some_and(|target| target > self.shared.clock.stream_time.get())
            && !self.awaits_windows()
    }

    /// Returns whether windows are still to come from a task before this one: they would be late.
    pub(crate) fn awaits_windows(&self) -> bool {
        let sources = self.shared.times.sources.as_ref();
        sources.is_some_and(Sources::awaits_windows)
    }

    /// New rows whose key belongs to another partition.
    pub fn misplaced(&self) -> u64 {
        self.shared.clock.misplaced.get()
    }

    /// Lookups of keys that belong to another partition.
    pub fn misplaced_reads(&self) -> u64 {
        self.shared.clock.misplaced_reads.get()
    }

    /// Whether every agent has come to its end after [`Task::revoke`].
    pub fn has_left(&self) -> bool {
        self.futures.iter().all(Option::is_none)
    }

    /// Whether rows, how far crontabs are, or the text beside the offsets have changed since the last commit; also when
    /// they did so without an event.
    pub fn is_dirty(&self) -> bool {
        self.prepared.unsigned
            || self
                .shared
                .times
                .hops
                .iter()
                .any(|hop| hop.is_untold(&self.shared))
            || self.shared.clock.dirty.get() > 0
            || self.shared.calls.crontabs.iter().any(Crontab::is_dirty)
    }

    /// Rows of a table in the cache.
    pub fn cached(&self, table: usize) -> usize {
        self.shared.tables[table].cached()
    }

    /// Outputs that await the commit.
    pub fn batch(&self) -> std::cell::Ref<'_, RecordBuffer> {
        self.shared.effects.batch.borrow()
    }
}
