use stream_runtime::prelude::*;

#[table(tumbling = "1h")]
#[derive(Clone, Default)]
struct Hours {
    n: u64,
}

#[agent(topic = "words", on_close = Hours)]
async fn two(_: String) {}

#[agent(topic = "words", topics = ["more"])]
async fn twice(_: String) {}

fn main() {}
