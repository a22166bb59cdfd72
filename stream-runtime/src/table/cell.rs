//! One partition of a table as the task holds it, its types erased.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::clock::Clock;
use super::closing::{self, Closing};
use super::commit::StoredRows;
use super::layout;
use super::rows::{NO_DISK, Rows};
use super::slot::RowBatch;
use super::spec::TableSpec;
use crate::error::Error;
use crate::key::StreamKey;
use crate::store::Tree;
use crate::topology::TableDescriptor;

/// What a partition of a table is opened with.
pub struct OpenTable {
    /// The task's times.
    pub clock: Rc<Clock>,
    /// The store's tree; `None` for `changelog = false`.
    pub tree: Option<Arc<dyn Tree>>,
    /// Bytes its cache may hold, about.
    pub cache_bytes: usize,
}

/// Key, window end and value of a row at the head.
pub(crate) type HeadRow<S> = (<S as TableSpec>::Key, i64, <S as TableSpec>::Value);

/// One partition of table `S`; the handles of its agents share it.
pub struct TableCell<S: TableSpec> {
    pub(super) rows: RefCell<Rows<S>>,
    pub(super) closing: RefCell<Closing<S>>,
    pub(super) clock: Rc<Clock>,
}

/// A table's partition, whatever its types.
pub trait TablePartition {
    /// Name, window, times.
    fn descriptor(&self) -> &'static TableDescriptor;
    /// Takes a changelog row during recovery; the key without its tag.
    fn restore(&self, layout_key: &[u8], value: Option<&[u8]>) -> Result<(), Error>;
    /// Recovery is over; `cursor` is the layout key in the mark.
    fn recovered(&self, cursor: Option<&[u8]>) -> Result<(), Error>;
    /// `end + grace` of the first open window, `i64::MAX` when none is open.
    fn due_at(&self) -> i64;
    /// Whether a row is at the head of the closing at this stream time.
    fn has_due(&self, stream_time: i64) -> Result<bool, Error>;
    /// `end` of the row at the head, which [`TablePartition::has_due`] has found.
    fn due_end(&self) -> i64;
    /// The row at the head has been handled.
    fn close_head(&self);
    /// Key and row at the head as JSON, for a dead letter.
    fn describe_head(&self) -> Option<(String, String)>;
    /// Stream time at which the first retained rows go, `i64::MAX` when there are none.
    fn expires_at(&self) -> i64;
    /// Drops rows whose retention is over, some at a time.
    fn expire(&self, stream_time: i64) -> Result<(), Error>;
    /// The event in hand is acknowledged.
    fn settle(&self);
    /// The event in hand is undone.
    fn rollback(&self);
    /// Serializes the changed rows.
    fn prepare(&self) -> Result<(), Error>;
    /// Runs `f` over the serialized rows.
    fn with_batch(&self, f: &mut dyn FnMut(&RowBatch));
    /// Appends the layout key of the last closed row; `false` when there is none.
    fn cursor(&self, out: &mut Vec<u8>) -> bool;
    /// Whether the cursor moved since the last commit.
    fn cursor_moved(&self) -> bool;
    /// The prepared rows are durable.
    fn committed(&self);
    /// The prepared rows, and all changes since, are void.
    fn aborted(&self) -> Result<(), Error>;
    /// Rows for the store and the number of the commit they are of; `None` while a round is under way or nothing changed.
    fn take_unstored(&self) -> Option<(StoredRows, u64)>;
    /// Number of rows that await the store.
    fn unstored(&self) -> usize;
    /// The round of this commit number is durable.
    fn stored(&self, round: u64);
    /// The round failed.
    fn not_stored(&self);
    /// See `idle`: where stream time may rise to by the wall clock.
    fn idle_target(&self, wall: i64) -> Option<i64>;
    /// Rows in the cache.
    fn cached(&self) -> usize;
    /// For the handles.
    fn as_any(self: Rc<Self>) -> Rc<dyn Any>;
}

/// Opens a partition of `S`; what `TableDescriptor::open` points to.
pub fn open<S: TableSpec>(how: &dyn Any) -> Box<dyn Any> {
    let cell: Option<Rc<dyn TablePartition>> = how.downcast_ref::<OpenTable>().map(|how| {
        Rc::new(TableCell::<S> {
            rows: RefCell::new(Rows::new(
                how.clock.clone(),
                how.tree.clone(),
                how.cache_bytes,
            )),
            closing: RefCell::new(Closing::default()),
            clock: how.clock.clone(),
        }) as Rc<dyn TablePartition>
    });
    Box::new(cell)
}

/// Opens the partition a descriptor describes.
pub fn open_described(
    descriptor: &'static TableDescriptor,
    how: OpenTable,
) -> Result<Rc<dyn TablePartition>, Error> {
    (descriptor.open)(&how)
        .downcast::<Option<Rc<dyn TablePartition>>>()
        .ok()
        .and_then(|cell| *cell)
        .ok_or_else(|| Error::table(format!("table `{}` was registered by another version of the runtime: build the app with one version", descriptor.name)))
}

impl<S: TableSpec> TableCell<S> {
    /// The row at the head: key, end, value.
    pub(crate) fn head(&self) -> Result<Option<HeadRow<S>>, Error> {
        let mut rows = self.rows.borrow_mut();
        let at = self
            .closing
            .borrow_mut()
            .head(&mut rows, self.clock.stream_time.get())?;
        Ok(at.and_then(|at| {
            let slot = &rows.slots[at as usize];
            Some((slot.key.clone(), slot.end, slot.value.as_ref()?.clone()))
        }))
    }
}

impl<S: TableSpec> TablePartition for TableCell<S> {
    fn descriptor(&self) -> &'static TableDescriptor {
        S::DESCRIPTOR
    }

    fn restore(&self, layout_key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        self.rows.borrow_mut().restore(layout_key, value)
    }

    fn recovered(&self, cursor: Option<&[u8]>) -> Result<(), Error> {
        let mut rows = self.rows.borrow_mut();
        let mut closing = self.closing.borrow_mut();
        let cursor = cursor
            .map(|c| layout::parse::<S::Key>(true, c, S::DESCRIPTOR.name))
            .transpose()?;
        closing.cursor = cursor.clone();
        closing.committed = cursor;
        closing.moved = false;
        closing.restart();
        rows.disk = NO_DISK;
        let retained = S::DESCRIPTOR.retention > 0;
        if retained {
            closing::note_retained(&mut rows, closing.cursor.as_ref())?;
            closing::refile(&mut rows, &closing);
        }
        rows.disk = closing::first_disk(
            &rows,
            closing
                .cursor
                .as_ref()
                .filter(|_| retained)
                .map(|(end, _)| *end),
        )?;
        Ok(())
    }

    fn due_at(&self) -> i64 {
        match self.closing.borrow().first_open(&self.rows.borrow()) {
            Some(end) => end.saturating_add(S::DESCRIPTOR.grace),
            None => i64::MAX,
        }
    }

    fn has_due(&self, stream_time: i64) -> Result<bool, Error> {
        Ok(self
            .closing
            .borrow_mut()
            .head(&mut self.rows.borrow_mut(), stream_time)?
            .is_some())
    }

    fn due_end(&self) -> i64 {
        self.closing
            .borrow()
            .first_open(&self.rows.borrow())
            .unwrap_or(i64::MAX)
    }

    fn close_head(&self) {
        self.closing
            .borrow_mut()
            .close_head(&mut self.rows.borrow_mut());
    }

    fn describe_head(&self) -> Option<(String, String)> {
        let (key, _, value) = self.head().ok()??;
        let mut text = Vec::new();
        key.encode(&mut text);
        Some((
            String::from_utf8_lossy(&text).into_owned(),
            serde_json::to_string(&value).unwrap_or_else(|e| format!("a row that is no JSON: {e}")),
        ))
    }

    fn expires_at(&self) -> i64 {
        closing::expires_at(&self.rows.borrow())
    }

    fn expire(&self, stream_time: i64) -> Result<(), Error> {
        closing::expire(&mut self.rows.borrow_mut(), stream_time)
    }

    fn settle(&self) {
        self.rows.borrow_mut().undo.clear();
    }

    fn rollback(&self) {
        self.rows.borrow_mut().rollback();
    }

    fn prepare(&self) -> Result<(), Error> {
        self.rows.borrow_mut().prepare()
    }

    fn with_batch(&self, f: &mut dyn FnMut(&RowBatch)) {
        f(&self.rows.borrow().batch);
    }

    fn cursor(&self, out: &mut Vec<u8>) -> bool {
        match &self.closing.borrow().cursor {
            Some((end, key)) => {
                layout::push(true, *end, key, out);
                true
            }
            None => false,
        }
    }

    fn cursor_moved(&self) -> bool {
        self.closing.borrow().moved
    }

    fn committed(&self) {
        self.rows.borrow_mut().committed();
        let mut closing = self.closing.borrow_mut();
        if closing.moved {
            closing.committed = closing.cursor.clone();
            closing.moved = false;
        }
    }

    fn aborted(&self) -> Result<(), Error> {
        let mut rows = self.rows.borrow_mut();
        rows.aborted()?;
        let mut closing = self.closing.borrow_mut();
        closing.cursor = closing.committed.clone();
        closing.moved = false;
        closing.restart();
        if S::DESCRIPTOR.retention > 0 {
            closing::refile(&mut rows, &closing);
        }
        Ok(())
    }

    fn take_unstored(&self) -> Option<(StoredRows, u64)> {
        let mut rows = self.rows.borrow_mut();
        if !rows.storing.is_empty() || rows.unstored.is_empty() || rows.tree.is_none() {
            return None;
        }
        Some((rows.take_unstored(), rows.commits))
    }

    fn unstored(&self) -> usize {
        self.rows.borrow().unstored.len()
    }

    fn stored(&self, round: u64) {
        let mut rows = self.rows.borrow_mut();
        rows.stored(round);
        rows.sweep();
        self.closing.borrow_mut().restart();
    }

    fn not_stored(&self) {
        self.rows.borrow_mut().not_stored();
    }

    fn idle_target(&self, wall: i64) -> Option<i64> {
        self.rows.borrow().idle_target(wall)
    }

    fn cached(&self) -> usize {
        self.rows.borrow().cached()
    }

    fn as_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}
