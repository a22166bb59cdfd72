use stream_runtime::prelude::*;

#[agent(topic = "words")]
async fn event(_: String, _: Key<f64>) {}

fn main() {}
