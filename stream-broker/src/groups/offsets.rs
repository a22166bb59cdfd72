//! A group's offsets: committed ones, and those of transactions that have not ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::requests::{Place, Who};
use crate::log::Outcome;
use crate::wire::Code;

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Committed {
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) metadata: String,
}

/// All offsets of a group.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    pub(super) committed: BTreeMap<Place, Committed>,
    /// By producer.
    pub(super) pending: BTreeMap<i64, BTreeMap<Place, Committed>>,
}

impl Offsets {
    pub(super) fn end(&mut self, producer_id: i64, outcome: Outcome) {
        let pending = self.pending.remove(&producer_id).unwrap_or_default();
        if outcome == Outcome::Commit {
            self.committed.extend(pending);
        }
    }
}

/// An offset to commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommitItem {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

impl CommitItem {
    pub(super) fn split(self) -> (Place, Committed) {
        let committed = Committed {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata,
        };
        ((self.topic, self.partition), committed)
    }

    pub(super) fn join(place: &Place, committed: &Committed) -> Self {
        Self {
            topic: place.0.clone(),
            partition: place.1,
            offset: committed.offset,
            leader_epoch: committed.leader_epoch,
            metadata: committed.metadata.clone(),
        }
    }
}

/// A request to commit offsets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commit {
    pub(crate) group: String,
    pub(crate) who: Who,
    pub(crate) items: Vec<CommitItem>,
}

/// An offset as OffsetFetch gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FetchedOffset {
    pub(crate) partition: i32,
    /// -1: there is none.
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
    pub(crate) code: Option<Code>,
}
