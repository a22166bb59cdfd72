use stream_runtime::prelude::*;

#[agent(channel = words, isolated_partitions = True, supervisor_strategy = Restart)]
async fn faust(_: String) {}

fn main() {}
