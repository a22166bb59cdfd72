use stream_runtime::prelude::*;

#[topic("words", value = String)]
struct Words<const N: usize>;

#[topic("kept", value = String, external, compact, retention = "7d", replication_factor = 3)]
struct Kept;

#[topic("counted", value = String, partitions = 0, replication_factor = 40000)]
struct Counted;

fn main() {}
