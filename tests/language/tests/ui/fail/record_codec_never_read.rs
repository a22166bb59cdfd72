use stream_runtime::prelude::*;

#[record(codec = "binary")]
#[serde(tag = "kind")]
enum Tagged {
    On { volts: u64 },
}

#[record(codec = "binary")]
struct Left {
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<String>,
    #[serde(flatten)]
    place: Place,
    any: serde_json::Value,
}

#[record]
struct Place {
    street: String,
}

#[agent(topic = "tagged")]
async fn tagged(_: Tagged) {}

#[agent(topic = "left")]
async fn left(_: Left) {}

fn main() {}
