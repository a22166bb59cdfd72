use stream_runtime::prelude::*;

#[record(timestamp = at, coerc)]
struct Reading {
    #[field(min = "one")]
    volt: f64,
}

#[table(tumbling = "1x", grace = "2y", expires = 3)]
#[derive(Clone, Default)]
struct Hours {
    n: u64,
}

#[agent(topc = "readings", retries = "x")]
fn count(readings: Stream<Reading>, hours: Table<Hours>) {
    let _ = (readings, hours);
}

#[agent(on_close = Hours)]
async fn close(_: Closed<Hours>) {}

fn main() {}
