//! Hours of many meters that close at once, and a stop amid them, see `tests::amid`.

use stream_runtime::prelude::*;

#[record(timestamp = at, key = meter)]
struct Reading {
    meter: String,
    #[field(coerce)]
    at: DateTime<Utc>,
}

#[topic("readings", value = Reading)]
struct Readings;

#[table(tumbling = "1h")]
#[derive(Clone, Default)]
struct Hour {
    count: u64,
}

#[agent(topic = Readings)]
async fn count(reading: Event<Reading>, mut hours: Table<Hour>) {
    hours.update(reading.key(), |hour| hour.count += 1);
}

#[agent(on_close = Hour, sink = "hours")]
async fn over(hour: Closed<Hour>) -> String {
    tests::amid::stop(hour.end().timestamp_millis());
    hour.count.to_string()
}

fn main() -> ExitCode {
    App::new("closing").main()
}
