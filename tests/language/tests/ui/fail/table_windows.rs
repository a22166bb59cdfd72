use stream_runtime::prelude::*;

#[table(hopping = "10m", step = "1h")]
#[derive(Clone, Default)]
struct StepTooLong {
    n: u64,
}

#[table(tumbling = "1h", hopping = "1h", step = "10m")]
#[derive(Clone, Default)]
struct Two {
    n: u64,
}

#[table(tumbling = "1h", step = "10m")]
#[derive(Clone, Default)]
struct StepOfTumbling {
    n: u64,
}

#[table(step = "10m")]
#[derive(Clone, Default)]
struct StepAlone {
    n: u64,
}

#[table(grace = "30s", idle = "5s")]
#[derive(Clone, Default)]
struct NoWindow {
    n: u64,
}

fn main() {}
