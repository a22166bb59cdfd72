//! The three attributes of the brief, as they stand there.
use stream_runtime::prelude::*;

#[record]
struct Reading {
    voltage: f64,
}

#[table(tumbling = "1h")]
#[derive(Clone, Default)]
struct Hours {
    count: u64,
    sum: f64,
}

#[agent(topic = "voltage_input")]
async fn fold(mut readings: Stream<Reading>, mut hours: Table<Hours>) {
    while let Some(reading) = readings.next().await {
        hours.update(reading.key(), |hour| {
            hour.count += 1;
            hour.sum += reading.voltage;
        });
    }
}

fn main() {}
