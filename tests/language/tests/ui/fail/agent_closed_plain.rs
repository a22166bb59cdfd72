use stream_runtime::prelude::*;

#[table]
#[derive(Clone, Default)]
struct Rows {
    n: u64,
}

#[agent(on_close = Rows)]
async fn close(_: Closed<Rows>) {}

fn main() {}
