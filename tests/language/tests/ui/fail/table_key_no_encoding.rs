use stream_runtime::prelude::*;

struct Id(u8);

#[table(key = Id)]
#[derive(Clone, Default)]
struct ById {
    n: u64,
}

#[table(key = f64)]
#[derive(Clone, Default)]
struct ByRatio {
    n: u64,
}

#[table(key = "String")]
#[derive(Clone, Default)]
struct Quoted {
    n: u64,
}

/// A record is not a key; its fields are.
#[record]
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Place {
    city: String,
    house: u32,
}

#[table(key = Place)]
#[derive(Clone, Default)]
struct ByPlace {
    n: u64,
}

#[topic("places", key = Place, value = String)]
struct Places;

#[table(key = (String, u32))]
#[derive(Clone, Default)]
struct ByCityAndHouse {
    n: u64,
}

fn main() {}
