use stream_runtime::prelude::*;

#[topic("ratios", key = f64, value = String)]
struct Ratios;

fn main() {}
