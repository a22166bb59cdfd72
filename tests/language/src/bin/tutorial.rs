//! Hourly mean of the mains voltage of one household.
#![forbid(unsafe_code)]
use stream_runtime::prelude::*;
use stream_runtime::testing::{TestApp, at};

/// One reading of the power meter.
#[record(timestamp = datetime)]
struct PowerReading {
    #[field(coerce)] // RFC 3339, "2006-12-16 17:24:00", or integer milliseconds
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

/// The readings of an hour, folded.
#[table(key = String, tumbling = "1h", grace = "30s", idle = "5s")]
#[derive(Clone, Default)]
struct HourlyVoltage {
    count: u64,
    sum: f64,
}

#[agent(topic = "voltage_input")]
async fn collect(
    mut readings: Stream<PowerReading>,
    mut hours: Table<HourlyVoltage>,
) -> Result<()> {
    while let Some(reading) = readings.next().await {
        hours.update(reading.key(), |hour| {
            hour.count += 1;
            hour.sum += reading.voltage;
        });
    }
    Ok(())
}

#[agent(on_close = HourlyVoltage, sink = "voltage_avg")]
async fn average(hour: Closed<HourlyVoltage>) -> AverageVoltage {
    AverageVoltage {
        start_time: hour.start(),
        count: hour.count,
        mean: hour.sum / hour.count as f64,
    }
}

/// The test of the tutorial, on all that the program has.
fn main() {
    let mut app = TestApp::new();
    app.send(
        "voltage_input",
        "power",
        PowerReading {
            datetime: at("2006-12-16T17:24:00Z"),
            voltage: 234.8,
        },
    );
    app.advance_to(at("2006-12-16T18:00:29Z"));
    assert!(app.sent::<AverageVoltage>("voltage_avg").is_empty());
    app.advance_to(at("2006-12-16T18:00:30Z"));
    let hours = app.sent::<AverageVoltage>("voltage_avg");
    assert_eq!((hours.len(), hours[0].count, hours[0].mean), (1, 1, 234.8));
}
