use stream_runtime::prelude::*;

#[agent(topic = "words")]
async fn read(_: Stream<String, f64>) {}

fn main() {}
