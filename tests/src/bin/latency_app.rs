//! The benchmark's app with state and output: each record is counted by key and goes on as it came. Its name comes from
//! `BENCH_APP`.

use stream_runtime::prelude::*;

/// When a record was due to be sent, in microseconds since the epoch.
#[record]
#[derive(Clone)]
struct Sent {
    at: u64,
}

/// Records of each key.
#[table]
#[derive(Clone, Default)]
struct Counted {
    count: u64,
}

#[agent(topic = "bench_sent", sink = "bench_came")]
async fn pass(sent: Event<Sent>, counted: &mut Table<Counted>) -> Sent {
    counted.update(sent.key(), |row| row.count += 1);
    sent.into_value()
}

fn main() -> ExitCode {
    let name = std::env::var("BENCH_APP").unwrap_or_else(|_| "latency".into());
    App::new(&name).main()
}
