//! Floor 2: which topics there are, how they are configured, and their partitions.

mod catalog;
mod config;
mod files;
mod name;
mod partition;

pub(crate) use catalog::{Catalog, NewTopic, Topic};
pub(crate) use config::{Setting, TopicConfig, settings};
pub(crate) use name::check_name;
pub(crate) use partition::{Partition, Waiter};

use crate::wire::Code;

/// A refusal: the protocol's code, and what to tell the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(crate) fn storage(error: &std::io::Error) -> Self {
        Self::new(
            Code::KafkaStorageError,
            format!("the broker cannot write to its data directory: {error}"),
        )
    }
}
