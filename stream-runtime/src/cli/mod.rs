//! The command line of every app.

mod args;
mod ask;
mod broker;
mod command;
mod connection;
mod context;
pub(crate) mod dead_letters;
mod error;
mod follow;
mod functions;
mod handle;
mod known;
mod local;
mod lock;
mod logging;
mod main;
mod partitions;
mod plan;
mod print;
mod progress;
mod readers;
mod records;
mod reset;
mod rows;
mod send;
mod service_links;
mod settings;
mod signal;
mod style;
mod tail;
#[cfg(test)]
mod tests;
mod topics;
mod view;
mod worker;

pub use command::{
    CommandCx, CommandDescriptor, CommandFuture, CommandOutput, CommandParam, CommandParameter,
};
pub use handle::{AppHandle, WorkerRun};
pub(crate) use main::{main, run};
pub use records::{ReadRecord, Records};
