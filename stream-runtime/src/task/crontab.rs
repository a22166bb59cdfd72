//! Crontabs that run per partition: a call is an event of its own, and how far the calls are goes with the commit.

use super::calls::{Crontab, NEVER, UNKNOWN, people};
use super::dispatch::Current;
use super::failure_policy::backoff;
use super::state::{AgentCx, TaskState};
use crate::error::{Action, Failure};

impl TaskState {
    fn crontab(&self, agent: usize) -> Option<&Crontab> {
        self.calls
            .crontabs
            .iter()
            .find(|crontab| crontab.agent == agent)
    }

    /// Begins the call that is due longest.
    pub(crate) fn begin_due_call(&self) -> bool {
        let (wall, mono) = (self.times.wall.get(), self.times.mono.get());
        for crontab in self
            .calls
            .crontabs
            .iter()
            .filter(|c| c.due.get() == UNKNOWN)
        {
            crontab.look(wall, self.calls.calls_from.get(), self.partition);
        }
        let due = self
            .calls
            .crontabs
            .iter()
            .filter(|c| c.due.get() <= wall && c.again.get() <= mono);
        let Some(crontab) = due.min_by_key(|crontab| crontab.due.get()) else {
            return false;
        };
        crontab.again.set(0);
        self.calls.tick_due.set(crontab.due.get());
        self.begin_tick(crontab.agent);
        true
    }

    /// Monotonic time of the next call, and the wall clock's where that decides.
    pub(crate) fn next_call(&self) -> (u64, i64) {
        let (wall, mono) = (self.times.wall.get(), self.times.mono.get());
        let next = self
            .calls
            .crontabs
            .iter()
            .map(|crontab| crontab.at(wall, mono));
        let first = self
            .calls
            .crontabs
            .iter()
            .filter(|crontab| crontab.again.get() == 0);
        let first = first.map(|crontab| crontab.due.get());
        (next.min().unwrap_or(u64::MAX), first.min().unwrap_or(NEVER))
    }

    /// The current tick is a call of a crontab; the time that it is for.
    pub(crate) fn current_call(&self) -> Option<i64> {
        match self.dispatch.current.get() {
            Current::Tick(agent) if !self.calls.crontabs.is_empty() => {
                self.crontab(agent).map(|_| self.calls.tick_due.get())
            }
            _ => None,
        }
    }

    /// A tick is over: a call that is not made again is behind.
    pub(crate) fn tick_is_over(&self, agent: usize) {
        let Some(crontab) = self.crontab(agent).filter(|c| c.again.get() == 0) else {
            return;
        };
        crontab.is_at(Some(self.calls.tick_due.get()));
        crontab.look(
            self.times.wall.get(),
            self.calls.calls_from.get(),
            self.partition,
        );
        // The next turn looks when the next one is due.
        self.calls
            .next_tick
            .set(self.times.mono.get().min(self.calls.next_tick.get()));
    }

    /// No call for a time up to this one is made.
    pub(crate) fn leave_out_calls(&self, until: i64) {
        self.calls.calls_from.set(until);
        for crontab in &self.calls.crontabs {
            crontab.due.set(UNKNOWN);
            self.calls
                .next_tick
                .set(self.times.mono.get().min(self.calls.next_tick.get()));
        }
    }
}

impl AgentCx {
    /// Decides about a call that failed; `true`: it is made again later, and until then other events are handled.
    pub(crate) fn calls_again(&self, failure: &Failure) -> bool {
        let shared = &self.shared;
        let Some(due) = shared.current_call() else {
            return false;
        };
        let Some(crontab) = shared.crontab(self.agent) else {
            return false;
        };
        let failed = crontab.failed.get() + 1;
        crontab.failed.set(failed);
        self.state().attempts.set(failed);
        let options = &self.state().options;
        let wait = backoff(options.backoff_ms, failed);
        // A late call is tried until the time that comes next.
        let left = crontab
            .next(shared.times.wall.get().max(due))
            .saturating_sub(shared.times.wall.get());
        let fits = i64::try_from(wait).is_ok_and(|wait| wait < left);
        if failure.action() != Action::Retry || failed > options.retries || !fits {
            return false;
        }
        crontab
            .again
            .set(shared.times.mono.get().saturating_add(wait).max(1));
        tracing::warn!(
            partition = shared.partition,
            attempt = failed,
            of = u64::from(options.retries) + 1,
            retry_in_ms = wait,
            "crontab `{}`, due at {}, failed: {failure}",
            crontab.name,
            people(due)
        );
        true
    }
}
