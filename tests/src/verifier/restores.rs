//! E6: after SIGKILL a worker restores only the tail of its changelogs.

use super::crew::Crew;
use super::said::{self, Said};
use super::{Check, tables};
use crate::client;
use anyhow::{Context, Result};

/// What the store may be behind at the kill, in ms: a commit, the time to the next round and the round itself.
const BEHIND: i64 = 1_500;

pub fn tails(bootstrap: &str, crew: &Crew) -> Result<Check> {
    let mut check = Check::new("E6", "after SIGKILL only the tail is restored");
    for (life, next) in crew.killed() {
        let killed = life.killed.context("a life that was killed")?;
        let ran = said::at_the_end(&said::lines(&life.log()));
        for line in said::lines(&next.log()) {
            let Said::Running {
                partition, read, ..
            } = line.said
            else {
                continue;
            };
            // A partition that had just come, or was another worker's, has an older store here.
            let Some(since) = ran.get(&partition) else {
                continue;
            };
            let was_ours = life.stopped.is_none_or(|stopped| stopped < *since);
            if !was_ours || killed - since < BEHIND || seen_before(&next.log(), &partition, line.at)
            {
                continue;
            }
            let (mut tail, mut all) = (0, 0);
            for (topic, number) in tables::changelogs(&partition) {
                let low = client::start_offset(bootstrap, &topic, number)?;
                let end = client::offset_at(bootstrap, &topic, number, line.at)?;
                let from = client::offset_at(bootstrap, &topic, number, killed - BEHIND)?;
                // A marker behind each commit's records belongs to them.
                tail += end - from + 1;
                all += end - low;
            }
            if all > tail {
                check.holds(read <= tail as u64, || {
                    format!(
                        "worker {} read {read} of {all} changelog records of {partition}, {tail} at most were new",
                        life.worker
                    )
                });
            }
        }
    }
    Ok(check)
}

/// Whether the partition ran in this life before.
fn seen_before(log: &str, label: &str, at: i64) -> bool {
    said::lines(log).iter().any(|line| {
        line.at < at && matches!(&line.said, Said::Running { partition, .. } if partition == label)
    })
}
