use std::rc::Rc;
use stream_runtime::prelude::*;

#[page("/")]
async fn page() {
    let kept = Rc::new(1);
    std::future::ready(()).await;
    drop(kept);
}

fn main() {}
