use stream_runtime::prelude::*;

#[record]
struct Word {
    text: String,
}

#[agent(topic = "words")]
async fn copy(_: Word, _: Topic<Word>) {}

fn main() {}
