//! The benchmark's hourly mean of readings that have 30 fields, of which three are of interest. Its name comes from
//! `BENCH_APP`: a new group a run.

use stream_runtime::prelude::*;
use tests::bench::worker::mark_start;

/// What is of interest in a reading of a power meter.
#[record(timestamp = datetime)]
struct Reading {
    #[field(coerce)]
    datetime: DateTime<Utc>,
    voltage: f64,
    power: f64,
}

/// The mean voltage of one hour.
#[record]
struct AverageVoltage {
    start_time: DateTime<Utc>,
    count: u64,
    mean: f64,
}

/// The readings of an hour, folded.
#[table(key = String, tumbling = "1h", grace = "30s")]
#[derive(Clone, Default)]
struct HourlyVoltage {
    count: u64,
    sum: f64,
}

#[agent(topic = "bench_readings")]
async fn collect(mut readings: Stream<Reading>, mut hours: Table<HourlyVoltage>) -> Result<()> {
    while let Some(reading) = readings.next().await {
        mark_start();
        if reading.power > 0.0 {
            hours.update(reading.key(), |hour| {
                hour.count += 1;
                hour.sum += reading.voltage;
            });
        }
    }
    Ok(())
}

#[agent(on_close = HourlyVoltage, sink = "bench_means")]
async fn average(hour: Closed<HourlyVoltage>) -> AverageVoltage {
    AverageVoltage {
        start_time: hour.start(),
        count: hour.count,
        mean: hour.sum / hour.count as f64,
    }
}

fn main() -> ExitCode {
    let name = std::env::var("BENCH_APP").unwrap_or_else(|_| "wide".into());
    App::new(&name).main()
}
