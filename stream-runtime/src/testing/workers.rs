//! Where the tasks of a [`TestApp`](super::TestApp) run: workers with disks, and the partitions that each has.

use std::sync::Arc;

use crate::store::MemoryStore;
use crate::task::Task;

/// One task, where it runs and where its changelogs end.
pub(super) struct TestTask {
    pub(super) task: Task,
    pub(super) worker: usize,
    pub(super) topology: usize,
    pub(super) partition: i32,
    pub(super) ends: Vec<i64>,
    /// Monotonic time of its last event.
    pub(super) busy: u64,
}

/// A worker: its disk, which outlives its process.
pub(super) struct Worker {
    pub(super) store: Arc<MemoryStore>,
    pub(super) up: bool,
}

impl Worker {
    pub(super) fn new() -> Self {
        Worker {
            store: Arc::new(MemoryStore::new()),
            up: true,
        }
    }
}
