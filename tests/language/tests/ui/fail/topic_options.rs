use stream_runtime::prelude::*;

#[record]
struct Order {
    id: u64,
}

#[topic(value = Order)]
struct NoName;

#[topic("orders")]
struct NoValue;

#[topic("orders of today", value = Order)]
struct BadName;

#[topic("orders", value = Order, partition = 3)]
struct Unknown;

#[topic("orders", value = Order, external, partitions = 3)]
struct External;

#[topic(name = "orders", value = Order)]
struct Named;

fn main() {}
