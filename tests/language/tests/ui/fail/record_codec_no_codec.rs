use stream_runtime::prelude::*;

struct Own;

#[record(codec = Own)]
struct Word {
    text: String,
}

fn main() {}
