use stream_runtime::prelude::*;

#[crontab]
async fn no_expression() {}

#[crontab("0 * * *")]
async fn four() {}

#[crontab("0 0 * * * *")]
async fn six() {}

#[crontab("0 0 30 2 *")]
async fn never() {}

#[crontab("0 0 * * *", timezone = "Europe/berlin")]
async fn zone() {}

#[crontab("0 0 * * *", per = "partition", on_leader)]
async fn two_owners() {}

#[crontab("0 0 * * *", backoff = "1h")]
async fn patience() {}

fn main() {}
