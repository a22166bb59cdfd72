use stream_runtime::prelude::*;

#[record]
struct Order {
    id: u64,
}

#[record(codec = "binary")]
struct Small {
    id: u64,
}

struct Own;

#[topic("orders", value = Order, codec = "msgpack")]
struct Orders;

#[topic("small", value = Small, codec = "json")]
struct Smalls;

#[topic("texts", value = String, codec = "json")]
struct Texts;

#[topic("strange", value = Order, codec = "avro")]
struct Strange;

#[topic("own", value = Order, codec = Own)]
struct OfOwn;

fn main() {}
