use stream_runtime::prelude::*;

#[record]
struct Reading {
    #[field(minimum = 1)]
    voltage: f64,
    #[field(default)]
    count: u64,
    #[field]
    user: String,
    #[field(min_value = 3, min = "three")]
    other: u64,
}

#[agent(topic = "readings")]
async fn read(_: Reading) {}

fn main() {}
