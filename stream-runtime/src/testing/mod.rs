//! Testing an app without Kafka: the worker's own task, table and commit code over a cluster in memory.

mod app;
mod beside;
mod cluster;
mod drive;
mod globals;
mod message;
mod resend;
mod rules;
mod seats;
mod sent;
mod simulate;
#[cfg(test)]
mod tests;

pub use app::TestApp;
pub use message::TestMessage;
pub use sent::{Sent, TestKey};
pub use simulate::{Random, Simulation, seeds};

/// A time as RFC 3339 says it, for tests.
///
/// # Panics
/// When the text is no RFC 3339 time.
///
/// ```
/// # use stream_runtime::testing::at;
/// assert_eq!(at("1970-01-01T00:00:01Z").timestamp(), 1);
/// ```
#[track_caller]
pub fn at(text: &str) -> chrono::DateTime<chrono::Utc> {
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) => time.to_utc(),
        Err(e) => panic!("{text:?} is no RFC 3339 time: {e}"),
    }
}
