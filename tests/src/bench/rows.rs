//! Rows for the plain table of `rows_app`: keys 0, 1, 2, …, each once.

use super::bed::{Bed, PARTITIONS};
use super::setting::with_store;
use super::{measure, worker};
use crate::client::{self, Committed, Sender};
use crate::leash::{Leashed, tail};
use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The topic the rows come from.
pub const ROWS: &str = "bench_rows";

/// The order in which keys come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From 0 on.
    Ascending,
    /// As if by chance, always the same.
    Shuffled,
}

impl Order {
    /// Shuffled or not.
    pub fn of(shuffled: bool) -> Self {
        match shuffled {
            true => Self::Shuffled,
            false => Self::Ascending,
        }
    }

    /// The key at this place among `count` keys.
    fn key(self, place: u64, count: u64) -> u64 {
        match self {
            Self::Ascending => place,
            Self::Shuffled => shuffled(place, count),
        }
    }
}

/// Gives each of the numbers below `count` another one, without a list of them: mixes within the next power of two, in
/// steps that can be taken back, again until the number is one of ours.
fn shuffled(place: u64, count: u64) -> u64 {
    let bits = (u64::BITS - count.saturating_sub(1).leading_zeros()).max(2);
    let mask = (1_u64 << bits) - 1;
    let mut key = place;
    loop {
        for odd in [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9_u64] {
            key = key.wrapping_mul(odd).wrapping_add(odd >> 32) & mask;
            key ^= key >> (bits / 2);
        }
        if key < count {
            return key;
        }
    }
}

/// Sends `count` rows of `size` bytes that do not compress, with keys from 0 on.
pub fn send(bootstrap: &str, count: u64, size: usize, order: Order) -> Result<()> {
    if client::partitions(bootstrap, ROWS)? == 0 {
        client::create_topic(bootstrap, ROWS, PARTITIONS, &[("retention.ms", "-1")])?;
    }
    let sender = Sender::new(bootstrap)?;
    let (mut random, mut row) = (88_172_645_463_325_252_u64, vec![0_u8; size]);
    for key in (0..count).map(|place| order.key(place, count)) {
        for chunk in row.chunks_mut(8) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            chunk.copy_from_slice(&random.to_be_bytes()[..chunk.len()]);
        }
        sender.send(ROWS, Some(&key.to_be_bytes()), Some(&row), None)?;
    }
    sender.finish()
}

/// A worker of `rows_app`, with this store if there is one.
pub fn worker(app: &str, bed: &Bed, data_dir: &Path, store: Option<&str>) -> Command {
    let mut command = worker::command(None, "rows_app", app, &bed.bootstrap, data_dir);
    with_store(&mut command, store);
    command
}

/// What a worker was seen to use while it worked.
pub struct Used {
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub peak_mib: u64,
}

impl Used {
    /// So many a second, and the CPU time of each in ns.
    pub fn of(&self, count: u64) -> (f64, f64) {
        let count = count as f64;
        (count / self.seconds, self.cpu_seconds / count * 1e9)
    }
}

/// Waits until the group has committed `records` of the topic, and looks at the process meanwhile.
pub fn until_committed(
    process: &mut Leashed,
    bed: &Bed,
    app: &str,
    topic: &str,
    records: u64,
    patience: Duration,
) -> Result<Used> {
    let committed = Committed::of(&bed.bootstrap, app, topic)?;
    let used = watch(process, patience, |_| {
        Ok(committed.total()? as u64 >= records)
    })?;
    if process.ended().is_some() {
        bail!("it ended:\n{}", tail(&process.output()));
    }
    Ok(used)
}

/// Waits until the process has ended well, and looks at it meanwhile.
pub fn until_ended(process: &mut Leashed, patience: Duration) -> Result<Used> {
    let used = watch(process, patience, |process| Ok(process.ended().is_some()))?;
    match process.ended() {
        Some(status) if status.success() => Ok(used),
        _ => bail!("it did not end well:\n{}", tail(&process.output())),
    }
}

fn watch(
    process: &mut Leashed,
    patience: Duration,
    mut done: impl FnMut(&mut Leashed) -> Result<bool>,
) -> Result<Used> {
    let (since, mut used) = (Instant::now(), (0.0, 0));
    loop {
        used = (
            measure::cpu_seconds(process.pid()).unwrap_or(used.0),
            measure::peak_memory_mib(process.pid()).unwrap_or(used.1),
        );
        if done(process)? || process.ended().is_some() {
            return Ok(Used {
                seconds: since.elapsed().as_secs_f64(),
                cpu_seconds: used.0,
                peak_mib: used.1,
            });
        }
        if since.elapsed() > patience {
            bail!("not done after {patience:?}:\n{}", tail(&process.output()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// When a worker's partitions were assigned and when the last of them ran, from its log.
pub struct Began {
    pub assigned: DateTime<Utc>,
    pub running: DateTime<Utc>,
    /// Changelog records read by all of them.
    pub read: u64,
}

impl Began {
    /// From assignment to the last partition's `running`.
    pub fn seconds(&self) -> f64 {
        seconds(self.assigned, self.running)
    }
}

/// The time between two moments.
pub fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).as_seconds_f64()
}

/// Waits until all partitions of a worker run.
pub fn until_running(process: &mut Leashed, patience: Duration) -> Result<Began> {
    let until = Instant::now() + patience;
    loop {
        let output = process.output();
        let running: Vec<&str> = output
            .lines()
            .filter(|line| line.contains("changelog records read"))
            .collect();
        if running.len() >= PARTITIONS as usize {
            let times = |word: &str| {
                let lines = output.lines().filter(|line| line.contains(word));
                lines.filter_map(time_of).collect::<Vec<_>>()
            };
            let assigned = times(" assigned: ").into_iter().min();
            let ran = times("changelog records read").into_iter().max();
            let (Some(assigned), Some(running_at)) = (assigned, ran) else {
                bail!("the log has no times:\n{}", tail(&output));
            };
            let read = running.iter().filter_map(|line| {
                let before = line.split(" changelog records read").next()?;
                before.split_whitespace().last()?.parse::<u64>().ok()
            });
            return Ok(Began {
                assigned,
                running: running_at,
                read: read.sum(),
            });
        }
        if process.ended().is_some() || Instant::now() > until {
            bail!("not all partitions run:\n{}", tail(&output));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The time that a line of the log begins with.
fn time_of(line: &str) -> Option<DateTime<Utc>> {
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_comes_once_shuffled_too() {
        for count in [1, 2, 3, 5, 1_000, 1_024, 1_025, 100_000] {
            let mut keys: Vec<u64> = (0..count)
                .map(|place| Order::Shuffled.key(place, count))
                .collect();
            let follow = keys.windows(2).filter(|two| two[0] < two[1]).count();
            keys.sort_unstable();
            assert!(keys.iter().copied().eq(0..count), "{count}");
            // By chance, every other key is larger than the one before.
            if count >= 1_000 {
                let share = follow as f64 / count as f64;
                assert!((0.45..0.55).contains(&share), "{count}: {share}");
            }
        }
        assert_eq!(Order::Ascending.key(7, 10), 7);
    }
}
