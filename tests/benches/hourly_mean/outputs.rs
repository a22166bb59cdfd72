//! Whether a contender's outputs are right: every closed hour of every meter once, with its count and mean.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use rdkafka::Offset;
use std::collections::{BTreeMap, HashSet};
use tests::bench::readings::Truth;
use tests::client::{self, Isolation};

#[derive(serde::Deserialize)]
struct AverageVoltage {
    start_time: DateTime<Utc>,
    count: u64,
    mean: f64,
}

/// Compares the records committed to `sink` from `offsets` on, of other keys than the meters', with the truth: each
/// hour's count and sum, of those hours that close an hour late.
pub fn check_hours(bootstrap: &str, sink: &str, offsets: &[i64], truth: &Truth) -> Result<()> {
    let mut expected: BTreeMap<i64, (u64, f64)> = BTreeMap::new();
    for ((_, start), (count, sum)) in truth {
        let hour = expected.entry(*start).or_default();
        *hour = (hour.0 + count, hour.1 + sum);
    }
    // The last of those that close without an hour more.
    expected.pop_last();
    let mut found: BTreeMap<i64, (u64, f64)> = BTreeMap::new();
    for (_, output) in averages(bootstrap, sink, offsets)? {
        let hour = found.entry(output.start_time.timestamp_millis());
        let hour = hour.or_default();
        *hour = (
            hour.0 + output.count,
            hour.1 + output.mean * output.count as f64,
        );
    }
    for (start, (count, sum)) in &expected {
        let (found_count, found_sum) = found.remove(start).unwrap_or_default();
        if found_count != *count || (found_sum - sum).abs() > 1e-6 * sum {
            bail!(
                "the hour {start} has count {found_count} and sum {found_sum}, not {count} and {sum}"
            );
        }
    }
    if !found.is_empty() {
        bail!("hours that should not have closed: {found:?}");
    }
    Ok(())
}

/// Returns key and value of the records committed to `sink` from `offsets` on.
fn averages(bootstrap: &str, sink: &str, offsets: &[i64]) -> Result<Vec<(String, AverageVoltage)>> {
    let from: Vec<Offset> = offsets
        .iter()
        .map(|offset| Offset::Offset(*offset))
        .collect();
    let records = client::read_from(bootstrap, sink, Isolation::Committed, &from)?;
    let decoded = records.into_iter().map(|record| {
        let value = record.value.as_deref().context("an output without value")?;
        Ok((record.key().to_owned(), serde_json::from_slice(value)?))
    });
    decoded.collect()
}

/// Compares the records committed to `sink` from `offsets` on with the truth.
pub fn check(bootstrap: &str, sink: &str, offsets: &[i64], truth: &Truth) -> Result<()> {
    let mut seen = HashSet::new();
    for (key, output) in averages(bootstrap, sink, offsets)? {
        let hour = (key.clone(), output.start_time.timestamp_millis());
        let Some((count, sum)) = truth.get(&hour) else {
            bail!("{hour:?} should not have closed")
        };
        let mean = sum / *count as f64;
        if output.count != *count || (output.mean - mean).abs() > 1e-9 {
            bail!(
                "{hour:?} has count {} and mean {}, not {count} and {mean}",
                output.count,
                output.mean
            );
        }
        if !seen.insert(hour) {
            bail!("{key} {} was emitted twice", output.start_time);
        }
    }
    if seen.len() != truth.len() {
        bail!("{} of {} hours were emitted", seen.len(), truth.len());
    }
    Ok(())
}
