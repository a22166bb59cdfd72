use stream_runtime::prelude::*;

#[record]
struct Word {
    text: String,
}

#[record]
struct Count {
    n: u64,
}

#[topic("counts", value = Count)]
struct Counts;

#[agent(topic = "words", sink = Counts)]
async fn wrong(word: Word) -> Option<Word> {
    Some(word)
}

#[agent(topic = "words", sink = Counts)]
async fn nothing(_: Word) -> Result<()> {
    Ok(())
}

fn main() {}
