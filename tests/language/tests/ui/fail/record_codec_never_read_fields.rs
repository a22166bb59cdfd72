use stream_runtime::prelude::*;

#[record(codec = "binary")]
#[serde(untagged)]
enum Untagged {
    Number(u64),
    Text(String),
}

#[record(codec = "binary")]
struct Halves {
    #[serde(skip_serializing)]
    read: u64,
    #[serde(skip_deserializing)]
    written: u64,
}

#[agent(topic = "untagged")]
async fn untagged(_: Untagged) {}

#[agent(topic = "halves")]
async fn halves(_: Halves) {}

fn main() {}
