//! The readings that are measured on, made once a run, and what their means must be.

use crate::client::{self, Sender};
use anyhow::Result;
use chrono::DateTime;
use std::collections::HashMap;

const HOUR: i64 = 3_600_000;
const HOURS: i64 = 8;
const METERS: u64 = 10_000;
/// 2026-01-01T00:00:00Z
const FIRST: i64 = 1_767_225_600_000;

/// Count and sum by (meter, start of the hour).
pub type Truth = HashMap<(String, i64), (u64, f64)>;

/// Sends `count` readings of 10 000 meters, evenly over 8 hours, and returns the hours that close: all but the last.
pub fn send(bootstrap: &str, topic: &str, partitions: i32, count: u64) -> Result<Truth> {
    client::create_topic(bootstrap, topic, partitions, &[("retention.ms", "-1")])?;
    let sender = Sender::new(bootstrap)?;
    let mut hours: HashMap<(u64, i64), (u64, f64)> = HashMap::new();
    let step = (HOURS * HOUR) as f64 / count as f64;
    let mut random = 88_172_645_463_325_252_u64;
    let (mut key, mut value) = (String::new(), String::new());
    for ix in 0..count {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (meter, time) = (random % METERS, FIRST + (ix as f64 * step) as i64);
        let (volts, hundredths) = (230 + (random >> 20) % 20, (random >> 40) % 100);
        write_reading(&mut key, &mut value, meter, time, volts, hundredths)?;
        sender.send(topic, Some(key.as_bytes()), Some(value.as_bytes()), None)?;
        // The time on the wire has whole seconds; hours do not care.
        let hour = hours
            .entry((meter, time.div_euclid(HOUR) * HOUR))
            .or_default();
        hour.0 += 1;
        hour.1 += format!("{volts}.{hundredths:02}").parse::<f64>()?;
    }
    sender.finish()?;
    let closed = hours
        .into_iter()
        .filter(|((_, start), _)| *start < FIRST + (HOURS - 1) * HOUR);
    Ok(closed
        .map(|((meter, start), mean)| ((format!("meter-{meter}"), start), mean))
        .collect())
}

fn write_reading(
    key: &mut String,
    value: &mut String,
    meter: u64,
    time: i64,
    volts: u64,
    hundredths: u64,
) -> Result<()> {
    use std::fmt::Write as _;
    key.clear();
    value.clear();
    write!(key, "meter-{meter}")?;
    let time = DateTime::from_timestamp_millis(time)
        .expect("a time in 2026")
        .format("%Y-%m-%dT%H:%M:%SZ");
    write!(
        value,
        "{{\"datetime\":\"{time}\",\"voltage\":{volts}.{hundredths:02}}}"
    )?;
    Ok(())
}
