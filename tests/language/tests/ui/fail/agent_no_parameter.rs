use stream_runtime::prelude::*;

#[agent(topic = "words")]
async fn nothing() {}

fn main() {}
