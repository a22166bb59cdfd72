use stream_runtime::prelude::*;

struct Order {
    id: u64,
}

#[topic("orders", value = Order)]
struct Orders;

fn main() {}
