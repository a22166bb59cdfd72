use stream_runtime::prelude::*;

#[agent(topic = "words", sink = "out")]
async fn nothing(_: String) {}

#[agent(topic = "words", sink = "out")]
async fn unit(_: String) -> () {}

fn main() {}
