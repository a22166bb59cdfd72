//! Requests of members, and the answers.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::wire::Code;

/// Bounds of `session.timeout.ms`.
pub(super) const SESSION: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(30 * 60);

/// Topic and partition.
pub(crate) type Place = (String, i32);

/// A member that wants to join.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    pub(crate) group: String,
    /// Empty when it has none yet.
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) client: String,
    pub(crate) host: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: String,
    /// By preference: name and the member's subscription.
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// True if the client's version fetches its member id before it joins (KIP-394).
    pub(crate) id_first: bool,
    /// True if the client's version lets a leader skip the assignment (KIP-814).
    pub(crate) may_skip_assignment: bool,
}

/// A member has joined a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: String,
    pub(crate) member: String,
    /// Id, instance and subscription of all members; only the leader gets them.
    pub(crate) members: Vec<(String, Option<String>, Bytes)>,
    pub(crate) skip_assignment: bool,
}

/// Why a member has not joined; the id is the one it should use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotJoined {
    pub(crate) code: Code,
    pub(crate) member: String,
}

pub(crate) type JoinReply = oneshot::Sender<Result<Joined, NotJoined>>;

/// A member of a generation that asks for its assignment.
#[derive(Debug, Clone)]
pub(crate) struct Sync {
    pub(crate) group: String,
    pub(crate) who: Who,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    /// From the leader: member and assignment.
    pub(crate) assignments: Vec<(String, Bytes)>,
}

/// A member's assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignment: Bytes,
}

pub(crate) type SyncReply = oneshot::Sender<Result<Synced, Code>>;

/// Who a request says it is from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) generation: i32,
}
