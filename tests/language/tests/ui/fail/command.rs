use stream_runtime::prelude::*;

#[command]
fn not_async() {}

#[command]
async fn parameter(_: Vec<u8>) {}

#[command]
async fn headers(_: &Headers) {}

#[command]
async fn returns() -> u64 {
    1
}

#[command(name = "two words")]
async fn name() {}

#[command(aliases = "x")]
async fn option() {}

#[command]
async fn generic<T>() {}

fn main() {}
