use stream_runtime::prelude::*;

#[table(tumbling = "1h")]
#[derive(Default)]
struct NotClone {
    n: u64,
}

#[table]
#[derive(Clone)]
struct NotDefault {
    n: u64,
}

fn main() {}
