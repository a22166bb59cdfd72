//! What a partition of each kind of table is, and how it is opened.

use std::any::Any;
use std::rc::Rc;

use super::aligned::AlignedTable;
use super::dynamic::DynamicTable;
use super::in_window::InWindow;
use super::open_table::OpenTable;
use super::partition::TablePartition;
use super::spec::{Hopping, Plain, Session, Sliding, TableKind, TableSpec, Tumbling};
use crate::error::Error;
use crate::topology::TableDescriptor;

macro_rules! kinds {
    ($cell:ident, $removed:ty: $($kind:ident)*) => {$(
        impl TableKind for $kind {
            type Cell<S: TableSpec> = $cell<S>;
            type Removed<V> = $removed;

            fn open<S: TableSpec>(how: &OpenTable) -> $cell<S> {
                $cell::new(how)
            }
        }
    )*};
}
kinds!(AlignedTable, Option<V>: Plain);
kinds!(AlignedTable, Vec<InWindow<V>>: Tumbling Hopping);
kinds!(DynamicTable, Vec<InWindow<V>>: Session Sliding);

/// Opens a partition of `S`; what `TableDescriptor::open` points to.
pub fn open<S: TableSpec>(how: &dyn Any) -> Box<dyn Any> {
    let cell: Option<Rc<dyn TablePartition>> = how
        .downcast_ref::<OpenTable>()
        .map(|how| Rc::new(<S::Kind as TableKind>::open::<S>(how)) as Rc<dyn TablePartition>);
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
