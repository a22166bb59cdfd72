use stream_runtime::prelude::*;

#[table]
#[derive(Clone, Default)]
struct Rows {
    n: u64,
}

#[agent(topic = "words")]
async fn count(word: String, mut rows: Table<Rows>) {
    rows.update(&word, |row| row.n += 1);
}

#[command]
async fn table(_: Table<Rows>) {}

fn main() {}
