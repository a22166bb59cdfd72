//! Lines of the log that would come by the thousand: one a cause and interval, with the number of those left out.

use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use crate::sync::Mutex;

/// How often one cause is told of.
const INTERVAL: Duration = Duration::from_secs(10);
/// Causes of one source that are told apart; those beyond are one.
const CAUSES: usize = 8;

static SAID: Mutex<Said> = Mutex::new(Said { told: Vec::new() });

/// What has been told, and how much was left out since.
#[derive(Debug)]
struct Said {
    told: Vec<Told>,
}

#[derive(Debug)]
struct Told {
    source: String,
    cause: String,
    at: Instant,
    /// Left out since, and the text of the last.
    more: u64,
    last: String,
}

impl Said {
    fn news(&mut self, source: &str, text: &str, now: Instant) -> Option<u64> {
        let own = self.told.iter().filter(|told| told.source == source);
        let mut cause = cause_of(text);
        if own.clone().count() >= CAUSES && own.clone().all(|told| told.cause != cause) {
            cause = String::new();
        }
        let mut told = self.told.iter_mut();
        let Some(told) = told.find(|told| told.source == source && told.cause == cause) else {
            self.told.push(Told {
                source: source.to_owned(),
                cause,
                at: now,
                more: 0,
                last: String::new(),
            });
            return Some(0);
        };
        if now.duration_since(told.at) < INTERVAL {
            told.more += 1;
            text.clone_into(&mut told.last);
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.more))
    }

    fn left_out(&mut self, all: bool, now: Instant) -> Vec<(String, String, u64)> {
        let mut left = Vec::new();
        self.told.retain_mut(|told| {
            if !all && now.duration_since(told.at) < INTERVAL {
                return true;
            }
            if told.more > 0 {
                let (source, last) = (told.source.clone(), std::mem::take(&mut told.last));
                left.push((source, last, std::mem::take(&mut told.more)));
                told.at = now;
                return !all;
            }
            false
        });
        left
    }
}

/// A text without its digits, and without what is long.
fn cause_of(text: &str) -> String {
    let text = text.chars().filter(|c| !c.is_ascii_digit());
    text.take(200).collect()
}

fn said() -> MutexGuard<'static, Said> {
    SAID.lock()
}

/// Asks whether the log is to have a line with this text from this source, as an agent. `None`: not now, it is counted.
/// `Some`: how many alike were left out before it.
pub(crate) fn news(source: &str, text: &str) -> Option<u64> {
    said().news(source, text, Instant::now())
}

/// Returns what was left out and not told of since: source, the last text, how many. Of the last interval too with
/// `all`.
pub(crate) fn left_out(all: bool) -> Vec<(String, String, u64)> {
    said().left_out(all, Instant::now())
}

/// Tells in the log what was left out; of the last interval too with `all`.
pub(crate) fn say_left_out(all: bool) {
    for (source, last, more) in left_out(all) {
        tracing::warn!(
            of = source,
            "{more} more like the one before; the last: {last}"
        );
    }
}

/// The end of a line before which so many were left out.
pub(crate) fn and(more: u64) -> String {
    match more {
        0 => String::new(),
        more => format!(" (and {more} alike before it)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(began: Instant, seconds: u64) -> Instant {
        began + Duration::from_secs(seconds)
    }

    #[test]
    fn one_line_a_cause_and_interval_and_none_is_forgotten() {
        let (mut said, began) = (Said { told: Vec::new() }, Instant::now());
        let mut say = |seconds, text: &str| said.news("agent", text, at(began, seconds));
        assert_eq!(say(0, "bad number 7"), Some(0));
        assert_eq!(say(1, "bad number 8"), None);
        assert_eq!(say(1, "no key"), Some(0), "another cause");
        assert_eq!(say(9, "bad number 9"), None);
        assert_eq!(say(10, "bad number 10"), Some(2));
        assert_eq!(say(11, "bad number 11"), None);
        let left = |text: &str| ("agent".to_owned(), text.to_owned(), 1);
        assert_eq!(said.left_out(false, at(began, 15)), []);
        assert_eq!(said.left_out(false, at(began, 20)), [left("bad number 11")]);
        assert_eq!(said.left_out(true, at(began, 21)), []);
    }

    #[test]
    fn causes_without_end_are_told_of_as_one() {
        let (mut said, now) = (Said { told: Vec::new() }, Instant::now());
        let lines = ('a'..='z').filter(|c| said.news("agent", &c.to_string(), now).is_some());
        assert_eq!(lines.count(), CAUSES + 1);
        assert_eq!(said.news("another", "a", now), Some(0));
    }
}
