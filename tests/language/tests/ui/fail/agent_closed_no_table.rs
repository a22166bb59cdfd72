use stream_runtime::prelude::*;

struct Rows;

#[agent(on_close = Rows)]
async fn close(_: Closed<Rows>) {}

fn main() {}
