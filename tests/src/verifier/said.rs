//! What a worker's log says of its partitions and its store.

use chrono::DateTime;
use std::collections::BTreeMap;

/// Directives of a log in which every state of a partition and every round of the store is.
pub const LEVEL: &str =
    "info,stream_runtime::worker::status=debug,stream_runtime::store::storer=debug";

/// A partition by its label in the log, such as `numbers[3]`.
pub type Label = String;

/// A partition changed its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Wall clock, ms since the epoch.
    pub at: i64,
    pub partition: Label,
    /// It runs, and so many offsets of its changelogs were read before; `None`: it does not.
    pub running: Option<u64>,
}

/// The lines that matter, in order.
pub fn lines(log: &str) -> Vec<Line> {
    log.lines().filter_map(line).collect()
}

/// When the store's rounds began, and when they ended if they did, wall clock in ms since the epoch.
pub fn rounds(log: &str) -> Vec<(i64, Option<i64>)> {
    let mut rounds = Vec::new();
    for (at, rest) in log.lines().filter_map(timed) {
        if rest.contains("writing the store") {
            rounds.push((at, None));
        } else if rest.contains("the store was written in ")
            && let Some(round) = rounds.last_mut()
        {
            round.1 = Some(at);
        }
    }
    rounds
}

fn timed(text: &str) -> Option<(i64, &str)> {
    let (time, rest) = text.split_once(' ')?;
    let at = DateTime::parse_from_rfc3339(time).ok()?;
    Some((at.timestamp_millis(), rest))
}

fn line(text: &str) -> Option<Line> {
    let (at, rest) = timed(text)?;
    let (_, partition) = rest.split_once(" partition=\"")?;
    let (partition, _) = partition.split_once('"')?;
    let (_, said) = rest.trim_start().split_once(' ')?;
    let states = ["assigned", "recovering", "failed", "revoked"];
    let running = if let Some((_, read)) = said.split_once("running, ") {
        read.split_once(" changelog records read")?.0.parse().ok()
    } else if states
        .iter()
        .any(|state| said.trim_start().starts_with(state))
    {
        None
    } else {
        return None;
    };
    Some(Line {
        at,
        partition: partition.to_owned(),
        running,
    })
}

/// The partitions that ran at the end, and since when.
pub fn at_the_end(lines: &[Line]) -> BTreeMap<&str, i64> {
    let mut running = BTreeMap::new();
    for line in lines {
        match line.running {
            Some(_) => running.insert(line.partition.as_str(), line.at),
            None => running.remove(line.partition.as_str()),
        };
    }
    running
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_that_ran_at_the_end_are_found() {
        let log = "\
2026-01-01T00:00:00.000001Z  INFO running, 12 changelog records read in 0.1 s partition=\"numbers[3]\"
2026-01-01T00:00:01.000001Z  INFO running, 0 changelog records read in 0.0 s partition=\"numbers[4]\"
2026-01-01T00:00:02.000001Z DEBUG revoked partition=\"numbers[3]\"
no line of a log
2026-01-01T00:00:02.500001Z DEBUG writing the store trees=4
2026-01-01T00:00:02.620001Z DEBUG the store was written in 120 ms
2026-01-01T00:00:02.700001Z DEBUG writing the store trees=1
2026-01-01T00:00:03.000001Z  WARN records came after their windows had closed partition=\"numbers[4]\" late=1
";
        let lines = lines(log);
        assert_eq!(lines.len(), 3);
        assert_eq!(
            (lines[0].partition.as_str(), lines[0].running),
            ("numbers[3]", Some(12))
        );
        let left: Vec<&str> = at_the_end(&lines).into_keys().collect();
        assert_eq!(left, ["numbers[4]"]);
        let rounds = rounds(log);
        let begun = rounds[0].0;
        assert_eq!(rounds, [(begun, Some(begun + 120)), (begun + 200, None)]);
    }
}
