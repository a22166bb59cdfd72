use stream_runtime::prelude::*;

#[table(value = u64)]
struct Count {
    n: u64,
}

#[table(value = Row)]
struct Rows;

struct Row(u64);

fn main() {}
