//! E6: after SIGKILL a worker restores only the tail of its changelogs.

use super::crew::Crew;
use super::{Check, said, tables};
use crate::client;
use anyhow::{Context, Result};
use std::collections::BTreeSet;

/// What the store may be behind at the kill, in ms: a commit, the time to the next round and the round itself, on a
/// machine that is busy.
const BEHIND: i64 = 3_000;

pub fn tails(bootstrap: &str, crew: &Crew) -> Result<Check> {
    let mut check = Check::new("E6", "after SIGKILL only the tail is restored");
    for (life, next) in crew.killed() {
        let killed = life.killed.context("a life that was killed")?;
        let lines = said::lines(&life.log());
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
            let was_ours = life.stopped.is_none_or(|stopped| stopped < *since);
            if !seen.insert(line.partition.clone()) || !was_ours || killed - since < BEHIND {
                continue;
            }
            let (mut tail, mut all) = (0, 0);
            for (topic, number) in tables::changelogs(&line.partition) {
                let low = client::start_offset(bootstrap, &topic, number)?;
                let end = client::offset_at(bootstrap, &topic, number, line.at)?;
                let from = client::offset_at(bootstrap, &topic, number, killed - BEHIND)?;
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
