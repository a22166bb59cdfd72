//! How far the search for rows is whose `ttl` is over.

/// The search for rows that are over.
#[derive(Debug)]
pub(super) struct Sweeping {
    /// Stream time of the next search.
    pub(super) next: i64,
    /// The oldest change that this one has met among the rows that stay.
    pub(super) oldest: i64,
    pub(super) step: Step,
}

#[derive(Debug)]
pub(super) enum Step {
    Begin,
    /// From this slot on.
    Cache(u32),
    /// From this layout key on.
    Store(Vec<u8>),
}

impl Default for Sweeping {
    fn default() -> Self {
        Sweeping {
            next: i64::MAX,
            oldest: i64::MAX,
            step: Step::Begin,
        }
    }
}
