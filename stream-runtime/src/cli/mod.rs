//! The command line of every app.
//!
//! | file | noun |
//! |---|---|
//! | `main`, `args`, `settings`, `context`, `connection`, `logging`, `error` | from the words of the command line to a command, and how it ends |
//! | `worker`, `partitions`, `progress`, `signal` | `worker`, and its partitions on the terminal |
//! | `broker` | `broker`: the development broker of a directory |
//! | `send`, `tail`, `topic_reader`, `known`, `records` | records in and out, by what the app knows of a topic |
//! | `topics`, `rows`, `functions`, `plan`, `plan_view`, `plan_lock` | what there is, and the plan that is kept |
//! | `dead_letters`, `reset` | letters sent again; offsets and tables together |
//! | `command`, `app_handle`, `readers` | commands of the app's own, and what they get |
//! | `print`, `style`, `confirm` | output, and questions |

mod app_handle;
mod args;
mod broker;
mod command;
mod confirm;
mod connection;
mod context;
pub(crate) mod dead_letters;
mod error;
mod functions;
mod known;
mod logging;
mod main;
mod partitions;
mod plan;
mod plan_lock;
mod plan_view;
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
mod topic_reader;
mod topics;
mod worker;

pub use app_handle::{AppHandle, WorkerRun};
pub use command::{
    CommandCx, CommandDescriptor, CommandFuture, CommandOutput, CommandParam, CommandParameter,
};
pub use records::{ReadRecord, Records};
