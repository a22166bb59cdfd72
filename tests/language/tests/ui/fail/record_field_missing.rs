use stream_runtime::prelude::*;

#[record(timestamp = datetme)]
struct Reading {
    datetime: DateTime<Utc>,
    voltage: f64,
}

#[record(key = meter.id)]
struct Other {
    id: String,
}

#[agent(topic = "readings")]
async fn read(_: Reading) {}

fn main() {}
