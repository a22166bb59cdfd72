use stream_runtime::prelude::*;

#[agent(topc = "words", topic = "words")]
async fn unknown(_: String) {}

#[agent(topic = words)]
async fn unquoted(_: String) {}

#[agent(topic = "words of the day")]
async fn bad_name(_: String) {}

#[agent(topic = ["a", "b"])]
async fn list(_: String) {}

#[agent(topics = [])]
async fn none(_: String) {}

#[agent(topic = "words", on_error = "ignore", retries = "five", backoff = "1 fortnight", timeout = "0s")]
async fn policy(_: String) {}

#[agent(topic = "words", backoff = "8m")]
async fn patience(_: String) {}

#[agent(topic = "words", backoff = "1m")]
async fn all_that_it_may(_: String) {}

#[agent(topic = "words" sink = "out")]
async fn comma(word: String) -> String {
    word
}

fn main() {}
