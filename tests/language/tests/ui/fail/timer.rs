use stream_runtime::prelude::*;

#[timer]
async fn no_interval() {}

#[timer("10x")]
async fn unit() {}

#[timer("0s")]
async fn nothing() {}

#[timer("10s", per = "thread")]
async fn per() {}

#[timer("10s", per = "partition", on_leader)]
async fn leader() {}

#[timer("10s", interval = "10s")]
async fn word() {}

fn main() {}
