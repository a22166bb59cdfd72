use stream_runtime::prelude::*;

#[table]
#[derive(Clone, Default)]
struct Rows {
    n: u64,
}

#[agent(topic = "words")]
async fn read(word: String, rows: Table<Rows>) {
    let _ = rows.current(&word);
}

fn main() {}
