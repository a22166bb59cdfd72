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

fn main() {}
