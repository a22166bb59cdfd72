use stream_runtime::prelude::*;

#[record]
#[derive(Clone, Default)]
struct Price {
    cents: u64,
}

#[table(source = Price)]
struct Prices;

#[table(source = Price, global)]
struct Everywhere;

fn main() {}
