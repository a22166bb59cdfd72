use stream_runtime::prelude::*;

#[table(global, source = Prices)]
#[derive(Clone, Default)]
struct Global {
    n: u64,
}

fn main() {}
