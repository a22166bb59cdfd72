//! A worker: stream threads, rebalances, recovery, commits, shutdown.
//!
//! | file | noun |
//! |---|---|
//! | `settings`, `run`, `stop`, `signals`, `instance_dir` | what a worker is started with, its threads, how it is stopped, its place on the machine |
//! | `topics`, `patterns` | the topics of the app at start; those that patterns find, also later |
//! | `thread`, `turns`, `messages` | the owners of a stream thread, its loop, what others tell it |
//! | `partition`, `idle`, `ahead`, `clocks`, `source_turns`, `stalled` | one task on its thread, and who waits for whom |
//! | `membership`, `assignment`, `rebalance`, `shutdown` | partitions come and go |
//! | `offsets`, `open_task`, `recovery` | a task's way from its assignment to its first event |
//! | `restart`, `failed` | tasks that failed, and start again |
//! | `foreign`, `strangers`, `signatures`, `gone` | offsets that no worker has committed, and whose they are; topics to send to that are not there any more |
//! | `commit_producer`, `commit`, `refused`, `sent`, `succession`, `session`, `backoff` | the commit, and what happens when it fails |
//! | `repartition_lag` | repartition topics |
//! | `globals`, `replicas` | global tables, read whole by every worker; their rows |
//! | `reads`, `questions`, `workers`, `telling` | committed rows for whoever asks, and who has which |
//! | `flush` | rounds of the store |
//! | `context`, `status`, `handle`, `metrics`, `caught_up`, `watchdog` | what is seen of the threads from outside |

mod ahead;
mod assignment;
mod backoff;
mod caught_up;
mod clocks;
mod commit;
mod commit_producer;
mod context;
mod failed;
mod flush;
mod foreign;
mod globals;
mod gone;
mod handle;
mod idle;
mod instance_dir;
mod membership;
mod messages;
mod metrics;
mod new_topics;
mod offsets;
mod open_task;
mod partition;
mod patterns;
mod prefetch;
mod questions;
mod reads;
mod rebalance;
mod recovery;
mod refused;
mod repartition_lag;
mod replicas;
mod restart;
mod run;
mod sent;
mod session;
mod settings;
mod shutdown;
mod shutdown_signal;
pub(crate) mod signals;
mod signatures;
mod source_turns;
mod stalled;
mod status;
mod strangers;
mod succession;
mod telling;
#[cfg(test)]
mod tests;
mod thread;
mod topics;
mod turns;
mod watchdog;
mod workers;

pub(crate) use globals::Followed;
pub(crate) use handle::WorkerHandle;
pub(crate) use new_topics::NewTopics;
pub(crate) use questions::{Answer, Ask, NotHere};
pub(crate) use run::{Ended, run};
pub(crate) use sent::{Standing, takes_nothing};
pub use settings::OnForeignCommit;
pub(crate) use settings::{SOURCE_IDLE, WorkerSettings};
pub(crate) use shutdown_signal::ShutdownSignal;
pub(crate) use status::{Group, PartitionState, PartitionView, Progress, Status};
pub(crate) use telling::{Crew, follow};
pub(crate) use topics::musts;
pub(crate) use workers::{Owner, Workers};
