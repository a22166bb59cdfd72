//! The agents of a task that the clock calls: timers and crontabs, and when each is called next.

use std::cell::Cell;

use chrono::{SecondsFormat, TimeDelta};

use crate::record::date;
use crate::schedule::Schedule;

/// By how much the wall clock may be set back without a time being met again, in ms.
pub(super) const BACK: i64 = TimeDelta::hours(1).num_milliseconds();
/// Times that passed while nobody called are made up for when they are no older, in ms.
pub(super) const MADE_UP: i64 = TimeDelta::days(1).num_milliseconds();
/// No time is known yet.
pub(super) const UNKNOWN: i64 = i64::MIN;
/// No time comes.
pub(super) const NEVER: i64 = i64::MAX;
/// What its place in the text beside the offsets begins with; a table's begins with a letter.
pub(super) const SIGN: char = '@';

/// An agent that is called by the clock.
pub(crate) struct Timer {
    pub(crate) agent: usize,
    /// Milliseconds from one tick to the next.
    pub(crate) every: u64,
    /// Monotonic time of its next tick.
    pub(crate) next: Cell<u64>,
}

/// An agent that is called by the calendar.
pub(crate) struct Crontab {
    pub(crate) agent: usize,
    pub(super) name: &'static str,
    pub(super) schedule: Schedule,
    /// When this partition began to be looked after, where nobody has before; epoch ms.
    pub(super) since: Cell<Option<i64>>,
    /// The time up to which all calls are over: made, or given up.
    pub(super) over: Cell<Option<i64>>,
    /// The same in the prepared commit, and in the last one.
    pub(super) prepared: Cell<Option<i64>>,
    pub(super) committed: Cell<Option<i64>>,
    /// The time of its next call.
    pub(super) due: Cell<i64>,
    /// Attempts of that call that failed, and the monotonic time of the next one; 0: it is not one that failed.
    pub(super) failed: Cell<u32>,
    pub(super) again: Cell<u64>,
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
    pub(super) fn next(&self, from: i64) -> i64 {
        let next = self.schedule.next(date(from));
        next.map_or(NEVER, |next| next.timestamp_millis())
    }

    /// Finds the time of its next call. Those that nobody called are made up for, in their order: all of the last day,
    /// and of a longer time at least the last one.
    pub(super) fn look(&self, wall: i64, from: i64, partition: i32) {
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
    pub(super) fn at(&self, wall: i64, mono: u64) -> u64 {
        match (self.again.get(), self.due.get()) {
            (0, NEVER) => u64::MAX,
            (0, due) => mono.saturating_add(u64::try_from(due - wall).unwrap_or(0)),
            (again, _) => again,
        }
    }

    /// The calls are as far as this, and there is none that failed.
    pub(super) fn is_at(&self, over: Option<i64>) {
        self.over.set(over);
        self.due.set(UNKNOWN);
        self.failed.set(0);
        self.again.set(0);
    }

    pub(super) fn text(&self, over: Option<i64>) -> Option<String> {
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

pub(super) fn people(ms: i64) -> String {
    date(ms).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The agents that the clock calls, and when.
pub(crate) struct Calls {
    pub(crate) timers: Vec<Timer>,
    pub(crate) crontabs: Vec<Crontab>,
    /// Monotonic time of the next tick; `u64::MAX` without timers and crontabs, 0 before the first turn.
    pub(crate) next_tick: Cell<u64>,
    /// Wall clock time of the first call of a crontab, whatever became of the clock; `i64::MAX` without.
    pub(crate) next_call: Cell<i64>,
    /// Wall clock time up to which no crontab is called.
    pub(crate) calls_from: Cell<i64>,
    /// Wall clock time, epoch ms, that the current tick was due at.
    pub(crate) tick_due: Cell<i64>,
}

impl Calls {
    pub(super) fn new(timers: Vec<Timer>, crontabs: Vec<Crontab>) -> Self {
        Calls {
            next_tick: Cell::new(match timers.is_empty() && crontabs.is_empty() {
                true => u64::MAX,
                false => 0,
            }),
            next_call: Cell::new(i64::MAX),
            calls_from: Cell::new(i64::MIN),
            tick_due: Cell::default(),
            timers,
            crontabs,
        }
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
