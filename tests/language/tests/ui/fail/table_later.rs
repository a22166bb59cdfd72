use stream_runtime::prelude::*;

#[table(of = Price, on_change = Rows)]
#[derive(Clone, Default)]
struct Global {
    n: u64,
}

fn main() {}
