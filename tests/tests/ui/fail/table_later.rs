use stream_runtime::prelude::*;

#[table(session = "10m")]
#[derive(Clone, Default)]
struct Sessions {
    n: u64,
}

#[table(sliding = "10m", late = LateRows)]
#[derive(Clone, Default)]
struct Sliding {
    n: u64,
}

#[table(global, ttl = "1d", source = Prices)]
#[derive(Clone, Default)]
struct Global {
    n: u64,
}

fn main() {}
