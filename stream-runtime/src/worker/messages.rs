//! What other threads have found for a stream thread, or ask of it.

use super::signatures::Signatures;
use super::topics::Existing;
use crate::kafka::{Fault, TopicPartition};
use std::collections::HashMap;

use super::questions::{Confirmation, ReadRequest};
use super::status::TaskName;
use crate::task::Lull;

/// What other threads found for this one, or ask of it.
pub(super) enum Reply {
    /// What an assignment needs to begin.
    Found {
        generation: u64,
        /// The one task that was asked for, else the whole assignment.
        task: Option<TaskName>,
        result: Result<Box<Found>, Fault>,
    },
    /// End offsets of a quiet task's inputs, or of a group of them.
    Ends {
        generation: u64,
        task: TaskName,
        lull: Option<Lull>,
        result: Result<Vec<i64>, Fault>,
    },
    /// Somebody asks for rows.
    Read(ReadRequest),
    /// Settings of a task's topic have become such that results would be wrong.
    Unfit { task: TaskName, why: String },
    /// What the group said when it was asked whether this member is one.
    Confirmed {
        generation: u64,
        confirmation: Confirmation,
    },
}

/// What tasks need to begin.
pub(super) struct Found {
    pub(super) inputs: HashMap<TopicPartition, Source>,
    /// First offset and end of each changelog, open transactions included.
    pub(super) changelogs: HashMap<TopicPartition, (i64, i64)>,
    /// The topics of tasks that do not fit what was there when the worker began.
    pub(super) topics: Existing,
    /// Texts beside the app's offsets.
    pub(super) signed: Signatures,
}

/// An input partition as the cluster has it.
pub(super) struct Source {
    /// What the group has committed.
    pub(super) committed: Option<i64>,
    pub(super) metadata: String,
    /// First offset in the log.
    pub(super) low: i64,
    pub(super) end: i64,
}
