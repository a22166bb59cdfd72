//! E5: nothing hangs. No transaction is open, nothing is unread.

use super::{APP, Check};
use crate::client::{self, Committed, Isolation};
use anyhow::Result;

pub fn nothing(bootstrap: &str) -> Result<Check> {
    let mut check = Check::new("E5", "no transaction is open, nothing is unread");
    for topic in client::topics(bootstrap)? {
        let committed = client::end_offsets(bootstrap, &topic, Isolation::Committed)?;
        let all = client::end_offsets(bootstrap, &topic, Isolation::Uncommitted)?;
        check.same_list(&committed, &all, |partition| {
            format!("readable end of {topic}[{partition}]")
        });
        if topic == super::INPUT || topic.ends_with("-repartition") {
            let read: Vec<i64> = Committed::of(bootstrap, APP, &topic)?
                .offsets()?
                .into_iter()
                .map(|offset| offset.unwrap_or(0))
                .collect();
            // Behind the last record of a repartition topic there may be a marker of its transaction.
            let behind = |partition: usize| all[partition] - read[partition];
            for partition in 0..all.len() {
                let least = i64::from(topic != super::INPUT);
                check.holds((0..=least).contains(&behind(partition)), || {
                    format!("{topic}[{partition}]: {} unread", behind(partition))
                });
            }
        }
    }
    Ok(check)
}
