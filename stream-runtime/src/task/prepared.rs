//! What a commit under way holds.

use std::sync::Arc;

use crate::table::Mark;

/// Offsets and marks of the commit under way.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(super) offsets: Vec<i64>,
    /// Offsets of the last commit.
    pub(crate) committed: Vec<i64>,
    pub(super) marks: Vec<Option<(Vec<u8>, Mark)>>,
    pub(super) stream_time: i64,
    /// Stream time of the last commit.
    pub(crate) committed_time: i64,
    /// Since when the app's commits say whose they are.
    pub(super) since: i64,
    /// True while the committed offsets lack that text.
    pub(crate) unsigned: bool,
    /// Behind a hop: how far the sources of stream time are, in this commit and in the last one.
    pub(super) sources: Option<Arc<[u8]>>,
    pub(crate) committed_sources: Option<Arc<[u8]>>,
    /// The times of the hops that the task fills, in this commit.
    pub(super) hops: Vec<i64>,
    /// Who commits, where its transactions may have to be ended by another.
    pub(super) writer: Option<String>,
}
