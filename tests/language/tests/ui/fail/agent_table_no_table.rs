use stream_runtime::prelude::*;

#[derive(Clone, Default)]
struct Rows {
    n: u64,
}

#[agent(topic = "words")]
async fn count(word: String, mut rows: Table<Rows>) {
    let _ = (word, &mut rows);
}

fn main() {}
