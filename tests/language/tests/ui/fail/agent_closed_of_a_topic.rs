use stream_runtime::prelude::*;

#[table(tumbling = "1h")]
#[derive(Clone, Default)]
struct Hours {
    n: u64,
}

#[agent(topic = "hours")]
async fn close(_: Closed<Hours>) {}

fn main() {}
