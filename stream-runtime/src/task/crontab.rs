//! Crontabs that run per partition: a call is an event of its own, and how far the calls are goes with the commit.

use std::cell::Cell;

use chrono::{SecondsFormat, TimeDelta};

use super::agent::AgentCx;
use super::failing::backoff;
use super::shared::{Current, Shared};
use crate::error::{Action, Failure};
use crate::record::date;
use crate::schedule::Schedule;

/// By how much the wall clock may be set back without a time being met again, in ms.
const BACK: i64 = TimeDelta::hours(1).num_milliseconds();
/// Times that passed while nobody called are made up for when they are no older, in ms.
const MADE_UP: i64 = TimeDelta::days(1).num_milliseconds();
/// No time is known yet.
const UNKNOWN: i64 = i64::MIN;
/// No time comes.
const NEVER: i64 = i64::MAX;
/// What its place in the text beside the offsets begins with; a table's begins with a letter.
const SIGN: char = '@';

/// An agent that is called by the calendar.
pub(crate) struct Crontab {
    pub(crate) agent: usize,
    name: &'static str,
    schedule: Schedule,
    /// When this partition began to be looked after, where nobody has before; epoch ms.
    since: Cell<Option<i64>>,
    /// The time up to which all calls are over: made, or given up.
    over: Cell<Option<i64>>,
    /// The same in the prepared commit, and in the last one.
    prepared: Cell<Option<i64>>,
    committed: Cell<Option<i64>>,
    /// The time of its next call.
    due: Cell<i64>,
    /// Attempts of that call that failed, and the monotonic time of the next one; 0: it is not one that failed.
    failed: Cell<u32>,
    again: Cell<u64>,
}

impl Crontab {
    pub(crate) fn new(agent: usize, name: &'static str, schedule: Schedule) -> Self {
        Crontab {
            agent,
            name,
            schedule,
            since: Cell::new(None),
            over: Cell::new(None),
            prepared: Cell::new(None),
            committed: Cell::new(None),
            due: Cell::new(UNKNOWN),
            failed: Cell::new(0),
            again: Cell::new(0),
        }
    }

    /// First time after `from`.
    fn next(&self, from: i64) -> i64 {
        let next = self.schedule.next(date(from));
        next.map_or(NEVER, |next| next.timestamp_millis())
    }

    /// Finds the time of its next call. Those that nobody called are made up for, in their order: all of the last day, and
    /// of a longer time at least the last one.
    fn look(&self, wall: i64, from: i64, partition: i32) {
        let over = self.over.get().unwrap_or_else(|| {
            self.since.set(self.since.get().or(Some(wall)));
            self.over.set(self.since.get());
            wall
        });
        let mut from = over.max(from);
        if from.saturating_sub(wall) >= BACK {
            // The clock was wrong before: its times come again.
            from = wall;
        }
        let first = self.next(from);
        let oldest = wall.saturating_sub(MADE_UP);
        if first >= oldest {
            return self.due.set(first);
        }
        let mut due = self.next(oldest);
        if due > wall {
            // It is called less often than every day.
            due = first;
            while self.next(due) <= wall {
                due = self.next(due);
            }
        }
        self.due.set(due);
        if due != first {
            tracing::warn!(
                partition,
                "crontab `{}`: its times from {} to before {} passed while nobody called it, and are left out",
                self.name,
                people(first),
                people(due)
            );
        }
    }

    /// Monotonic time of its next attempt.
    fn at(&self, wall: i64, mono: u64) -> u64 {
        match (self.again.get(), self.due.get()) {
            (0, NEVER) => u64::MAX,
            (0, due) => mono.saturating_add(u64::try_from(due - wall).unwrap_or(0)),
            (again, _) => again,
        }
    }

    /// The calls are as far as this, and there is none that failed.
    fn is_at(&self, over: Option<i64>) {
        self.over.set(over);
        self.due.set(UNKNOWN);
        self.failed.set(0);
        self.again.set(0);
    }

    fn text(&self, over: Option<i64>) -> Option<String> {
        over.map(|over| format!("{SIGN}{}={over}", self.name))
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.over.get() != self.committed.get()
    }

    /// Takes what the group has beside its offsets.
    pub(crate) fn recovered<'a>(&self, texts: impl Iterator<Item = &'a str>) {
        let pairs = texts.flat_map(|text| text.split(';'));
        let pairs = pairs.filter_map(|pair| pair.strip_prefix(SIGN)?.split_once('='));
        let own = pairs.filter(|(name, _)| *name == self.name);
        let over = own.filter_map(|(_, over)| over.parse().ok()).max();
        self.committed.set(over);
        self.prepared.set(over);
        self.is_at(over);
    }

    /// Notes what the commit holds. Returns whether that is anything new.
    pub(crate) fn prepare(&self) -> bool {
        self.prepared.set(self.over.get());
        self.is_dirty()
    }

    /// What is to stand beside the offsets of the prepared commit.
    pub(crate) fn prepared(&self) -> Option<String> {
        self.text(self.prepared.get())
    }

    /// What stands beside those of the last one.
    pub(crate) fn committed(&self) -> Option<String> {
        self.text(self.committed.get())
    }

    pub(crate) fn commit(&self) {
        self.committed.set(self.prepared.get());
    }

    /// What was called since the last commit is called again.
    pub(crate) fn aborted(&self) {
        self.prepared.set(self.committed.get());
        if self.is_dirty() {
            self.is_at(self.committed.get().or(self.since.get()));
        }
    }
}

fn people(ms: i64) -> String {
    date(ms).to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl Shared {
    fn crontab(&self, agent: usize) -> Option<&Crontab> {
        self.crontabs.iter().find(|crontab| crontab.agent == agent)
    }

    /// Begins the call that is due longest.
    pub(super) fn begin_due_call(&self) -> bool {
        let (wall, mono) = (self.wall.get(), self.mono.get());
        for crontab in self.crontabs.iter().filter(|c| c.due.get() == UNKNOWN) {
            crontab.look(wall, self.calls_from.get(), self.partition);
        }
        let due = self
            .crontabs
            .iter()
            .filter(|c| c.due.get() <= wall && c.again.get() <= mono);
        let Some(crontab) = due.min_by_key(|crontab| crontab.due.get()) else {
            return false;
        };
        crontab.again.set(0);
        self.tick_due.set(crontab.due.get());
        self.begin_tick(crontab.agent);
        true
    }

    /// Monotonic time of the next call, and the wall clock's where that decides.
    pub(super) fn next_call(&self) -> (u64, i64) {
        let (wall, mono) = (self.wall.get(), self.mono.get());
        let next = self.crontabs.iter().map(|crontab| crontab.at(wall, mono));
        let first = self
            .crontabs
            .iter()
            .filter(|crontab| crontab.again.get() == 0);
        let first = first.map(|crontab| crontab.due.get());
        (next.min().unwrap_or(u64::MAX), first.min().unwrap_or(NEVER))
    }

    /// The tick in hand is a call of a crontab; the time that it is for.
    pub(crate) fn call_in_hand(&self) -> Option<i64> {
        match self.current.get() {
            Current::Tick(agent) if !self.crontabs.is_empty() => {
                self.crontab(agent).map(|_| self.tick_due.get())
            }
            _ => None,
        }
    }

    /// A tick is over: a call that is not made again is behind.
    pub(super) fn tick_is_over(&self, agent: usize) {
        let Some(crontab) = self.crontab(agent).filter(|c| c.again.get() == 0) else {
            return;
        };
        crontab.is_at(Some(self.tick_due.get()));
        crontab.look(self.wall.get(), self.calls_from.get(), self.partition);
        // The next turn looks when the next one is due.
        self.next_tick
            .set(self.mono.get().min(self.next_tick.get()));
    }

    /// No call for a time up to this one is made.
    pub(crate) fn leave_out_calls(&self, until: i64) {
        self.calls_from.set(until);
        for crontab in &self.crontabs {
            crontab.due.set(UNKNOWN);
            self.next_tick
                .set(self.mono.get().min(self.next_tick.get()));
        }
    }
}

impl AgentCx {
    /// Decides about a call that failed; `true`: it is made again later, and until then other events are handled.
    pub(super) fn calls_again(&self, failure: &Failure) -> bool {
        let shared = &self.shared;
        let Some(due) = shared.call_in_hand() else {
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
            .next(shared.wall.get().max(due))
            .saturating_sub(shared.wall.get());
        let fits = i64::try_from(wait).is_ok_and(|wait| wait < left);
        if failure.action() != Action::Retry || failed > options.retries || !fits {
            return false;
        }
        crontab
            .again
            .set(shared.mono.get().saturating_add(wait).max(1));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> i64 {
        let time: chrono::DateTime<chrono::Utc> = time.parse().unwrap();
        time.timestamp_millis()
    }

    /// Times of the calls, where nobody has called since `over` and it is `wall` now.
    fn called(expression: &str, over: &str, wall: &str) -> Vec<String> {
        let crontab = Crontab::new(0, "report", Schedule::new(expression, "UTC").unwrap());
        let wall = at(wall);
        crontab
            .recovered([format!("table=7;@reports=3;@report={};x", at(over)).as_str()].into_iter());
        let mut times = Vec::new();
        loop {
            crontab.look(wall, i64::MIN, 0);
            let due = crontab.due.get();
            if due > wall {
                return times;
            }
            times.push(people(due));
            crontab.is_at(Some(due));
        }
    }

    #[test]
    fn calls_that_nobody_made_are_made_up_for_in_their_order() {
        let hours = called("0 * * * *", "2026-03-01T10:00:00Z", "2026-03-01T13:30:00Z");
        assert_eq!(
            hours,
            [
                "2026-03-01T11:00:00Z",
                "2026-03-01T12:00:00Z",
                "2026-03-01T13:00:00Z"
            ]
        );
        // To the minute of the call, and not before.
        let none = called("0 * * * *", "2026-03-01T10:00:00Z", "2026-03-01T10:59:59Z");
        assert!(none.is_empty(), "{none:?}");
    }

    #[test]
    fn of_calls_that_are_older_than_a_day_only_the_last_is_made_up_for() {
        let days = called("0 0 * * *", "2026-03-01T00:00:00Z", "2026-03-05T12:00:00Z");
        assert_eq!(days, ["2026-03-05T00:00:00Z"]);
        let weeks = called(
            "0 0 * * MON",
            "2026-01-01T00:00:00Z",
            "2026-03-05T12:00:00Z",
        );
        assert_eq!(weeks, ["2026-03-02T00:00:00Z"]);
        let minutes = called("* * * * *", "2016-03-01T00:00:00Z", "2026-03-05T12:00:30Z");
        assert_eq!(minutes.len(), 1440, "a day of them");
        assert_eq!(minutes[0], "2026-03-04T12:01:00Z");
    }

    #[test]
    fn a_clock_that_was_set_back_a_little_calls_for_no_time_twice() {
        let next = |over: &str, wall: &str| {
            let crontab = Crontab::new(0, "report", Schedule::new("0 * * * *", "UTC").unwrap());
            crontab.is_at(Some(at(over)));
            crontab.look(at(wall), i64::MIN, 0);
            people(crontab.due.get())
        };
        let (noon, later) = ("2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z");
        assert_eq!(next(noon, "2026-03-01T11:59:00Z"), later);
        // It stood in the future before.
        assert_eq!(next("2036-01-01T00:00:00Z", "2026-03-01T12:30:00Z"), later);
    }

    #[test]
    fn what_nobody_has_called_before_begins_now_and_an_aborted_commit_keeps_that() {
        let crontab = Crontab::new(0, "report", Schedule::new("0 * * * *", "UTC").unwrap());
        crontab.recovered([""].into_iter());
        crontab.look(at("2026-03-01T11:59:00Z"), i64::MIN, 0);
        assert!(crontab.prepare(), "the next owner is told");
        assert_eq!(crontab.committed(), None);
        let text = crontab.prepared().unwrap();
        // The call is made, and its commit fails.
        crontab.is_at(Some(at("2026-03-01T12:00:00Z")));
        crontab.aborted();
        crontab.look(at("2026-03-01T12:00:01Z"), i64::MIN, 0);
        assert_eq!(people(crontab.due.get()), "2026-03-01T12:00:00Z");
        assert_eq!(
            crontab.prepare().then(|| crontab.prepared()),
            Some(Some(text))
        );
        crontab.commit();
        assert!(!crontab.is_dirty() && crontab.committed().is_some());
    }
}
