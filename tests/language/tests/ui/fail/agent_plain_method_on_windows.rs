use stream_runtime::prelude::*;

#[table(tumbling = "1h")]
#[derive(Clone, Default)]
struct Hours {
    n: u64,
}

#[agent(topic = "words")]
async fn read(word: String, hours: Table<Hours>) {
    let _ = hours.get(&word);
}

fn main() {}
