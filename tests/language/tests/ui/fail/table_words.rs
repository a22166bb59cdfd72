use stream_runtime::prelude::*;

#[table(
    tumbling = "1h",
    expires = 30,
    default = int,
    key_type = str,
    value_type = int,
    isolated_partitions = True,
    relative_to_field = Order.date,
    on_window_close = closed
)]
#[derive(Clone, Default)]
struct Rows {
    n: u64,
}

fn main() {}
