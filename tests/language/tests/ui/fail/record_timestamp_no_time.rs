use stream_runtime::prelude::*;

#[record(timestamp = voltage)]
struct Reading {
    voltage: f64,
}

#[record(timestamp = inner.text)]
struct Outer {
    inner: Inner,
}

#[record]
struct Inner {
    text: String,
}

fn main() {}
