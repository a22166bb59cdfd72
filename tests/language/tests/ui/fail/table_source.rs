use stream_runtime::prelude::*;

#[record]
#[derive(Clone, Default)]
struct Price {
    cents: u64,
}

#[topic("prices", value = Price)]
struct Prices;

#[table(source = Prices)]
struct Fields {
    n: u64,
}

#[table(source = Prices, key = String, value = Price)]
struct Types;

#[table(source = Prices, hopping = "1h", step = "10m")]
struct Windows;

#[table(source = Prices, changelog = false)]
struct InMemory;

#[table(source = "prices")]
struct ByName;

fn main() {}
