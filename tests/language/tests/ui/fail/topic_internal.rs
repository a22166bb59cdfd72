use stream_runtime::prelude::*;

#[topic("kept", value = String, internal, compact)]
struct Kept;

#[topic("theirs", value = String, internal, external)]
struct Theirs;

fn main() {}
