use stream_runtime::prelude::*;

#[agent(topic = "words")]
struct Counter;

#[agent(topic = "words")]
mod agents {}

fn main() {}
