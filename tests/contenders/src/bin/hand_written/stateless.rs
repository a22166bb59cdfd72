//! Readings of 240 V and more, by how much they are more.

use crate::thread::{Out, Work};
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use contenders::Reading;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::BaseRecord;
use serde::Serialize;

#[derive(Serialize)]
struct High {
    datetime: DateTime<Utc>,
    above: f64,
}

#[derive(Default)]
pub struct Stateless {
    buffer: Vec<u8>,
}

impl Work for Stateless {
    fn take(&mut self, message: &BorrowedMessage<'_>, out: &Out<'_>) -> Result<()> {
        let reading: Reading = serde_json::from_slice(message.payload().context("no value")?)?;
        if reading.voltage < 240.0 {
            return Ok(());
        }
        let high = High {
            datetime: reading.datetime,
            above: reading.voltage - 240.0,
        };
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, &high)?;
        out.send(
            BaseRecord::<[u8], [u8]>::to(&out.args.sink)
                .key(message.key().context("no key")?)
                .payload(&self.buffer)
                .timestamp(reading.datetime.timestamp_millis()),
        );
        Ok(())
    }
}
