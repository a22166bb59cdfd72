//! What a partition of a table is opened with.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::clock::Clock;
use crate::store::Tree;

/// What a partition of a table is opened with.
pub struct OpenTable {
    /// The task's times.
    pub clock: Rc<Clock>,
    /// The store's tree; `None` for `changelog = false`.
    pub tree: Option<Arc<dyn Tree>>,
    /// Bytes its cache may hold, about.
    pub cache_bytes: usize,
    /// Every row that is written is read back, and not the first of each variant only.
    pub read_back: bool,
    /// What a row may weigh.
    pub row_limit: RowLimit,
    /// Where its rows are on the broker.
    pub log: Rc<LogPlace>,
}

/// Where the rows of a table's partition are on the broker, for messages.
#[derive(Debug, Default)]
pub struct LogPlace {
    /// The changelog; `None` for `changelog = false`.
    pub topic: Option<String>,
    /// Next offset behind the last commit; 0 while that is not known.
    pub end: Cell<i64>,
}

/// The largest row that a table's changelog takes.
#[derive(Clone, Debug)]
pub struct RowLimit {
    /// Bytes of key and value.
    pub bytes: usize,
    /// The setting that says so, for messages.
    pub setting: Rc<str>,
}
