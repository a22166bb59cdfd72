use stream_runtime::prelude::*;

type S = State<u8>;

#[agent(topic = "words")]
async fn many(_: String, _: S, _: S, _: S, _: S, _: S, _: S, _: S, _: S, _: S, _: S, _: S, _: S, _: S, _: S, _: S, _: State<u16>) {}

#[agent(topic = "words", retries = 4294967296)]
async fn never(_: String) {}

fn main() {}
