use stream_runtime::prelude::*;

#[page("/number")]
async fn number() -> u64 {
    1
}

fn main() {}
