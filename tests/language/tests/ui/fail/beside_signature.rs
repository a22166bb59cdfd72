use stream_runtime::prelude::*;

#[timer("10s")]
fn not_async() {}

#[crontab("0 * * * *")]
async fn generic<T>() {}

struct Methods;

impl Methods {
    #[task]
    async fn method(&self) {}
}

#[crontab("0 * * * *", per = "agent")]
async fn per() {}

#[task(per = "partition")]
async fn per_task() {}

#[task(timezone = "UTC")]
async fn unknown() {}

#[timer("10s")]
struct Timer;

fn main() {}
