use stream_runtime::prelude::*;

#[table(value = u64)]
struct Count {
    n: u64,
}

#[table(value = std::num::NonZeroU8)]
struct NoDefault;

fn main() {}
