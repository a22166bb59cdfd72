//! Whether a contender's outputs are right: every closed hour of every meter once, with its count and mean.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use rdkafka::Offset;
use std::collections::HashSet;
use tests::bench::readings::Truth;
use tests::client::{self, Isolation};

#[derive(serde::Deserialize)]
struct AverageVoltage {
    start_time: DateTime<Utc>,
    count: u64,
    mean: f64,
}

/// Compares the records committed to `sink` from `offsets` on with the truth.
pub fn check(bootstrap: &str, sink: &str, offsets: &[i64], truth: &Truth) -> Result<()> {
    let from: Vec<Offset> = offsets
        .iter()
        .map(|offset| Offset::Offset(*offset))
        .collect();
    let mut seen = HashSet::new();
    for record in client::read_from(bootstrap, sink, Isolation::Committed, &from)? {
        let output: AverageVoltage =
            serde_json::from_slice(record.value.as_deref().context("an output without value")?)?;
        let hour = (
            record.key().to_owned(),
            output.start_time.timestamp_millis(),
        );
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
            bail!("{} {} was emitted twice", record.key(), output.start_time);
        }
    }
    if seen.len() != truth.len() {
        bail!("{} of {} hours were emitted", seen.len(), truth.len());
    }
    Ok(())
}
