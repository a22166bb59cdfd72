//! E6: after SIGKILL a worker restores only the tail of its changelogs.

use super::crew::Crew;
use super::{Check, PARTITIONS, said, tables};
use crate::client::{self, Isolation};
use anyhow::{Context, Result};
use rdkafka::Offset;
use std::collections::BTreeSet;

/// What the store may be behind at the kill, in ms: a commit, the time to the next round and the round itself, on a
/// machine that is busy.
const BEHIND: i64 = 3_000;
/// For how long, in ms, the storer is without work only when nothing waits for it.
const PAUSE: i64 = 1_000;
/// What a commit may take, in ms, before its rows are handed to the store: of one broker, and of a cluster, where it
/// waits for coordinators that move.
const COMMIT: i64 = 1_000;
pub(super) const COMMIT_ON_CLUSTER: i64 = 10_000;
/// From how many offsets on a store says how far it is although no row has changed.
const MARKS: i64 = 1_000;
/// The key of a changelog's mark.
const MARK: &[u8] = &[0];

/// Until when a worker's commits are in its store for certain, by what it said of the store's rounds before it was
/// killed; wall clock in ms.
///
/// A stream thread hands over while the round before its own is written, and the last round need not have been its own:
/// so three rounds, unless the storer had nothing to do in between.
fn stored(rounds: &[(i64, Option<i64>)], killed: i64, commit: i64) -> i64 {
    let mut handed_over = killed;
    let begun = rounds.iter().rev().filter(|round| round.0 <= killed);
    for (begun, ended) in begun.take(3) {
        if ended.is_some_and(|ended| handed_over - ended > PAUSE) {
            break;
        }
        handed_over = *begun;
    }
    (killed - BEHIND.max(commit)).min(handed_over - commit)
}

/// The first offset up to this one with nothing but marks from there on: time alone has moved, and the store need not
/// know of so few.
fn behind_rows(bootstrap: &str, topic: &str, partition: i32, offset: i64) -> Result<i64> {
    let from = (offset - MARKS).max(client::start_offset(bootstrap, topic, partition)?);
    let places = elsewhere_at_the_end(partition, from);
    let records = client::read_from(bootstrap, topic, Isolation::Committed, &places)?;
    let rows = records
        .iter()
        .filter(|record| record.partition == partition && record.offset < offset)
        .filter(|record| record.key.as_deref() != Some(MARK));
    Ok(rows.map(|record| record.offset + 1).max().unwrap_or(from))
}

fn elsewhere_at_the_end(partition: i32, from: i64) -> Vec<Offset> {
    let at = |other| match other == partition {
        true => Offset::Offset(from),
        false => Offset::End,
    };
    (0..PARTITIONS).map(at).collect()
}

pub fn tails(bootstrap: &str, crew: &Crew) -> Result<Check> {
    let commit = match crew.is_patient() {
        true => COMMIT_ON_CLUSTER,
        false => COMMIT,
    };
    let mut check = Check::new("E6", "after SIGKILL only the tail is restored");
    for (life, next) in crew.killed() {
        let killed = life.killed.context("a life that was killed")?;
        let log = life.log();
        let (lines, rounds) = (said::lines(&log), said::rounds(&log));
        let ran = said::at_the_end(&lines);
        let mut seen = BTreeSet::new();
        for line in said::lines(&next.log()) {
            let Some(read) = line.running else {
                continue;
            };
            // A partition that had just come, or was another worker's, has an older store here.
            let Some(since) = ran.get(line.partition.as_str()) else {
                continue;
            };
            let killed = crew.worked_until(*since, killed);
            let stored = stored(&rounds, killed, commit);
            let was_ours = life.stopped.is_none_or(|stopped| stopped < *since);
            if !seen.insert(line.partition.clone()) || !was_ours || stored < *since {
                continue;
            }
            let (mut tail, mut all) = (0, 0);
            for (topic, number) in tables::changelogs(&line.partition) {
                let low = client::start_offset(bootstrap, &topic, number)?;
                let end = client::offset_at(bootstrap, &topic, number, line.at)?;
                let from = client::offset_at(bootstrap, &topic, number, stored)?;
                let from = behind_rows(bootstrap, &topic, number, from)?;
                // A marker behind the last commit's records belongs to them.
                tail += end - from + 1;
                all += end - low;
            }
            if all > tail {
                check.holds(read <= tail as u64, || {
                    format!(
                        "worker {} read {read} of {all} changelog records of {}, {tail} at most were new",
                        life.worker, line.partition
                    )
                });
            }
        }
    }
    Ok(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_behind_by_its_last_rounds() {
        let ended = |(begun, ended)| (begun, Some(ended));
        let quick = [(0, 10), (9_000, 9_010), (9_100, 9_110), (9_200, 9_210)].map(ended);
        assert_eq!(stored(&quick, 9_250, COMMIT), 9_250 - BEHIND);
        // Nothing has come for long: nothing waits.
        assert_eq!(stored(&quick, 30_000, COMMIT), 30_000 - BEHIND);
        let mut slow = [(0, 1_000), (1_000, 4_000), (4_000, 9_000), (9_000, 20_000)].map(ended);
        assert_eq!(stored(&slow, 20_500, COMMIT), 1_000 - COMMIT);
        slow[3].1 = None;
        assert_eq!(stored(&slow, 20_500, COMMIT), 1_000 - COMMIT);
    }
}
