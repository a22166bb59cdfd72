//! Crontab expressions: when the next time is.

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::error::{Error, Kind};

/// A crontab expression in its time zone.
///
/// Where the clocks go forward, a time that does not exist is the first one after; where they go back, a time that
/// exists twice is met once, unless the expression goes by minutes or hours (`*`, `*/5`).
pub(crate) struct Schedule {
    cron: Cron,
    zone: Tz,
}

impl Schedule {
    /// `expression` has five fields; `zone` is a name of the tz database.
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
        })
    }

    /// The first time after `from`; `None` when there is none.
    pub(crate) fn next(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let from = self.zone.from_utc_datetime(&from.naive_utc());
        let next = self.cron.find_next_occurrence(&from, false).ok()?;
        Some(next.with_timezone(&Utc))
    }
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
        let dir = std::env::var_os("STREAM_CASES")
            .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/cases").into());
        let file = std::path::Path::new(&dir).join("starts.json");
        let Ok(text) = std::fs::read_to_string(&file) else {
            println!("skipped: there is no {}", file.display());
            return;
        };
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

    #[test]
    fn what_is_wrong_is_named() {
        let said = |expression, zone| Schedule::new(expression, zone).err().unwrap().to_string();
        assert!(said("0 * * * *", "Mars/Base").contains("Mars/Base"));
        assert!(said("* * *", "UTC").contains("* * *"));
    }
}
