//! What serde is at work for in this thread: the field rules of a row are checked when it is written, those of a
//! message when it is read.

use std::cell::Cell;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Values of messages, and anything else.
    Messages,
    /// A row that is read.
    ReadsRow,
    /// A row that is written, and no rule has been met yet.
    WritesRow,
    /// A row that is written and has rules.
    WritesRowWithRules,
}

thread_local! {
    static WORK: Cell<Work> = const { Cell::new(Work::Messages) };
}

/// Says that a row is being read, until it is dropped.
pub(crate) struct ReadsRow(Work);

impl ReadsRow {
    #[inline]
    pub(crate) fn begin() -> Self {
        ReadsRow(WORK.replace(Work::ReadsRow))
    }
}

impl Drop for ReadsRow {
    #[inline]
    fn drop(&mut self) {
        WORK.set(self.0);
    }
}

/// Says that a row is being written, until it is dropped.
pub(crate) struct WritesRow(Work);

impl WritesRow {
    pub(crate) fn begin() -> Self {
        WritesRow(WORK.replace(Work::WritesRow))
    }

    /// Whether what was written so far has rules.
    pub(crate) fn has_checked(&self) -> bool {
        WORK.get() == Work::WritesRowWithRules
    }
}

impl Drop for WritesRow {
    fn drop(&mut self) {
        WORK.set(self.0);
    }
}

/// Whether a row is being read.
#[inline]
pub(crate) fn reads_row() -> bool {
    WORK.get() == Work::ReadsRow
}

/// Whether what is being written is a row whose rules are to be checked; notes that it has some.
#[inline]
pub(crate) fn meets_rule() -> bool {
    let checks = matches!(WORK.get(), Work::WritesRow | Work::WritesRowWithRules);
    if checks {
        WORK.set(Work::WritesRowWithRules);
    }
    checks
}
