use stream_runtime::prelude::*;

#[agent(pattern = "words-.*")]
async fn pattern(_: String) {}

fn main() {}
