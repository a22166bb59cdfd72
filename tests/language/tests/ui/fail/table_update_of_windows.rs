use stream_runtime::prelude::*;

#[table(hopping = "1h", step = "10m")]
#[derive(Clone, Default)]
struct Hour {
    n: u64,
}

fn add(hour: &mut Hour) -> u64 {
    hour.n += 1;
    hour.n
}

#[agent(topic = "words")]
async fn count(word: Event<String>, mut hours: Table<Hour>) {
    hours.update(word.key(), add);
}

fn main() {}
