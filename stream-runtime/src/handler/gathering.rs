//! A batch that is being gathered.

/// How far the next batch is.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Monotonic time at which its first event was there.
    pub(super) since: Option<u64>,
    /// Records to wait for: more than events asked for, where a filter leaves some out.
    pub(super) records: usize,
}
