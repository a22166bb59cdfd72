use stream_runtime::prelude::*;

#[record]
struct Reading {
    #[field(min = 1)]
    #[serde(deserialize_with = "read")]
    voltage: u64,
}

fn read<'de, D: serde::Deserializer<'de>>(input: D) -> std::result::Result<u64, D::Error> {
    serde::Deserialize::deserialize(input)
}

fn main() {}
