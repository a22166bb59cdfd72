use stream_runtime::prelude::*;

#[table]
#[derive(Clone, Default)]
struct Seen {
    n: u64,
}

#[table(tumbling = "1h")]
#[derive(Clone, Default)]
struct Hours {
    n: u64,
}

#[agent(topic = "words", concurrency = 4)]
async fn with_a_table(word: Event<String>, mut seen: Table<Seen>) {
    seen.update(word.key(), |row| row.n += 1);
}

#[agent(topic = "words", concurrency = 4)]
async fn with_a_stream(mut words: Stream<String>) {
    while let Some(_) = words.next().await {}
}

#[agent(topic = "words", concurrency = 0)]
async fn none(_: String) {}

#[agent(topic = "words", concurrency = 100_000)]
async fn too_many(_: String) {}

#[agent(topic = "words", concurrency = "4")]
async fn text(_: String) {}

#[agent(on_close = Hours, concurrency = 4)]
async fn windows(_: Closed<Hours>) {}

fn main() {}
