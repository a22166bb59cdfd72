use stream_runtime::prelude::*;

#[table(tumbling = "1h")]
#[derive(Clone, Default)]
struct Hours {
    n: u64,
}

#[table(tumbling = "1d")]
#[derive(Clone, Default)]
struct Days {
    n: u64,
}

#[agent(on_close = Hours)]
async fn other(_: Closed<Days>) {}

#[agent(on_close = Hours)]
async fn value(_: String) {}

fn main() {}
