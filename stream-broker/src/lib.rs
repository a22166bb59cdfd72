//! The embedded Kafka broker of development and tests: one node, loopback only.
//!
//! It speaks the Kafka protocol to every client (librdkafka, Java, Python, `kcat`), with consumer groups, idempotent and
//! transactional producers, compaction and retention, and keeps everything in a directory, so that it can be killed at
//! any moment and goes on where it was. It is not for production: nothing is replicated, nothing is encrypted, and what
//! the operating system has not written to the disk is lost with the power.
//!
//! ```
//! # fn main() -> Result<(), stream_broker::Error> {
//! # let directory = tempfile::tempdir().unwrap();
//! use stream_broker::{Broker, Config};
//!
//! let broker = Broker::start(Config::new(directory.path()))?;
//! println!("bootstrap.servers={}", broker.address());
//! broker.shutdown();
//! # Ok(())
//! # }
//! ```

mod config;
mod error;
mod groups;
mod log;
mod server;
mod topics;
mod transactions;
mod wire;

pub use config::Config;
pub use error::Error;
pub use server::Broker;
