use stream_runtime::prelude::*;

#[task("start")]
async fn bare() {}

#[task(on = "begin")]
async fn begin() {}

#[task(on = "stop", on_leader)]
async fn nobody() {}

fn main() {}
