//! Tables: typed rows in a bounded cache over the store, their journal, changelog records and mark.

mod cell;
mod clock;
mod closing;
mod commit;
mod handle;
mod layout;
mod mark;
mod rows;
mod slot;
mod spec;

pub use cell::{OpenTable, TableCell, TablePartition, open, open_described};
pub use clock::{Clock, NO_TIME};
pub use commit::StoredRows;
pub use handle::{Table, UpdateRows, Updates};
pub use mark::{MARK_KEY, MARK_TAG, Mark, ROW_TAG};
pub use slot::RowBatch;
pub use spec::{Hopping, Plain, PlainKind, TableKind, TableSpec, Tumbling, WindowedKind, key_name};
