use stream_runtime::prelude::*;

#[table]
#[derive(Clone, Default)]
struct Rows {
    n: u64,
}

fn spawn<F: Future<Output = ()> + Send + 'static>(_: F) {}

#[agent(topic = "words")]
async fn count(word: String, mut rows: Table<Rows>) {
    spawn(async move {
        rows.update(&word, |row| row.n += 1);
    });
}

fn main() {}
