//! Log lines of failures: one each.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::TimeDelta;

use super::reading::logged;
use crate::prelude::*;
use crate::testing::TestApp;

static TRIED: AtomicU32 = AtomicU32::new(0);

/// Fails twice, then takes it.
#[agent(topic = "logs-words", sink = "logs-out", backoff = "1s", retries = 3)]
async fn third_time(word: String) -> Result<String> {
    match TRIED.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Err("no luck")?,
        _ => Ok(word),
    }
}

#[test]
fn an_attempt_that_failed_is_one_line_that_says_which_and_when_the_next_is() {
    let text = logged(|| {
        let mut app = TestApp::only((third_time,));
        app.send("logs-words", "k", "word".to_owned());
        app.advance_to(DateTime::UNIX_EPOCH + TimeDelta::seconds(10));
        assert_eq!(app.sent::<String>("logs-out").len(), 1);
    });
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("third_time"))
        .collect();
    assert_eq!(lines.len(), 2, "{text}");
    for (line, attempt, wait) in [(lines[0], 1, 1_000), (lines[1], 2, 2_000)] {
        for part in [
            "WARN".to_owned(),
            "handler failed: no luck".to_owned(),
            "at=\"logs-words[0]@0\"".to_owned(),
            format!("attempt={attempt} "),
            "of=4".to_owned(),
            format!("retry_in_ms={wait}"),
        ] {
            assert!(line.contains(&part), "no {part} in {line}");
        }
    }
}

#[crontab("0 * * * *", per = "partition", retries = 1, backoff = "1s")]
async fn never(due: Due) -> Result<()> {
    assert_eq!(due.timestamp() % 3600, 0);
    Err("no luck")?
}

#[test]
fn a_call_of_a_partition_that_failed_is_one_line_and_one_more_when_it_is_given_up() {
    let text = logged(|| {
        let mut app = TestApp::only((third_time, never));
        app.advance_to(DateTime::UNIX_EPOCH + TimeDelta::minutes(61));
    });
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("never")).collect();
    let [again, given_up] = lines[..] else {
        panic!("{text}")
    };
    let says = |line: &str, parts: &[&str]| {
        for part in parts {
            assert!(line.contains(part), "no {part} in {line}");
        }
    };
    says(
        again,
        &[
            "WARN",
            "`never`, due at 1970-01-01T01:00:00Z, failed: no luck",
            "attempt=1 of=2",
        ],
    );
    says(
        given_up,
        &[
            "ERROR",
            "due at 1970-01-01T01:00:00Z, failed 2 time(s), until its next time: no luck",
        ],
    );
}
