use stream_runtime::prelude::*;

#[record]
struct Word {
    text: String,
}

#[agent(topic = "words")]
async fn text(_: Stream<Word>, _: String) {}

#[agent(topic = "words")]
async fn reference(_: &Word, _: &mut Vec<u8>) {}

#[agent(topic = "words")]
async fn key_beside_a_stream(_: Stream<Word>, _: Key<String>) {}

#[agent(topic = "words")]
async fn headers_beside_a_stream(_: Stream<Word>, _: Headers) {}

fn main() {}
