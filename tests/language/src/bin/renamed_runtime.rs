//! The runtime under another path.
mod facade {
    pub mod streams {
        pub use stream_runtime::*;
    }
}

use std::process::ExitCode;

use facade::streams::{
    self as s, Closed, Stream, Table, Topic, agent, command, record, state, table, topic,
};

#[record(timestamp = at, crate = crate::facade::streams)]
struct Reading {
    #[field(coerce, min = 3)]
    at: i64,
    #[field(sensitive)]
    secret: String,
}

#[table(tumbling = "1h", crate = crate::facade::streams)]
#[derive(Clone, Default)]
struct Hours {
    n: u64,
}

#[topic("out", value = Reading, crate = s)]
struct Out;

#[agent(topic = "in", crate = crate::facade::streams)]
async fn fold(
    mut readings: Stream<Reading>,
    mut hours: Table<Hours>,
    out: Topic<Out>,
) -> s::Result {
    while let Some(reading) = readings.next().await {
        hours.update(reading.key(), |hour| hour.n += 1);
        let key = reading.key().clone();
        out.send(&key, reading.into_value()).await?;
    }
    Ok(())
}

#[agent(on_close = Hours, sink = Out, crate = s)]
async fn close(hour: Closed<Hours>) -> Reading {
    Reading {
        at: hour.n as i64,
        secret: String::new(),
    }
}

#[state(crate = s)]
async fn number() -> u8 {
    7
}

#[command(crate = s)]
async fn check() -> ExitCode {
    ExitCode::SUCCESS
}

fn main() {}
