//! The rows of a worker's global tables, for what runs beside its streams.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, MutexGuard};

use crate::error::{Error, Kind};
use crate::kafka::TopicPartition;
use crate::sync::Mutex;
use crate::table::{AnyReplica, replica_of};
use crate::topology::{GlobalDescriptor, TableDescriptor};

/// The replicas of a worker, from its first start to its end: one that starts again reads on where it was.
#[derive(Default)]
pub(crate) struct Replicas(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    all: HashMap<&'static str, Arc<dyn AnyReplica>>,
    /// Tables that have been read to what was their end.
    filled: HashSet<&'static str>,
    /// Records read before that, and how many there are to read.
    read: (u64, u64),
    /// Next offset of each partition, as far as it was read.
    next: HashMap<TopicPartition, i64>,
}

impl Replicas {
    /// The replica of a table: the one that is there, or a new one.
    ///
    /// # Errors
    /// The table was registered by another version of the runtime.
    pub(super) fn replica(
        &self,
        table: &'static TableDescriptor,
        global: GlobalDescriptor,
    ) -> Result<Arc<dyn AnyReplica>, Error> {
        let mut inner = self.inner();
        if let Some(replica) = inner.all.get(table.name) {
            return Ok(Arc::clone(replica));
        }
        let made = replica_of(table, global)?;
        inner.all.insert(table.name, Arc::clone(&made));
        Ok(made)
    }

    /// Takes replicas that are complete already: those of a test.
    pub(crate) fn complete(&self, table: &'static str, replica: Arc<dyn AnyReplica>) {
        let mut inner = self.inner();
        inner.all.insert(table, replica);
        inner.filled.insert(table);
    }

    /// So many records have been read, of so many.
    pub(crate) fn have_read(&self, done: u64, total: u64) {
        self.inner().read = (done, total);
    }

    pub(super) fn are_filled(&self, tables: impl Iterator<Item = &'static str>) {
        self.inner().filled.extend(tables);
    }

    /// How far they were read.
    pub(super) fn next(&self) -> HashMap<TopicPartition, i64> {
        self.inner().next.clone()
    }

    /// Nobody follows them for now: they were read as far as this.
    pub(super) fn left_at(&self, next: HashMap<TopicPartition, i64>) {
        self.inner().next = next;
    }

    /// The rows of a table, once they are complete.
    ///
    /// # Errors
    /// They are still being read.
    pub(crate) fn get(&self, table: &'static str) -> Result<Arc<dyn AnyReplica>, Error> {
        let inner = self.inner();
        match inner.all.get(table) {
            Some(replica) if inner.filled.contains(table) => Ok(Arc::clone(replica)),
            _ => {
                let far = match inner.read {
                    (_, 0) => "this worker has not begun to read it".to_owned(),
                    (done, total) => format!("{done} of {total} records of global tables are read"),
                };
                let text = format!(
                    "global table `{table}` is not complete on this worker yet: {far}: ask again"
                );
                Err(Error::new(Kind::Stopped, text))
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }
}
