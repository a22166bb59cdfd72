//! Testing an app without Kafka: the worker's own task, table and commit code over a cluster in memory.
//!
//! | file | noun |
//! |---|---|
//! | `app`, `message`, `sent`, `resend` | `TestApp`, what it is given, what it has sent |
//! | `harness`, `cluster`, `workers`, `assign`, `globals` | the tasks at work, topics in memory, who runs which task |
//! | `rules`, `refusals` | what topics refuse |
//! | `background`, `calls` | functions beside the agents |
//! | `simulate`, `random` | faults by chance |

mod app;
mod assign;
mod background;
mod calls;
mod cluster;
mod globals;
mod harness;
mod message;
mod random;
mod refusals;
mod resend;
mod rules;
mod sent;
mod simulate;
mod stamp;
#[cfg(test)]
mod tests;
mod workers;

pub use app::TestApp;
pub use message::TestMessage;
pub use random::Random;
pub use sent::{Sent, TestKey};
pub use simulate::{Simulation, seeds};

/// A time as RFC 3339 says it, for tests.
///
/// # Panics
/// When the text is not an RFC 3339 time.
///
/// ```
/// # use stream_runtime::testing::at;
/// assert_eq!(at("1970-01-01T00:00:01Z").timestamp(), 1);
/// ```
#[track_caller]
pub fn at(text: &str) -> chrono::DateTime<chrono::Utc> {
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) => time.to_utc(),
        Err(e) => panic!("{text:?} is not an RFC 3339 time: {e}"),
    }
}
