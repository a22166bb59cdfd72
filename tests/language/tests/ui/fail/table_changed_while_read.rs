use stream_runtime::prelude::*;

#[table(value = u64)]
struct Counts;

#[agent(topic = "words")]
async fn read(_: String, mut counts: Table<Counts>) {
    for (word, _) in counts.iter() {
        counts.remove(&word);
    }
}

fn main() {}
