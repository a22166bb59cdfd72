use stream_runtime::prelude::*;

#[page]
async fn no_path() {}

#[page("count")]
async fn no_slash() {}

#[page("/count/:word")]
async fn old_style() {}

#[page("/metrics")]
async fn taken() {}

#[page("/count", method = "fetch")]
async fn method() {}

#[page("/count", path = "/count")]
async fn word() {}

fn main() {}
