use stream_runtime::prelude::*;

#[topic("words", value = String)]
struct Words;

#[topic("pairs", key = (String, u32), value = String)]
struct Pairs;

#[agent(topic = "lines")]
async fn split(line: String, words: Topic<Words>, pairs: Topic<Pairs>) -> Result<()> {
    words.send(&5u64, line.clone()).await?;
    words.send(&"a", line.clone()).await?;
    words.delete(&7i32).await?;
    pairs.send("a", line).await?;
    Ok(())
}

#[timer("1m")]
async fn tick(words: Producer<Words>) -> Result<()> {
    words.send(&5u64, "tick".to_owned()).await?;
    words.delete(&7i32).await?;
    Ok(())
}

/// What is right.
#[timer("1m")]
async fn tock(words: Producer<Words>, pairs: Producer<Pairs>) -> Result<()> {
    words.send("a", "tock".to_owned()).await?;
    words.send(&"a".to_owned(), "tock".to_owned()).await?;
    words.delete("a").await?;
    pairs.send(&("a".to_owned(), 7), "tock".to_owned()).await?;
    Ok(())
}

fn main() {}
