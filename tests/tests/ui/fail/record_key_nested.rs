use stream_runtime::prelude::*;

#[record(key = meter.id)]
struct Reading {
    meter: Meter,
}

#[record]
struct Meter {
    id: String,
}

fn main() {}
