//! Hourly means from a windowed map.

use crate::table::{HOUR, Mean, Table};
use crate::thread::{Out, Work};
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use contenders::{Reading, WideReading};
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::BaseRecord;
use serde::Serialize;

#[derive(Serialize)]
struct AverageVoltage {
    start_time: DateTime<Utc>,
    count: u64,
    mean: f64,
}

#[derive(Default)]
pub struct HourlyMean {
    table: Table,
    buffer: Vec<u8>,
}

impl Work for HourlyMean {
    fn take(&mut self, message: &BorrowedMessage<'_>, out: &Out<'_>) -> Result<()> {
        let value = message.payload().context("no value")?;
        let key = std::str::from_utf8(message.key().context("no key")?)?;
        if out.args.wide {
            let reading: WideReading = serde_json::from_slice(value)?;
            if reading.power > 0.0 {
                let time = reading.datetime.timestamp_millis();
                self.table.add(time, key, reading.voltage);
            }
            return Ok(());
        }
        let reading: Reading = serde_json::from_slice(value)?;
        self.table
            .add(reading.datetime.timestamp_millis(), key, reading.voltage);
        Ok(())
    }

    fn before_commit(&mut self, partition: i32, out: &Out<'_>) {
        let (args, buffer) = (out.args, &mut self.buffer);
        self.table.take_dirty(|start, key, mean| {
            buffer.clear();
            serde_json::to_writer(&mut *buffer, &mean).expect("a row as JSON");
            let key = changelog_key(start, key);
            out.send(
                BaseRecord::to(&args.changelog)
                    .partition(partition)
                    .key(&key)
                    .payload(buffer),
            );
        });
        self.table.take_closed(|start, key, Mean { count, sum }| {
            buffer.clear();
            let start_time = DateTime::from_timestamp_millis(start).expect("a time that was read");
            let average = AverageVoltage {
                start_time,
                count,
                mean: sum / count as f64,
            };
            serde_json::to_writer(&mut *buffer, &average).expect("an output as JSON");
            let output = BaseRecord::<str, [u8]>::to(&args.sink)
                .key(key)
                .payload(buffer);
            out.send(output.timestamp(start + HOUR - 1));
            let key = changelog_key(start, key);
            out.send(
                BaseRecord::<[u8], [u8]>::to(&args.changelog)
                    .partition(partition)
                    .key(&key),
            );
        });
    }
}

fn changelog_key(start: i64, key: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + key.len());
    bytes.extend_from_slice(&start.to_be_bytes());
    bytes.extend_from_slice(key.as_bytes());
    bytes
}
