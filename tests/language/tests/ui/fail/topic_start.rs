use stream_runtime::prelude::*;

#[topic("orders", value = String, start = "middle", on_gap = "jump", max_ahead = "1w")]
struct Orders;

#[topic("more", value = String, start = Latest)]
struct More;

fn main() {}
