//! What the attributes have registered in this process, in no order. Without the feature `inventory` that is nothing.

use super::descriptor::{
    AgentDescriptor, RegisteredTable, RegisteredTopic, StateDescriptor, TableDescriptor,
    TopicDescriptor,
};

/// Makes a registry of `$what`; once, beside its definition.
#[cfg(feature = "inventory")]
macro_rules! collected {
    ($($what:ty),*) => { $(inventory::collect!($what);)* };
}
#[cfg(not(feature = "inventory"))]
macro_rules! collected {
    ($($what:ty),*) => {};
}
pub(crate) use collected;

/// Everything registered as a `$what`.
#[cfg(feature = "inventory")]
macro_rules! registered {
    ($what:ty) => {
        inventory::iter::<$what>().collect::<Vec<&'static $what>>()
    };
}
#[cfg(not(feature = "inventory"))]
macro_rules! registered {
    ($what:ty) => {
        Vec::<&'static $what>::new()
    };
}
pub(crate) use registered;

collected!(
    AgentDescriptor,
    RegisteredTable,
    RegisteredTopic,
    StateDescriptor
);

/// Functions under `#[agent]`.
pub fn agents() -> Vec<&'static AgentDescriptor> {
    registered!(AgentDescriptor)
}

/// Structs under `#[table]`.
pub fn tables() -> Vec<&'static TableDescriptor> {
    let all = registered!(RegisteredTable);
    all.into_iter().map(|table| table.0).collect()
}

/// Structs under `#[topic]`.
pub fn topics() -> Vec<&'static TopicDescriptor> {
    let all = registered!(RegisteredTopic);
    all.into_iter().map(|topic| topic.0).collect()
}

/// Functions under `#[state]`.
pub fn states() -> Vec<&'static StateDescriptor> {
    registered!(StateDescriptor)
}
