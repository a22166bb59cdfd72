//! Crontab expressions: when the next time is.
//!
//! The expression is asked in the clock's own time, without a zone; what a clock change makes of that is decided here.

use chrono::{DateTime, Days, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::error::{Error, Kind};

/// No offset from UTC changes twice in so short a time.
const STEP: TimeDelta = TimeDelta::hours(6);

/// A crontab expression in its time zone.
///
/// Where the clocks go forward, every time that they jump over is met at the first moment after; where they go back, a
/// time that comes twice is met the first time only. An expression that goes by minutes or hours (`*`, `*/5`) follows
/// the clock instead: it leaves out what is jumped over, and meets what comes twice both times.
pub(crate) struct Schedule {
    cron: Cron,
    zone: Tz,
    /// Minutes or hours go on through a clock change.
    by_the_clock: bool,
}

impl Schedule {
    /// `expression` has five fields; `zone` is a name of the tz database.
    ///
    /// # Errors
    /// Either does not read.
    pub(crate) fn new(expression: &str, zone: &str) -> Result<Self, Error> {
        let wrong = |problem: String| {
            let text = format!("crontab {expression:?} in {zone:?}: {problem}");
            Error::new(Kind::Configuration, text)
        };
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        Ok(Schedule {
            cron: parser
                .parse(expression)
                .map_err(|problem| wrong(problem.to_string()))?,
            zone: zone
                .parse()
                .map_err(|_| wrong("there is no such time zone".to_owned()))?,
            by_the_clock: goes_by_the_clock(expression),
        })
    }

    /// Returns the first time after `from`; `None` when there is none.
    pub(crate) fn next(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.by_the_clock {
            self.next_by_the_clock(from)
        } else {
            self.next_of_the_day(from)
        }
    }

    /// Each of the expression's times is one moment, in their order: the first that is after `from`.
    fn next_of_the_day(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // No time up to the clock's own is a moment after `from`.
        let mut local = self.local(from);
        loop {
            local = self.cron.find_next_occurrence(&local, false).ok()?;
            let moment = self.moment(local);
            if moment > from {
                return Some(moment);
            }
        }
    }

    /// The moments at which the clock shows one of the expression's times.
    fn next_by_the_clock(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (mut from, mut inclusive) = (from, false);
        loop {
            let local = self.local(from);
            let next = self.cron.find_next_occurrence(&local, inclusive).ok()?;
            let moment = from + (next - local);
            match self.change(from, moment) {
                Some(change) if change <= moment => (from, inclusive) = (change, true),
                _ => return Some(moment),
            }
        }
    }

    /// What the clock shows.
    fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        self.zone.from_utc_datetime(&at.naive_utc()).naive_local()
    }

    fn offset(&self, at: DateTime<Utc>) -> i32 {
        let offset = self.zone.offset_from_utc_datetime(&at.naive_utc());
        offset.fix().local_minus_utc()
    }

    /// When the clock shows this time first, or jumps over it.
    fn moment(&self, local: NaiveDateTime) -> DateTime<Utc> {
        match self.zone.from_local_datetime(&local) {
            MappedLocalTime::Single(moment) | MappedLocalTime::Ambiguous(moment, _) => {
                moment.with_timezone(&Utc)
            }
            MappedLocalTime::None => {
                // A zone may skip a whole day.
                let around = local.and_utc();
                let before = around - Days::new(2);
                self.first(before, around + Days::new(2), |at| self.local(at) > local)
            }
        }
    }

    /// The first moment after `from`, up to `to`, at which the offset from UTC is another one.
    fn change(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let offset = self.offset(from);
        let mut at = from;
        while at < to {
            let next = (at + STEP).min(to);
            if self.offset(next) != offset {
                return Some(self.first(at, next, |at| self.offset(at) != offset));
            }
            at = next;
        }
        None
    }

    /// The first second after `before`, up to `after`, at which `is` holds; it holds from then on.
    fn first(
        &self,
        before: DateTime<Utc>,
        after: DateTime<Utc>,
        is: impl Fn(DateTime<Utc>) -> bool,
    ) -> DateTime<Utc> {
        let (mut low, mut high) = (before.timestamp(), after.timestamp());
        let at = |second| DateTime::from_timestamp(second, 0).unwrap_or(after);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if is(at(middle)) {
                high = middle;
            } else {
                low = middle;
            }
        }
        at(high)
    }
}

/// Whether an expression goes by minutes or hours: one of the two begins with a star.
fn goes_by_the_clock(expression: &str) -> bool {
    if expression.trim_start().starts_with('@') {
        return expression.trim().eq_ignore_ascii_case("@hourly");
    }
    let fields = expression.split_whitespace().take(2);
    let mut parts = fields.flat_map(|field| field.split(','));
    parts.any(|part| part.starts_with(['*', '?']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::new(expression, zone).unwrap();
        let mut now: DateTime<Utc> = from.parse().unwrap();
        let mut out = Vec::new();
        for _ in 0..count {
            now = schedule.next(now).unwrap();
            out.push(now.format("%m-%dT%H:%M").to_string());
        }
        out
    }

    #[test]
    fn the_vectors_hold() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/cases/starts.json");
        let text = std::fs::read_to_string(file).unwrap();
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        let cases = all["crontab"].as_array().unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let word = |name: &str| case[name].as_str();
            let zone = word("timezone").unwrap_or("UTC");
            let from: DateTime<Utc> = word("from").unwrap().parse().unwrap();
            let schedule = Schedule::new(word("spec").unwrap(), zone).unwrap();
            let wait = schedule.next(from).unwrap() - from;
            assert_eq!(
                wait.num_seconds(),
                case["seconds_to_next"].as_i64().unwrap(),
                "{case}"
            );
        }
    }

    #[test]
    fn a_day_of_the_month_or_of_the_week() {
        // As cron has it: either is enough when both are given.
        assert_eq!(
            times("0 0 13 * FRI", "UTC", "2026-02-01T00:00:00Z", 4),
            ["02-06T00:00", "02-13T00:00", "02-20T00:00", "02-27T00:00"]
        );
        assert_eq!(
            times("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 1),
            ["02-29T00:00"]
        );
    }

    #[test]
    fn clocks_that_change_skip_nothing_and_repeat_nothing() {
        // Berlin goes forward on 29 March 2026 at 2:00 (1:00 UTC): 2:30 does not exist.
        let spring = times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3);
        assert_eq!(spring[0], "03-28T01:30");
        assert!(spring[1].starts_with("03-29T01:"), "{spring:?}");
        assert_eq!(spring[2], "03-30T00:30");
        // And back on 25 October at 3:00: 2:30 comes twice, and is met once.
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["10-25T00:30", "10-26T01:30"]
        );
        // What goes by minutes goes on.
        let all = times("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 6);
        assert_eq!(
            all,
            [
                "10-25T00:00",
                "10-25T00:30",
                "10-25T01:00",
                "10-25T01:30",
                "10-25T02:00",
                "10-25T02:30"
            ]
        );
    }

    /// What cron would call within a day in `zone`, in UTC, by looking at every minute of the clock: independent of
    /// what finds the next time.
    fn by_definition(expression: &str, zone: &str, from: &str, hours: i64) -> Vec<DateTime<Utc>> {
        let schedule = Schedule::new(expression, zone).unwrap();
        let from: DateTime<Utc> = from.parse().unwrap();
        let fits = |local: NaiveDateTime| {
            let before = local - TimeDelta::minutes(1);
            schedule.cron.find_next_occurrence(&before, false).unwrap() == local
        };
        let mut seen = std::collections::BTreeSet::new();
        let mut called = Vec::new();
        let mut last = schedule.local(from) - TimeDelta::minutes(1);
        for minute in 0..hours * 60 {
            let at = from + TimeDelta::minutes(minute);
            let local = schedule.local(at);
            let mut due = false;
            if schedule.by_the_clock {
                due = fits(local);
            } else {
                // What the clock has come to since the last minute, jumped over or not.
                let mut shown = last + TimeDelta::minutes(1);
                while shown <= local {
                    due |= fits(shown) && seen.insert(shown);
                    shown += TimeDelta::minutes(1);
                }
            }
            last = last.max(local);
            if due {
                called.push(at);
            }
        }
        called
    }

    #[test]
    fn lists_and_ranges_meet_a_clock_change_as_one_schedule_for_each_of_their_times_does() {
        // Half a day before each.
        let changes = [
            ("Europe/Berlin", "2026-03-28T13:00:00Z"),
            ("Europe/Berlin", "2026-10-24T13:00:00Z"),
            ("America/Havana", "2026-03-07T17:00:00Z"),
            ("America/Havana", "2026-10-31T17:00:00Z"),
            ("Australia/Lord_Howe", "2026-04-04T03:00:00Z"),
            ("Australia/Lord_Howe", "2026-10-03T03:30:00Z"),
            ("Pacific/Apia", "2011-12-29T22:00:00Z"),
            ("Asia/Kolkata", "2026-03-28T00:00:00Z"),
        ];
        let expressions = [
            "30 2 * * *",
            "0,30 2 * * *",
            "15,45 2 * * *",
            "30 1-3 * * *",
            "30 1,2,3 * * *",
            "10-50/20 0-4/2 * * *",
            "0 0 * * *",
            "0,15,30,45 0,1,2,23 * * *",
            "*/30 2 * * *",
            "*/20 * * * *",
            "5 * * * *",
            "7 */2 * * *",
            "15 2 29 3 *",
            "30 2,3 * * SUN",
            "@daily",
            "@hourly",
        ];
        for (zone, from) in changes {
            for expression in expressions {
                let expected = by_definition(expression, zone, from, 30);
                let schedule = Schedule::new(expression, zone).unwrap();
                let mut now: DateTime<Utc> = from.parse().unwrap();
                let end = now + TimeDelta::hours(30);
                now -= TimeDelta::seconds(1);
                let mut called = Vec::new();
                while let Some(next) = schedule.next(now).filter(|next| *next < end) {
                    assert!(next > now, "{expression} in {zone}");
                    called.push(next);
                    now = next;
                }
                assert_eq!(called, expected, "{expression} in {zone} from {from}");
            }
        }
    }

    #[test]
    fn a_list_is_not_left_out_in_spring_nor_met_twice_in_autumn() {
        let spring = |e| times(e, "Europe/Berlin", "2026-03-28T12:00:00Z", 3);
        assert_eq!(
            spring("15,45 2 * * *"),
            ["03-29T01:00", "03-30T00:15", "03-30T00:45"]
        );
        assert_eq!(
            spring("30 1-3 * * *"),
            ["03-29T00:30", "03-29T01:00", "03-29T01:30"]
        );
        let autumn = |e| times(e, "Europe/Berlin", "2026-10-24T12:00:00Z", 3);
        assert_eq!(
            autumn("0,30 2 * * *"),
            ["10-25T00:00", "10-25T00:30", "10-26T01:00"]
        );
        assert_eq!(
            autumn("30 1,2,3 * * *"),
            ["10-24T23:30", "10-25T00:30", "10-25T02:30"]
        );
        assert_eq!(
            times("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 1),
            ["03-30T00:00"]
        );
    }

    #[test]
    fn a_zone_that_skips_a_day_goes_on() {
        // Samoa had no 30 December 2011: its calls come with the first moment of the 31st, 10:00 UTC.
        let all = times("0 8 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 4);
        assert_eq!(
            all,
            ["12-29T18:00", "12-30T10:00", "12-30T18:00", "12-31T18:00"]
        );
        let all = times("0 8 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", 2);
        assert_eq!(all, ["12-30T10:00", "12-29T18:00"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |expression, zone| Schedule::new(expression, zone).err().unwrap().to_string();
        assert!(said("0 * * * *", "Mars/Base").contains("Mars/Base"));
        assert!(said("* * *", "UTC").contains("* * *"));
    }
}
