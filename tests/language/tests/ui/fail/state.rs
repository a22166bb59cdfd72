use stream_runtime::prelude::*;

struct Pool;

#[state]
fn not_async() -> Pool {
    Pool
}

#[state]
async fn with_parameter(_: String) -> Pool {
    Pool
}

#[state]
async fn returns_nothing() {}

#[state(lazy)]
async fn option() -> Pool {
    Pool
}

fn main() {}
