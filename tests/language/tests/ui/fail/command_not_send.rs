use std::rc::Rc;
use stream_runtime::prelude::*;

#[command]
async fn command() {
    let kept = Rc::new(1);
    std::future::ready(()).await;
    drop(kept);
}

fn main() {}
