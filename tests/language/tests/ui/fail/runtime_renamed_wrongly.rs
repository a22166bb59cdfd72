use stream_runtime::prelude::*;

#[record(crate = "other")]
struct Quoted {
    n: u64,
}

fn main() {}
