//! The benchmark's hourly mean behind a hop: of each voltage, whose readings come from all partitions. Its name comes
//! from `BENCH_APP`: a new group a run.

use stream_runtime::prelude::*;
use tests::bench::worker::mark_start;

/// One reading of a power meter.
#[record(timestamp = datetime)]
struct Reading {
    #[field(coerce)]
    datetime: DateTime<Utc>,
    voltage: f64,
}

/// The mean voltage of one hour.
#[record]
struct AverageVoltage {
    start_time: DateTime<Utc>,
    count: u64,
    mean: f64,
}

/// The readings of an hour, folded. An hour of grace: builds that know no time behind a hop take all of them too.
#[table(key = String, tumbling = "1h", grace = "1h")]
#[derive(Clone, Default)]
struct HourlyVoltage {
    count: u64,
    sum: f64,
}

fn voltage(reading: &Reading) -> String {
    mark_start();
    format!("{:.2}", reading.voltage)
}

#[agent(topic = "bench_readings", group_by = |reading: &Reading| voltage(reading), name = "by_voltage")]
async fn collect(mut readings: Stream<Reading>, mut hours: Table<HourlyVoltage>) -> Result<()> {
    while let Some(reading) = readings.next().await {
        hours.update(reading.key(), |hour| {
            hour.count += 1;
            hour.sum += reading.voltage;
        });
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
    let name = std::env::var("BENCH_APP").unwrap_or_else(|_| "hop".into());
    App::new(&name).main()
}
