use stream_runtime::prelude::*;

#[record]
struct Reading<'a> {
    text: &'a str,
}

fn main() {}
