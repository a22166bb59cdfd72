use stream_runtime::prelude::*;

#[record]
#[derive(Default)]
struct Price {
    cents: u64,
}

#[topic("prices", value = Price)]
struct Prices;

#[table(source = Prices)]
struct PriceOf;

fn main() {}
