use stream_runtime::prelude::*;

#[agent(topic = "words")]
async fn acks_what_next_acknowledges(mut words: Stream<String>) {
    while let Some(word) = words.next().await {
        word.ack();
    }
}

#[agent(topic = "words")]
async fn filter_that_is_none(words: Stream<String>) {
    let mut words = words.filter(|word| word.len());
    while let Some(_) = words.next().await {}
}

fn main() {}
