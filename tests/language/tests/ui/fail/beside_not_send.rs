use std::rc::Rc;
use stream_runtime::prelude::*;

#[timer("10s")]
async fn timer() {
    let kept = Rc::new(1);
    std::future::ready(()).await;
    drop(kept);
}

fn main() {}
