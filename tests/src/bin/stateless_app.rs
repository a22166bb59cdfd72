//! The benchmark's filter and map, written as a user writes it. Its name comes from `BENCH_APP`: a new group a run.

use stream_runtime::prelude::*;
use tests::bench::worker::mark_start;

/// One reading of a power meter.
#[record(timestamp = datetime)]
struct Reading {
    #[field(coerce)]
    datetime: DateTime<Utc>,
    voltage: f64,
}

/// A reading of 240 V or more.
#[record(timestamp = datetime)]
struct High {
    datetime: DateTime<Utc>,
    above: f64,
}

#[agent(topic = "bench_readings", sink = "bench_high")]
async fn high(reading: Reading) -> Option<High> {
    mark_start();
    (reading.voltage >= 240.0).then_some(High {
        datetime: reading.datetime,
        above: reading.voltage - 240.0,
    })
}

fn main() -> ExitCode {
    let name = std::env::var("BENCH_APP").unwrap_or_else(|_| "stateless".into());
    App::new(&name).main()
}
