use stream_runtime::prelude::*;

#[table(windw = "1h")]
#[derive(Clone, Default)]
struct Unknown {
    n: u64,
}

#[table(name = "rows/of the day", partitions = 0, changelog = "no")]
#[derive(Clone, Default)]
struct Values {
    n: u64,
}

#[table(tumbling = "1h", tumbling = "2h")]
#[derive(Clone, Default)]
struct Twice {
    n: u64,
}

#[table("rows")]
#[derive(Clone, Default)]
struct Bare {
    n: u64,
}

#[table]
#[derive(Clone, Default)]
struct Größen {
    n: u64,
}

fn main() {}
