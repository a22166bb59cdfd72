use stream_runtime::prelude::*;

#[timer("10s")]
async fn tick() {}

#[crontab("0 * * * *")]
async fn hourly() {}

#[task]
async fn start() {}

#[page("/count")]
async fn count() {}

#[join(left = "a", right = "b", within = "10m")]
async fn join_them(left: String, right: String) -> String {
    left + &right
}

fn main() {}
