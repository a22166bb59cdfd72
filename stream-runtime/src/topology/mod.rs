//! What the attributes declare, joined to a plan and checked.

mod check;
mod circles;
mod descriptor;
mod draft;
mod fed;
pub mod lock;
mod order;
pub mod pattern;
mod plan;
pub mod registry;
mod stages;

pub use descriptor::{
    AgentDescriptor, AgentFuture, AgentOptions, AgentShape, Edge, GlobalDescriptor, JoinShape,
    OnError, OnGap, OnUnreadable, Place, RecordInfo, RegisteredTable, RegisteredTopic, RowsFrom,
    Source, Start, StateDescriptor, StateFuture, TableDescriptor, TopicDescriptor,
};
pub use fed::{FeederPlan, FeederTime, FillPlan};
pub use plan::{
    AgentPlan, GlobalPlan, InputPlan, OutputKind, OutputPlan, PatternPlan, Plan, PlanParts,
    Problem, SubTopology, TablePlan, again_topic, plan,
};
pub use stages::{ByTime, Stage};
