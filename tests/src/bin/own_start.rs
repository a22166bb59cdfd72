//! An app whose topic says itself where it begins, and what to do about records that are gone.

use stream_runtime::prelude::*;

#[topic("own_start", value = String, partitions = 1, start = "latest", on_gap = "skip")]
struct OwnStart;

#[agent(topic = OwnStart, sink = "heard")]
async fn hear(line: String) -> String {
    line
}

fn main() -> ExitCode {
    App::new("own_start").main()
}
