//! The tutorial's data: readings of one household, and the hourly means they must give.

use anyhow::{Context, Result};
use chrono::{DateTime, NaiveDateTime};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const HOUR: i64 = 3_600_000;

/// One row of the file whose voltage is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Milliseconds since the epoch.
    pub time: i64,
    pub voltage: f64,
}

impl Reading {
    /// As `voltage produce` sends it.
    pub fn json(&self) -> String {
        let time = DateTime::from_timestamp_millis(self.time).expect("a time of the file");
        format!(
            r#"{{"datetime":"{}","voltage":{}}}"#,
            time.format("%Y-%m-%d %H:%M:%S"),
            self.voltage
        )
    }
}

/// Count and mean.
#[derive(Clone, Copy, Debug)]
pub struct Mean {
    pub count: u64,
    pub mean: f64,
}

impl PartialEq for Mean {
    /// The count exactly, the mean to 1e-6: the file of expected means has six digits.
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && (self.mean - other.mean).abs() <= 1e-6
    }
}

/// Hours by their start in milliseconds since the epoch.
pub type Hours = BTreeMap<i64, Mean>;

/// Fails with the hours that differ, and only these.
pub fn assert_same(found: &BTreeMap<String, Hours>, expected: &BTreeMap<String, Hours>) {
    let hours =
        |meters: &BTreeMap<String, Hours>, other: &BTreeMap<String, Hours>| -> Vec<String> {
            let hours = meters.iter().flat_map(|(meter, hours)| {
                hours.iter().map(move |(start, mean)| (meter, start, mean))
            });
            let differs = |(meter, start, mean): &(&String, &i64, &Mean)| {
                other.get(*meter).and_then(|hours| hours.get(start)) != Some(mean)
            };
            let named = |(meter, start, mean): (&String, &i64, &Mean)| {
                let time = DateTime::from_timestamp_millis(*start).expect("a time");
                format!("{meter} {time}: {} readings, {}", mean.count, mean.mean)
            };
            hours.filter(differs).map(named).collect()
        };
    let (wrong, missing) = (hours(found, expected), hours(expected, found));
    assert!(
        wrong.is_empty() && missing.is_empty(),
        "{} hours are wrong, the first {:#?}\n{} are missing, the first {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(10)],
        missing.len(),
        &missing[..missing.len().min(10)]
    );
}

/// Returns the tutorial's two weeks of readings, and the file of the means that they give.
pub fn household() -> (PathBuf, PathBuf) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    (
        dir.join("household_power_consumption.txt"),
        dir.join("hourly_average_voltage.csv"),
    )
}

/// The sample that lies in the repository, for `voltage demo`.
pub fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/data/household_power_consumption_sample.txt")
}

/// The rows of a file as UCI gives it: `;` between fields, `dd/mm/yyyy;hh:mm:ss`, `?` for what is not known.
pub fn readings(file: &Path) -> Result<Vec<Reading>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut readings = Vec::new();
    for row in text.lines().skip(1) {
        let fields: Vec<&str> = row.split(';').collect();
        let (Some(&voltage), [date, time, ..]) = (fields.get(4), &fields[..]) else {
            continue;
        };
        if voltage == "?" || voltage.is_empty() {
            continue;
        }
        let time = NaiveDateTime::parse_from_str(&format!("{date} {time}"), "%d/%m/%Y %H:%M:%S")
            .context("a time")?;
        readings.push(Reading {
            time: time.and_utc().timestamp_millis(),
            voltage: voltage.parse()?,
        });
    }
    Ok(readings)
}

/// The mean of each hour, computed in the plainest way.
pub fn hourly(readings: impl IntoIterator<Item = Reading>) -> Hours {
    let mut sums: BTreeMap<i64, (u64, f64)> = BTreeMap::new();
    for reading in readings {
        let hour = sums
            .entry(reading.time.div_euclid(HOUR) * HOUR)
            .or_default();
        hour.0 += 1;
        hour.1 += reading.voltage;
    }
    sums.into_iter()
        .map(|(start, (count, sum))| {
            (
                start,
                Mean {
                    count,
                    mean: sum / count as f64,
                },
            )
        })
        .collect()
}

/// The file of expected means: `start_time,count,mean`.
pub fn expected(file: &Path) -> Result<Hours> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let row = |row: &str| {
        let fields: Vec<&str> = row.split(',').collect();
        let start = DateTime::parse_from_rfc3339(fields[0])?.timestamp_millis();
        Ok((
            start,
            Mean {
                count: fields[1].parse()?,
                mean: fields[2].parse()?,
            },
        ))
    };
    text.lines().skip(1).map(row).collect()
}
