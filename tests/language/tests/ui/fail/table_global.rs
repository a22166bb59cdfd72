use stream_runtime::prelude::*;

#[record]
#[derive(Clone, Default)]
struct Price {
    cents: u64,
}

#[topic("prices", value = Price)]
struct Prices;

#[table(global, tumbling = "1h")]
#[derive(Clone, Default)]
struct Windows {
    n: u64,
}

#[table(global, changelog = false)]
#[derive(Clone, Default)]
struct InMemory {
    n: u64,
}

#[table(global, local)]
#[derive(Clone, Default)]
struct Local {
    n: u64,
}

#[table(global, source = Prices, partitions = 3)]
struct Counted;

#[table(global, source = Prices, ttl = "1d")]
struct Mortal;

#[table(global, source = Prices, session = "1h")]
struct Sessions;

fn main() {}
