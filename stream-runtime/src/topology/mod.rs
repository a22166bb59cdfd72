//! What the attributes declare, joined to a plan and checked.
//!
//! | file | noun |
//! |---|---|
//! | `descriptor`, `registry`, `pattern` | what attributes declare, and how it is found |
//! | `resolve`, `groups`, `order`, `circles` | agents that make one task, and their order |
//! | `plan`, `assemble` | the plan, and how it is put together |
//! | `check`, `stages` | what does not fit together, and where time is the fastest partition's |
//! | `fed`, `feeder` | topics whose readers go by the times of their writers |
//! | `lock` | the plan in a file, compared |

mod assemble;
mod check;
mod circles;
mod descriptor;
mod fed;
mod feeder;
mod groups;
pub mod lock;
mod order;
pub mod pattern;
mod plan;
pub mod registry;
mod resolve;
mod stages;

pub use assemble::plan;
pub use descriptor::{
    AgentDescriptor, AgentFuture, AgentOptions, AgentShape, Edge, GlobalDescriptor, JoinShape,
    OnError, OnGap, OnUnreadable, RecordInfo, RegisteredTable, RegisteredTopic, RowsFrom, Source,
    SourceLocation, Start, StateDescriptor, StateFuture, TableDescriptor, TopicDescriptor,
};
pub use feeder::{FeederPlan, FeederTime, FillPlan};
pub use plan::{
    AgentPlan, GlobalPlan, InputPlan, OutputKind, OutputPlan, PatternPlan, Plan, PlanParts,
    Problem, SubTopology, TablePlan, again_topic,
};
pub use stages::{ByTime, Stage};
