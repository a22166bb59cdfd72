use stream_runtime::prelude::*;
use stream_runtime::web::{Json, Path};

#[table]
#[derive(Clone, Default)]
struct Rows {
    n: u64,
}

#[page("/number")]
async fn number(_: u64) {}

#[page("/table/{word}")]
async fn table(_: Path<String>, _: Table<Rows>) {}

#[page("/first")]
async fn first(_: &Table<Rows>, _: Path<String>) {}

#[page("/body")]
async fn body_before_the_last(_: Json<u64>, _: Path<String>) {}

fn main() {}
