//! The Kafka client: the only room that names rdkafka.
//!
//! | file | noun |
//! |---|---|
//! | `properties`, `config_names`, `jaas` | client settings as users have them, Java's names included |
//! | `client_config` | what each kind of client adds to them |
//! | `wake` | the one wake-up a stream thread parks on |
//! | `ffi` | the unsafe lines: partition queues read in batches, queue events, group metadata |
//! | `group` | a member of the consumer group: rebalance events, assignment, offsets |
//! | `reader` | partitions read from given offsets outside any group (recovery, `tail`) |
//! | `producer`, `transaction` | sending, delivery reports, transactions |
//! | `admin` | topics, their configuration, offsets |
//! | `error` | what an error means for the caller |
//! | `client_log` | what librdkafka logs, through `tracing` |

mod admin;
mod client_config;
mod client_log;
mod config_names;
mod error;
mod ffi;
mod group;
mod jaas;
mod producer;
mod properties;
mod reader;
#[cfg(test)]
mod tests;
mod transaction;
mod wake;

pub(crate) use admin::{Admin, SessionLimits, TopicSettings, TopicView, Visitor};
pub(crate) use client_config::{Isolation, longest_turn};
pub(crate) use client_log::say_over;
pub(crate) use error::{Fault, FaultKind, again, again_saying};
#[cfg(feature = "mimalloc")]
pub(crate) use ffi::keep_freed_memory;
pub(crate) use ffi::{Batch, Fetched, GroupToken, PartitionQueue, RecordView};
pub(crate) use group::{Committed, GroupConsumer, GroupEvent};
pub(crate) use producer::{
    Account, Deliveries, DeliveryFailure, NUMBERED, OutHeaders, Outgoing, Sender, Undelivered,
};
pub(crate) use properties::{Properties, SESSION, TRANSACTION};
pub(crate) use reader::Reader;
pub(crate) use transaction::TransactionalProducer;
pub(crate) use wake::Wake;

/// A partition and the next offset to read from it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TopicPartitionOffset {
    pub(crate) topic: std::sync::Arc<str>,
    pub(crate) partition: i32,
    /// Next offset to read.
    pub(crate) offset: i64,
}

impl TopicPartitionOffset {
    pub(crate) fn new(topic: impl Into<std::sync::Arc<str>>, partition: i32, offset: i64) -> Self {
        Self {
            topic: topic.into(),
            partition,
            offset,
        }
    }
}

/// A topic and one of its partitions.
pub(crate) type TopicPartition = (std::sync::Arc<str>, i32);
