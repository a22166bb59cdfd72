use stream_runtime::prelude::*;

#[record]
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Reading {
    voltage: f64,
}

fn main() {}
