use stream_runtime::prelude::*;

struct Counter;

impl Counter {
    #[agent(topic = "words")]
    async fn count(&self, _: String) {}
}

fn main() {}
