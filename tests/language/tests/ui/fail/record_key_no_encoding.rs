use stream_runtime::prelude::*;

#[record(key = ratio)]
struct Reading {
    ratio: f64,
}

#[agent(topic = "readings")]
async fn read(_: Reading) {}

fn main() {}
