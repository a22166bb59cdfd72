use stream_runtime::prelude::*;

#[table]
#[derive(Clone, Default)]
struct Generic<T> {
    n: T,
}

#[table]
#[derive(Clone)]
enum State {
    On,
    Off,
}

#[table]
fn rows() {}

fn main() {}
