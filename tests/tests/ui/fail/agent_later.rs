use stream_runtime::prelude::*;

#[agent(topic = "words")]
async fn later(_: String) {}

#[agent(pattern = "words-.*")]
async fn pattern(_: String) {}

fn main() {}
