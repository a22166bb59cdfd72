use stream_runtime::prelude::*;

#[agent(topic = "words")]
fn count(word: String) {
    let _ = word;
}

fn main() {}
