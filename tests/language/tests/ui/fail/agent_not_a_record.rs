use stream_runtime::prelude::*;

struct Word {
    text: String,
}

#[agent(topic = "words")]
async fn event(_: Word) {}

#[agent(topic = "words")]
async fn reference(_: &Word) {}

#[agent(topic = "words")]
async fn stream(mut words: Stream<Word>) {
    while let Some(word) = words.next().await {
        let _ = word;
    }
}

fn main() {}
