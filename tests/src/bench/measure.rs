//! A contender's run, seen from outside: the clock, /proc, the group's committed offsets.

use crate::client::Committed;
use crate::leash::{Leashed, tail};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(300);

/// What one run cost.
#[derive(Clone, Copy)]
pub struct Cost {
    pub records_per_second: f64,
    pub cpu_ns_per_record: f64,
    pub peak_mib: u64,
}

/// What tells that a contender has processed everything.
pub enum End<'a> {
    /// Its group has committed so many records of the topic.
    Committed {
        bootstrap: &'a str,
        group: &'a str,
        topic: &'a str,
    },
    /// It prints `@done` and the time.
    Printed,
    /// It ends.
    Ended,
}

/// Runs `command`, which prints `@started` and the time at its first record, and waits until it has processed
/// `records`.
pub fn run(command: &Command, log: &Path, records: u64, end: &End<'_>) -> Result<Cost> {
    let mut process = Leashed::start(command, log)?;
    let started = marked(&process.line_with("@started ", PATIENCE)?)?;
    let cpu_before = cpu_seconds(process.pid())?;
    let group = match end {
        End::Committed {
            bootstrap,
            group,
            topic,
        } => Some(Committed::of(bootstrap, group, topic)?),
        End::Printed | End::Ended => None,
    };
    let (since, mut peak_mib, mut cpu) = (Instant::now(), 0, cpu_before);
    let ended = loop {
        // A program that ended keeps its CPU time until it is waited for, but not its memory.
        cpu = cpu_seconds(process.pid()).unwrap_or(cpu);
        peak_mib = peak_memory_mib(process.pid()).unwrap_or(peak_mib);
        let ended = match (&group, end) {
            (Some(group), _) => (group.total()? as u64 >= records).then(now),
            (None, End::Ended) => process.is_over().then(now),
            (None, _) => marked_in(&process.output(), "@done ")?,
        };
        if let Some(ended) = ended {
            break ended;
        }
        if since.elapsed() > PATIENCE {
            bail!("not done within {PATIENCE:?}:\n{}", tail(&process.output()));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let cpu = cpu_seconds(process.pid()).unwrap_or(cpu) - cpu_before;
    let status = process.wait(Duration::from_secs(60))?;
    if !status.success() {
        bail!("ended with {status}:\n{}", tail(&process.output()));
    }
    let seconds = (ended - started) as f64 / 1e6;
    let (per_second, ns) = (records as f64 / seconds, cpu / records as f64 * 1e9);
    Ok(Cost {
        records_per_second: per_second,
        cpu_ns_per_record: ns,
        peak_mib,
    })
}

pub fn now() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock past 1970")
        .as_micros()
}

/// The time of a line such as `@started 1767225600000000`, in microseconds.
fn marked(line: &str) -> Result<u128> {
    line.split_whitespace()
        .last()
        .and_then(|time| time.parse().ok())
        .with_context(|| format!("no time in {line:?}"))
}

fn marked_in(output: &str, word: &str) -> Result<Option<u128>> {
    output
        .lines()
        .find(|line| line.starts_with(word))
        .map(marked)
        .transpose()
}

/// User and system time of all threads so far.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; utime and stime are fields 14 and 15.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse().unwrap_or(0))
        .sum();
    // Linux has told user space 100 ticks a second since ever.
    Ok(ticks as f64 / 100.0)
}

pub fn peak_memory_mib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
