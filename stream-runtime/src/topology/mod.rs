//! What the attributes declare, joined to a plan and checked.

mod check;
mod descriptor;
pub mod lock;
mod plan;
pub mod registry;

pub use descriptor::{
    AgentDescriptor, AgentFuture, AgentOptions, AgentShape, Edge, GlobalDescriptor, JoinShape,
    OnError, OnGap, Place, RecordInfo, RegisteredTable, RegisteredTopic, Source, Start,
    StateDescriptor, StateFuture, TableDescriptor, TopicDescriptor,
};
pub use plan::{
    AgentPlan, GlobalPlan, InputPlan, OutputKind, OutputPlan, Plan, PlanParts, Problem,
    SubTopology, TablePlan, plan,
};
