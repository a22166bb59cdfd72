use stream_runtime::prelude::*;

#[agent]
async fn nothing(_: String) {}

#[agent(sink = "out")]
async fn sink_only(word: String) -> String {
    word
}

#[agent("words")]
async fn bare(_: String) {}

fn main() {}
