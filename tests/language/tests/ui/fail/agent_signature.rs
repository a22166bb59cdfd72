use stream_runtime::prelude::*;

#[agent(topic = "words")]
async fn generic<T: Record>(_: T) {}

#[agent(topic = "words")]
async fn lifetime<'a>(_: &'a String) {}

#[agent(topic = "words")]
async unsafe fn dangerous(_: String) {}

#[agent(topic = "words")]
async extern "C" fn foreign(_: String) {}

#[agent(topic = "words")]
async fn hidden(_: impl Record) {}

#[agent(topic = "words", sink = "out")]
async fn opaque(word: String) -> Option<impl Record> {
    Some(word)
}

fn main() {}
