use stream_runtime::prelude::*;

struct Cache(std::cell::RefCell<u64>);

#[state]
async fn cache() -> Cache {
    Cache(Default::default())
}

fn main() {}
