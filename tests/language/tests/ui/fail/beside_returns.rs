use stream_runtime::prelude::*;

#[timer("10s")]
async fn number() -> u64 {
    1
}

#[crontab("0 * * * *")]
async fn text() -> Result<String> {
    Ok(String::new())
}

#[timer("10s", per = "partition")]
async fn option() -> Option<()> {
    None
}

fn main() {}
