use stream_runtime::prelude::*;

#[table(tumbling = "1h")]
#[derive(Clone, Default)]
struct Hours {
    n: u64,
}

#[agent(on_close = Hours, on_tombstone = "skip")]
async fn closed(_: Closed<Hours>) {}

#[agent(topic = "words", on_tombstone = "skip")]
async fn taken(_: Event<Option<String>>) {}

#[agent(topic = "words", on_tombstone = "ignore")]
async fn policy(_: String) {}

fn main() {}
