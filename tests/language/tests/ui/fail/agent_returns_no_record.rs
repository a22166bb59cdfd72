use stream_runtime::prelude::*;

struct Count {
    n: u64,
}

#[agent(topic = "words", sink = "counts")]
async fn number(_: String) -> u64 {
    1
}

#[agent(topic = "words", sink = "counts")]
async fn nested(_: String) -> Result<Vec<Count>> {
    Ok(vec![Count { n: 1 }])
}

fn main() {}
