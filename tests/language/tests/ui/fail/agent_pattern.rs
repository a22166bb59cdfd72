use stream_runtime::prelude::*;

#[agent(pattern = "words-(.*")]
async fn open(_: String) {}

#[agent(pattern = "words-.*", topic = "words")]
async fn two(_: String) {}

#[agent(pattern = 3)]
async fn number(_: String) {}

#[topic(pattern = "words-.*", value = String)]
struct Words;

fn main() {}
