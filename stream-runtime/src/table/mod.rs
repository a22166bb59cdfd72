//! Tables: typed rows in a bounded cache over the store, their journal, changelog records and mark.
//!
//! `rows`, `slot`, `commit` are the engine: rows by layout key, whatever they mean. `cell` makes plain tables and aligned
//! windows of it, with `closing`; `span_cell` sessions and sliding windows, with `spans` and `span_index`; `buffer` the sides of joins, with
//! `buffer_index` and `kept`.

mod buffer;
mod buffer_index;
mod cell;
mod clock;
mod closing;
mod commit;
mod description;
mod global;
mod handle;
mod iter;
mod kept;
mod key_for;
mod lateness;
mod layout;
mod mark;
mod misplaced;
mod partition;
mod readback;
mod reading;
mod removal;
mod row;
mod rows;
mod scan;
mod slot;
mod span_cell;
mod span_index;
mod spans;
mod spec;
mod ttl;
mod typed;
mod unreadable;
mod update;
mod windows;

pub(crate) use buffer::Near;
pub use buffer::{BufferSpec, JoinBuffer, open_buffer};
pub use clock::{Clock, Hand, NO_TIME};
pub use commit::StoredRows;
pub use description::Description;
pub use global::{AnyReplica, GlobalSpec, GlobalTable, Replica, changelog_replica, replica_of};
pub use handle::Table;
pub use iter::Iter;
pub use kept::{BufferKey, Kept};
pub use key_for::{GlobalKeyFor, KeyFor};
pub(crate) use layout::window_and_key;
pub use mark::{MARK_KEY, MARK_TAG, Mark, ROW_TAG};
pub use partition::{LogPlace, OpenTable, RowLimit, TablePartition, open, open_described};
pub use readback::{SameProbe, ViaBytes, ViaEq};
pub use reading::AllKind;
pub(crate) use reading::{ShownRow, row_as_json, row_key, row_of, shown_rows, windows_of};
pub use removal::Removed;
pub use scan::{Chunk, Scan};
pub use slot::RowBatch;
#[cfg(test)]
pub(crate) use spans::Spans;
pub use spec::{
    Hopping, Merge, MergeFn, OneWindowKind, Plain, PlainKind, Session, Sliding, TableKind,
    TableSpec, Tumbling, WindowedKind, key_form, key_name,
};
pub use typed::{HeadRow, InWindow, TypedPartition};
pub use unreadable::Aside;
pub use update::Updates;
