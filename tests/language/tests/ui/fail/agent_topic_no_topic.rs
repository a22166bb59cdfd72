use stream_runtime::prelude::*;

#[record]
struct Word {
    text: String,
}

#[agent(topic = Word)]
async fn from(_: Word) {}

#[agent(topic = "words", sink = Word)]
async fn to(word: Word) -> Word {
    word
}

fn main() {}
