use stream_runtime::prelude::*;

#[record(expires = 30, on_window_close = closed, isolated_partitions = True)]
struct Order {
    id: u64,
}

#[topic("orders", value = Order, on_window_close = closed, relative_to_field = Order.date, default = int)]
struct Orders;

#[command(isolated_partitions = True, key_type = str)]
async fn run() {}

#[state(default = int, value_type = str)]
async fn state() -> u64 {
    1
}

#[record]
struct Field {
    #[field(expires = 3)]
    id: u64,
}

fn main() {}
