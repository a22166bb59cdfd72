//! Timers and crontabs that run per partition: a tick is an event of its own.

use super::dispatch::Current;
use super::state::TaskState;
use crate::table::Hand;

impl TaskState {
    /// Hands a tick to its timer: its time is the wall clock, which moves no stream time.
    pub(crate) fn begin_tick(&self, agent: usize) {
        let clock = &self.clock;
        self.dispatch
            .budget
            .set(self.dispatch.budget.get().saturating_sub(1));
        clock.event_time.set(self.times.wall.get());
        clock.judge_time.set(clock.stream_time.get());
        clock.hand.set(Hand::One);
        self.dispatch.counts.set(false);
        self.dispatch.current.set(Current::Tick(agent));
        self.dispatch_to(&[agent]);
    }

    /// Begins a tick that is due, of a timer or else of a crontab. Of a timer the first comes one interval after the
    /// task's first turn. Ticks that were missed are not made up for.
    pub(crate) fn begin_due_tick(&self) -> bool {
        let now = self.times.mono.get();
        for timer in self
            .calls
            .timers
            .iter()
            .filter(|timer| timer.next.get() == 0)
        {
            timer.next.set(now.saturating_add(timer.every));
        }
        let due = self
            .calls
            .timers
            .iter()
            .find(|timer| timer.next.get() <= now);
        if let Some(timer) = due {
            let late = i64::try_from(now - timer.next.get()).unwrap_or(i64::MAX);
            self.calls
                .tick_due
                .set(self.times.wall.get().saturating_sub(late));
            let next = timer.next.get().saturating_add(timer.every);
            let next = if next > now {
                next
            } else {
                now.saturating_add(timer.every)
            };
            timer.next.set(next);
            self.begin_tick(timer.agent);
        }
        let begun = due.is_some() || self.begin_due_call();
        let (call, clock) = self.next_call();
        let next = self.calls.timers.iter().map(|timer| timer.next.get()).min();
        self.calls.next_tick.set(next.unwrap_or(u64::MAX).min(call));
        self.calls.next_call.set(clock);
        begun
    }
}
