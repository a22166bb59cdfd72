//! The readings that are measured on, made once a run, and what their means must be.

use crate::client::{self, Sender};
use anyhow::Result;
use chrono::DateTime;
use std::collections::HashMap;
use std::fmt::Write as _;

const HOUR: i64 = 3_600_000;
const HOURS: i64 = 8;
const METERS: u64 = 10_000;
/// 2026-01-01T00:00:00Z
const FIRST: i64 = 1_767_225_600_000;

/// Count and sum by (meter, start of the hour).
pub type Truth = HashMap<(String, i64), (u64, f64)>;

/// What a reading looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Two fields, which are all there is.
    Narrow,
    /// 30 fields in 1 KB, of which three are read.
    Wide,
}

impl Shape {
    /// What stands around the time, the voltage and the power of a wide reading.
    fn around(self) -> [String; 4] {
        let fields = |numbers: std::ops::Range<u32>| -> String {
            let field = |number: u32| match number % 4 {
                0 => format!("\"register_{number:02}\":{}.25,", 1_000 + number),
                1 => format!("\"text_of_it_{number:02}\":\"as the meter says it: {number:04}\","),
                2 => format!("\"is_well_{number:02}\":true,"),
                _ => format!("\"place_{number:02}\":\"street {number}, {number:05} town\","),
            };
            numbers.map(field).collect()
        };
        match self {
            Self::Narrow => ["{".into(), String::new(), String::new(), "}".into()],
            Self::Wide => [
                format!("{{{}", fields(0..9)),
                fields(9..18),
                format!(",{}", fields(18..26)),
                format!(",\"note\":\"{}\"}}", "nothing ".repeat(20)),
            ],
        }
    }
}

/// Sends `count` readings of 10 000 meters, evenly over 8 hours, and returns the hours that close: all but the last.
pub fn send(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    count: u64,
    shape: Shape,
) -> Result<Truth> {
    client::create_topic(bootstrap, topic, partitions, &[("retention.ms", "-1")])?;
    let sender = Sender::new(bootstrap)?;
    let mut hours: HashMap<(u64, i64), (u64, f64)> = HashMap::new();
    let step = (HOURS * HOUR) as f64 / count as f64;
    let mut random = 88_172_645_463_325_252_u64;
    let (mut key, mut value) = (String::new(), String::new());
    let around = shape.around();
    for ix in 0..count {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (meter, time) = (random % METERS, FIRST + (ix as f64 * step) as i64);
        let (volts, hundredths) = (230 + (random >> 20) % 20, (random >> 40) % 100);
        key.clear();
        write!(key, "meter-{meter}")?;
        let voltage = format!("{volts}.{hundredths:02}");
        write_reading(&mut value, &around, time, &voltage)?;
        sender.send(topic, Some(key.as_bytes()), Some(value.as_bytes()), None)?;
        // The time on the wire has whole seconds; hours do not care.
        let hour = hours
            .entry((meter, time.div_euclid(HOUR) * HOUR))
            .or_default();
        hour.0 += 1;
        hour.1 += voltage.parse::<f64>()?;
    }
    sender.finish()?;
    let closed = hours
        .into_iter()
        .filter(|((_, start), _)| *start < FIRST + (HOURS - 1) * HOUR);
    Ok(closed
        .map(|((meter, start), mean)| ((format!("meter-{meter}"), start), mean))
        .collect())
}

fn write_reading(value: &mut String, around: &[String; 4], time: i64, voltage: &str) -> Result<()> {
    let time = DateTime::from_timestamp_millis(time)
        .expect("a time in 2026")
        .format("%Y-%m-%dT%H:%M:%SZ");
    let [before, between, behind, end] = around;
    value.clear();
    write!(
        value,
        "{before}\"datetime\":\"{time}\",{between}\"voltage\":{voltage}"
    )?;
    if !behind.is_empty() {
        write!(value, "{behind}\"power\":{voltage}")?;
    }
    value.push_str(end);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(shape: Shape) -> (usize, usize, f64) {
        let mut value = String::new();
        write_reading(&mut value, &shape.around(), FIRST, "230.05").unwrap();
        let read: serde_json::Value = serde_json::from_str(&value).unwrap();
        let fields = read.as_object().unwrap();
        assert_eq!(fields["datetime"], "2026-01-01T00:00:00Z");
        (
            fields.len(),
            value.len(),
            fields["voltage"].as_f64().unwrap(),
        )
    }

    #[test]
    fn wide_readings_have_thirty_fields_in_a_kilobyte() {
        assert_eq!(fields(Shape::Narrow), (2, 52, 230.05));
        let (count, bytes, voltage) = fields(Shape::Wide);
        assert_eq!((count, voltage), (30, 230.05));
        assert!((1_000..1_050).contains(&bytes), "{bytes} bytes");
    }
}
