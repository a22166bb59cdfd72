//! Agents that hold several events.

use std::time::Duration;
use stream_runtime::prelude::*;

#[topic("lengths", value = String)]
struct Lengths;

#[table]
#[derive(Clone, Default)]
struct Seen {
    n: u64,
}

#[agent(topic = "a", concurrency = 4, sink = Lengths)]
async fn at_once(word: String, Key(key): Key<String>, headers: Headers) -> (String, String) {
    (key, format!("{word} {}", headers.len()))
}

#[agent(topic = "b")]
async fn batches(words: Stream<String>, mut seen: Table<Seen>) -> Result {
    let mut long = words
        .filter(|word| word.len() > 3)
        .map(|word| word.len() as u64);
    while let Some(batch) = long.take(100, Duration::from_secs(1)).await {
        for length in &batch {
            seen.update(length.key(), |row| row.n += **length);
        }
    }
    Ok(())
}

#[agent(topics = ["c", "d"])]
async fn by_hand(words: Stream<Option<String>, Option<String>>, lengths: Topic<Lengths>) -> Result {
    let mut words = words.noack();
    while let Some(word) = words.next().await {
        if word.is_none() {
            lengths.delete("gone").await?;
        }
        word.ack();
    }
    Ok(())
}

fn main() {}
