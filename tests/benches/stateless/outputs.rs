//! Whether a contender's outputs are right: each reading of 240 V and more, in the order of its partition.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use rdkafka::Offset;
use std::hash::{DefaultHasher, Hash, Hasher};
use tests::client::{self, Isolation, Record};

/// Per partition: how many records, and a hash of them in their order.
pub type Truth = Vec<(u64, u64)>;

#[derive(serde::Deserialize)]
struct Reading {
    datetime: DateTime<Utc>,
    voltage: f64,
}

#[derive(serde::Deserialize)]
struct High {
    datetime: DateTime<Utc>,
    above: f64,
}

/// What the outputs must be, from the readings.
pub fn truth(bootstrap: &str, topic: &str) -> Result<Truth> {
    let readings = client::read_all(bootstrap, topic, Isolation::Committed)?;
    fold(&readings, |value| {
        let reading: Reading = serde_json::from_slice(value)?;
        Ok((reading.voltage >= 240.0).then_some((reading.datetime, reading.voltage - 240.0)))
    })
}

/// Compares the records committed to `sink` from `offsets` on with the truth.
pub fn check(bootstrap: &str, sink: &str, offsets: &[i64], truth: &Truth) -> Result<()> {
    let from: Vec<Offset> = offsets
        .iter()
        .map(|offset| Offset::Offset(*offset))
        .collect();
    let outputs = client::read_from(bootstrap, sink, Isolation::Committed, &from)?;
    let found = fold(&outputs, |value| {
        let high: High = serde_json::from_slice(value)?;
        Ok(Some((high.datetime, high.above)))
    })?;
    if found != *truth {
        let counts = |all: &Truth| all.iter().map(|(count, _)| *count).collect::<Vec<_>>();
        bail!(
            "the outputs differ: {:?} records a partition, and {:?} expected",
            counts(&found),
            counts(truth)
        );
    }
    Ok(())
}

fn fold(
    records: &[Record],
    read: impl Fn(&[u8]) -> Result<Option<(DateTime<Utc>, f64)>>,
) -> Result<Truth> {
    let mut partitions: Vec<(u64, DefaultHasher)> = Vec::new();
    for record in records {
        let Some((time, above)) = read(record.value.as_deref().context("a value")?)? else {
            continue;
        };
        let partition = record.partition as usize;
        if partitions.len() <= partition {
            partitions.resize_with(partition + 1, Default::default);
        }
        let (count, hasher) = &mut partitions[partition];
        *count += 1;
        // Readings have two decimals; a float that was printed and read may differ in its last bit.
        let hundredths = (above * 100.0).round() as i64;
        (record.key(), time.timestamp_millis(), hundredths).hash(hasher);
    }
    Ok(partitions
        .into_iter()
        .map(|(count, hasher)| (count, hasher.finish()))
        .collect())
}
