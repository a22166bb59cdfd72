use stream_runtime::prelude::*;

#[table(value = u64)]
struct Words;

#[table(value = u64, global)]
struct Everywhere;

#[table(key = (String, u32), tumbling = "1h", value = u64)]
struct Pairs;

#[agent(topic = "words")]
async fn count(_: String, mut words: Table<Words>, mut all: Table<Everywhere>, mut pairs: Table<Pairs>) {
    words.update(&5u64, |n| *n += 1);
    let _ = words.get(&"a");
    all.remove(&7i32);
    let _ = pairs.at("a", Utc::now());
}

#[agent(topic = "questions")]
async fn ask(_: String, all: GlobalTable<Everywhere>) {
    let _ = all.get(&5u64);
}

#[timer("1m")]
async fn look(words: TableReader<Words>) -> Result<()> {
    words.get(&5u64).await?;
    Ok(())
}

fn main() {}
