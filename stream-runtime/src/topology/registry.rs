//! What the attributes have registered in this process, in no order.

use super::descriptor::{
    AgentDescriptor, RegisteredTable, RegisteredTopic, StateDescriptor, TableDescriptor,
    TopicDescriptor,
};

/// Functions under `#[agent]`.
pub fn agents() -> Vec<&'static AgentDescriptor> {
    inventory::iter::<AgentDescriptor>().collect()
}

/// Structs under `#[table]`.
pub fn tables() -> Vec<&'static TableDescriptor> {
    inventory::iter::<RegisteredTable>()
        .map(|table| table.0)
        .collect()
}

/// Structs under `#[topic]`.
pub fn topics() -> Vec<&'static TopicDescriptor> {
    inventory::iter::<RegisteredTopic>()
        .map(|topic| topic.0)
        .collect()
}

/// Functions under `#[state]`.
pub fn states() -> Vec<&'static StateDescriptor> {
    inventory::iter::<StateDescriptor>().collect()
}
