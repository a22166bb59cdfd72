use stream_runtime::prelude::*;

#[agent(topic = "words", sink = "counts")]
async fn keyed(word: String) -> Vec<(f64, String)> {
    vec![(1.0, word)]
}

fn main() {}
