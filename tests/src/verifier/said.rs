//! What a worker's log says of its partitions.

use chrono::DateTime;
use std::collections::BTreeMap;

/// A partition by its label in the log, such as `numbers[3]`.
pub type Label = String;

/// One event of a worker's life.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Wall clock, ms since the epoch.
    pub at: i64,
    pub said: Said,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// The partition's tables are back.
    Running {
        thread: u64,
        partition: Label,
        /// Offsets of its changelogs that were read.
        read: u64,
    },
    /// A thread's partitions are not its any more.
    Gone { thread: u64 },
}

/// The lines that matter, in order.
pub fn lines(log: &str) -> Vec<Line> {
    log.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line> {
    let (time, rest) = text.split_once(' ')?;
    let at = DateTime::parse_from_rfc3339(time).ok()?.timestamp_millis();
    let field = |name: &str| {
        let (_, value) = rest.split_once(&format!(" {name}="))?;
        value.split_whitespace().next()
    };
    let thread = field("thread")?.parse().ok()?;
    let said = if let Some((read, _)) = rest.split_once(" changelog records read") {
        let (_, read) = read.rsplit_once(' ')?;
        Said::Running {
            thread,
            partition: field("partition")?.trim_matches('"').to_owned(),
            read: read.parse().ok()?,
        }
    } else if ["partitions revoked", "partitions lost"]
        .iter()
        .any(|words| rest.contains(words))
    {
        Said::Gone { thread }
    } else {
        return None;
    };
    Some(Line { at, said })
}

/// The partitions that ran at the end, and since when.
pub fn at_the_end(lines: &[Line]) -> BTreeMap<Label, i64> {
    let mut running: BTreeMap<Label, (u64, i64)> = BTreeMap::new();
    for line in lines {
        match &line.said {
            Said::Running {
                thread, partition, ..
            } => {
                running.insert(partition.clone(), (*thread, line.at));
            }
            Said::Gone { thread } => running.retain(|_, (of, _)| of != thread),
        }
    }
    running
        .into_iter()
        .map(|(partition, (_, since))| (partition, since))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_that_ran_at_the_end_are_found() {
        let log = "\
2026-01-01T00:00:00.000001Z  INFO running, 12 changelog records read in 0.1 s thread=0 partition=\"numbers[3]\" offsets=[7]
2026-01-01T00:00:01.000001Z  INFO running, 0 changelog records read in 0.0 s thread=1 partition=\"numbers[4]\" offsets=[7]
2026-01-01T00:00:02.000001Z  INFO 1 input partitions revoked thread=0
no line of a log
2026-01-01T00:00:03.000001Z  WARN something else thread=0
";
        let lines = lines(log);
        assert_eq!(lines.len(), 3);
        let read = 12;
        assert_eq!(
            lines[0].said,
            Said::Running {
                thread: 0,
                partition: "numbers[3]".into(),
                read
            }
        );
        let left = at_the_end(&lines);
        assert_eq!(
            left.into_keys().collect::<Vec<_>>(),
            ["numbers[4]".to_owned()]
        );
    }
}
