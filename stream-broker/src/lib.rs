//! The embedded Kafka broker of development and tests: one node, loopback only.
//!
//! It speaks the Kafka protocol to every client (librdkafka, Java, Python, `kcat`), with consumer groups, idempotent
//! and transactional producers, compaction and retention, and keeps everything in a directory, so that it can be killed
//! at any moment and goes on where it was. It is not for production: nothing is replicated, nothing is encrypted, and
//! what the operating system has not written to the disk is lost with the power.
//!
//! It answers as Apache Kafka 4.1 does, with these differences: topics are never created by being asked for, there are
//! no internal topics to read, a group's offsets are kept until the group or the topic is deleted, and batches are
//! never compressed here: `compression.type` is accepted and does nothing, and compaction writes what is left of a
//! compressed batch without compression. New consumer groups (KIP-848), transactions of version 2, quotas,
//! authentication and ACLs are not there; clients see that in ApiVersions and use what is.
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
