use stream_runtime::prelude::*;

#[record]
async fn reading() {}

#[record]
trait Reading {}

#[record]
union Bits {
    a: u32,
    b: f32,
}

fn main() {}
