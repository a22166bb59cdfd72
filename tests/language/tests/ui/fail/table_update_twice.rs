use stream_runtime::prelude::*;

#[table(sliding = "10m", value = Vec<String>)]
struct Lately;

#[table(tumbling = "10m", value = Vec<String>)]
struct Once;

#[agent(topic = "words")]
async fn read(word: String, mut once: Table<Once>, mut lately: Table<Lately>) {
    let copy = word.clone();
    once.update("all", move |row| row.push(copy));
    let copy = word.clone();
    lately.update("all", move |row| row.push(copy));
}

fn main() {}
