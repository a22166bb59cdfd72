//! E5: nothing hangs. No transaction is open, nothing is unread.

use super::{APP, Check, HOP, INPUTS};
use crate::client::{self, Committed, Isolation};
use anyhow::Result;
use rdkafka::Offset;
use std::time::{Duration, Instant};

/// Waits until all that was committed can be read: its end is written to each partition after the commit's answer.
/// Transactions that stay open are for [`nothing`] to find.
pub fn wait(bootstrap: &str, within: Duration) -> Result<()> {
    let (began, mut waited) = (Instant::now(), false);
    for topic in client::topics(bootstrap)? {
        let ends = |isolation| client::end_offsets(bootstrap, &topic, isolation);
        while ends(Isolation::Committed)? != ends(Isolation::Uncommitted)? {
            waited = true;
            if began.elapsed() > within {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    if waited {
        let took = began.elapsed();
        println!("the ends of some transactions were written {took:.1?} later");
    }
    Ok(())
}

pub fn nothing(bootstrap: &str) -> Result<Check> {
    let mut check = Check::new("E5", "no transaction is open, nothing is unread");
    for topic in client::topics(bootstrap)? {
        let committed = client::end_offsets(bootstrap, &topic, Isolation::Committed)?;
        let all = client::end_offsets(bootstrap, &topic, Isolation::Uncommitted)?;
        check.same_list(&committed, &all, |partition| {
            format!("readable end of {topic}[{partition}]")
        });
        if INPUTS.contains(&topic.as_str()) || topic == HOP {
            let read: Vec<Offset> = Committed::of(bootstrap, APP, &topic)?
                .offsets()?
                .into_iter()
                .map(|offset| offset.map_or(Offset::Beginning, Offset::Offset))
                .collect();
            // Markers and aborted records may lie behind the last one that was read.
            let unread = client::read_from(bootstrap, &topic, Isolation::Committed, &read)?;
            for partition in 0..all.len() as i32 {
                let unread = unread.iter().filter(|record| record.partition == partition);
                check.same(&unread.count(), &0, || {
                    format!("unread in {topic}[{partition}]")
                });
            }
        }
    }
    Ok(check)
}
