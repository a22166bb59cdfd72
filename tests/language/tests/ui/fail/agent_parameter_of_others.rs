use stream_runtime::prelude::*;

#[table]
#[derive(Clone, Default)]
struct Rows {
    n: u64,
}

#[topic("words", value = String)]
struct Words;

#[agent(topic = "words")]
async fn reader(_: String, _: TableReader<Rows>) {}

#[agent(topic = "words")]
async fn producer(_: Stream<String>, _: Producer<Words>) {}

#[agent(topic = "words")]
async fn handle(_: String, _: &AppHandle) {}

fn main() {}
