//! Tables: typed rows in a bounded cache over the store, their journal, changelog records and mark.
//!
//! | file | noun |
//! |---|---|
//! | `spec`, `kinds`, `description` | what `#[table]` says, what a partition of each kind is, and what its marks say |
//! | `handle`, `windows`, `update`, `removal`, `iter`, `key_for` | the methods of a handler's `Table` |
//! | `partition`, `typed`, `open_table` | a partition as the task has it, as handles have it, and what it is opened with |
//! | `row_cache`, `entry`, `row`, `layout`, `rows` | the engine: cached rows by layout key, whatever they mean; the same for all kinds |
//! | `commit`, `mark`, `scan`, `page` | what a commit takes, its mark, and rows as of the last one |
//! | `check`, `readback`, `unreadable`, `aside` | rows that must come back, and those that do not |
//! | `ttl`, `sweeping` | rows that nobody has changed for long |
//! | `aligned`, `closing`, `window_end` | plain tables and aligned windows |
//! | `dynamic`, `window_set`, `span_index` | sessions and sliding windows |
//! | `join_buffer`, `join_buffer_index`, `kept` | the sides of joins |
//! | `clock`, `lateness` | the task's times, and what is late for a table |
//! | `global`, `query`, `misplaced` | tables that every worker has, rows as they are shown, keys of other partitions |

mod aligned;
mod aside;
mod check;
mod clock;
mod closing;
mod commit;
mod description;
mod dynamic;
mod entry;
mod global;
mod handle;
mod in_window;
mod iter;
mod join_buffer;
mod join_buffer_index;
mod kept;
mod key_for;
mod kinds;
mod lateness;
mod layout;
mod mark;
mod misplaced;
mod open_table;
mod page;
mod partition;
mod query;
mod readback;
mod removal;
mod removed;
mod row;
mod row_cache;
mod rows;
mod scan;
mod span_index;
mod spec;
mod sweeping;
mod ttl;
mod typed;
mod unreadable;
mod update;
mod window_end;
mod window_set;
mod windows;

pub use aside::Aside;
pub use clock::{Clock, Hand, NO_TIME};
pub use description::Description;
pub use entry::RowBatch;
pub use global::{AnyReplica, GlobalSpec, GlobalTable, Replica, changelog_replica, replica_of};
pub use handle::Table;
pub use in_window::InWindow;
pub use iter::Iter;
pub(crate) use join_buffer::Near;
pub use join_buffer::{BufferSpec, JoinBuffer, open_buffer};
pub use kept::{BufferKey, Kept};
pub use key_for::{GlobalKeyFor, KeyFor};
pub use kinds::{open, open_described};
pub(crate) use layout::window_and_key;
pub use mark::{MARK_KEY, MARK_TAG, Mark, ROW_TAG};
pub use open_table::{LogPlace, OpenTable, RowLimit};
pub use page::{Chunk, Scan};
pub use partition::TablePartition;
pub use query::AllKind;
pub(crate) use query::{ShownRow, row_as_json, row_key, row_of, shown_rows, windows_of};
pub use readback::{SameProbe, ViaBytes, ViaEq};
pub use removed::Removed;
pub use spec::{
    Hopping, Merge, MergeFn, OneWindowKind, Plain, PlainKind, Session, Sliding, TableKind,
    TableSpec, Tumbling, WindowedKind, key_form, key_name,
};
pub use typed::{HeadRow, TypedPartition};
pub use update::Updates;
#[cfg(test)]
pub(crate) use window_set::Spans;
