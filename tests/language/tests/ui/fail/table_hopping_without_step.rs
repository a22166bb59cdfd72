use stream_runtime::prelude::*;

#[table(hopping = "1h")]
#[derive(Clone, Default)]
struct Rows {
    n: u64,
}

fn main() {}
