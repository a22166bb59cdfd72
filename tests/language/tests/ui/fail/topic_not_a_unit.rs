use stream_runtime::prelude::*;

#[record]
struct Order {
    id: u64,
}

#[topic("orders", value = Order)]
struct Orders {
    id: u64,
}

#[topic("orders", value = Order)]
enum Kinds {}

fn main() {}
