//! One partition of a table as the task holds it, its types erased.

use std::any::Any;
use std::rc::Rc;

use bytes::Bytes;

use super::aside::Aside;
use super::entry::RowBatch;
use super::page::{Chunk, Scan};
use super::rows::Rows;
use crate::error::Error;
use crate::store::RowWrite;
use crate::topology::TableDescriptor;

/// A table's partition, whatever its types.
pub trait TablePartition {
    /// Name, window, times.
    fn descriptor(&self) -> &'static TableDescriptor;
    /// Its rows.
    fn rows(&self) -> &dyn Rows;
    /// Takes a changelog row during recovery; the key without its tag.
    fn restore(&self, layout_key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        self.rows().restore(layout_key, value)
    }
    /// Ends recovery: `cursor` is the layout key in the table's mark, `time` the stream time there.
    fn recovered(&self, cursor: Option<&[u8]>, time: i64) -> Result<(), Error>;
    /// Returns the stream time that its rows are of, for its mark.
    fn time(&self) -> i64;
    /// `end + grace` of the first open window, `i64::MAX` when none is open.
    fn due_at(&self) -> i64;
    /// Returns the least time in ms by which stream time is past the end of a window, or past a join's record, when it
    /// is over.
    fn waits(&self) -> i64 {
        self.descriptor().grace
    }
    /// Whether a row is at the head of the closing at this stream time.
    fn has_due(&self, stream_time: i64) -> Result<bool, Error>;
    /// Start and end of the window at the head.
    fn head_window(&self) -> Option<(i64, i64)>;
    /// What it closes together with, and the key at the head: windows by their table alone, the sides of a join as one.
    fn closes_beside(&self) -> (&'static str, Bytes) {
        (self.descriptor().name, Bytes::new())
    }
    /// The row at the head has been handled.
    fn close_head(&self);
    /// Key and row at the head as JSON, for a dead letter.
    fn describe_head(&self) -> Option<(String, String)>;
    /// The row at the head as tables keep rows, where its JSON does not come back as the same.
    fn head_beside_json(&self) -> Option<Vec<u8>> {
        None
    }
    /// Stream time at which the first retained rows go, `i64::MAX` when there are none.
    fn expires_at(&self) -> i64;
    /// Drops rows whose retention is over, some at a time.
    fn expire(&self, stream_time: i64) -> Result<(), Error>;
    /// The windows that the current event was late for, each once; only with a `late` topic.
    fn missed(&self) -> Vec<(i64, i64)>;
    /// Places, as `orders[3]@17`, of a join's records that had gone alone before the current event, of the other side,
    /// could meet them; only with a `late` topic.
    fn missed_rows(&self) -> Vec<String> {
        Vec::new()
    }
    /// The current event is acknowledged.
    fn settle(&self);
    /// The current event is undone.
    fn rollback(&self);
    /// Looks whether the rows that the current event has changed can be written.
    ///
    /// # Errors
    /// A row does not serialize, or is too large.
    fn check_hand(&self) -> Result<(), Error> {
        self.rows().check_hand()
    }
    /// Looks at the rows that the current event has changed: they keep the rules of their fields, and would come back.
    fn check(&self) -> Result<(), Error> {
        self.rows().check()
    }
    /// Rows that could not be read since the last commit: the next one sends them, with the tombstones of their keys.
    fn take_aside(&self) -> Vec<Aside> {
        self.rows().take_aside()
    }
    /// Serializes the changed rows.
    fn prepare(&self) -> Result<(), Error> {
        self.rows().prepare()
    }
    /// Runs `f` over the serialized rows.
    fn with_batch(&self, f: &mut dyn FnMut(&RowBatch)) {
        self.rows().with_batch(f);
    }
    /// Appends the layout key of the last closed row; `false` when there is none.
    fn cursor(&self, out: &mut Vec<u8>) -> bool;
    /// Whether the cursor moved since the last commit.
    fn cursor_moved(&self) -> bool;
    /// The prepared rows are durable.
    fn committed(&self);
    /// The prepared rows, and all changes since, are void.
    fn aborted(&self) -> Result<(), Error>;
    /// Rows for the store and the number of the commit they are of; `None` while a round is under way, or when no row
    /// changed unless `bare`.
    fn take_unstored(&self, bare: bool) -> Option<(Vec<RowWrite>, u64)> {
        self.rows().take_round(bare)
    }
    /// Number of rows that await the store.
    fn unstored(&self) -> usize {
        self.rows().unstored()
    }
    /// Whether the cache is full of rows that await the store.
    fn is_full(&self) -> bool {
        self.rows().is_full()
    }
    /// The round of this commit number is durable.
    fn stored(&self, round: u64) {
        self.rows().stored(round);
    }
    /// The round failed.
    fn not_stored(&self) {
        self.rows().not_stored();
    }
    /// See `idle`: where stream time may rise to by the wall clock.
    fn idle_target(&self, wall: i64) -> Option<i64>;
    /// A row as of the last commit, at whose end this was stream time: its bytes, by its layout key. The cache stays as
    /// it is.
    fn committed_row(
        &self,
        layout_key: &[u8],
        _stream_time: i64,
    ) -> Result<Option<Vec<u8>>, Error> {
        self.rows().committed_row(layout_key)
    }
    /// Rows as of the last commit, some at a time, in the order of their layout keys. The cache stays as it is.
    fn committed_rows(&self, scan: &Scan, _stream_time: i64) -> Result<Chunk, Error> {
        self.rows().committed_rows(scan)
    }
    /// Rows in the cache.
    fn cached(&self) -> usize {
        self.rows().cached()
    }
    /// For the handles.
    fn as_any(self: Rc<Self>) -> Rc<dyn Any>;
}
