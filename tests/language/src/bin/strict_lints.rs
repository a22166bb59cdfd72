//! The strictest lints a user may have.
#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    rust_2018_idioms,
    unused_results,
    let_underscore_drop,
    single_use_lifetimes,
    trivial_casts,
    unused_lifetimes
)]
use stream_runtime::prelude::*;

/// R.
#[record(timestamp = at, key = id)]
#[derive(Debug)]
pub struct Reading {
    /// At.
    #[field(coerce)]
    pub at: DateTime<Utc>,
    /// Id.
    #[field(min_length = 1)]
    pub id: String,
}

/// L.
#[record]
pub struct Login {
    /// P.
    #[field(sensitive)]
    pub password: String,
}

/// T.
#[table(tumbling = "1h")]
#[derive(Default, Clone, Debug)]
pub struct Hours {
    /// n.
    pub n: u64,
}

/// O.
#[topic("out", value = Reading)]
#[derive(Debug)]
pub struct Out;

/// A.
#[agent(topic = "readings")]
pub async fn fold(reading: Reading, mut hours: Table<Hours>) {
    let _ = hours.update(&reading.id, |hour| hour.n += 1);
}

/// C.
#[agent(on_close = Hours, sink = Out)]
pub async fn close(hour: Closed<Hours>) -> Reading {
    Reading {
        at: hour.start(),
        id: hour.key().clone(),
    }
}

/// S.
#[state]
pub async fn limit() -> Result<u64> {
    Ok(7)
}

/// C.
#[command]
pub async fn check() {}

fn main() {}
