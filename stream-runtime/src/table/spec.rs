//! What `#[table]` says about a type.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::key::StreamKey;
use crate::topology::TableDescriptor;

/// Implemented by `#[table]` for the type it stands on.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a table",
    label = "not a table",
    note = "add `#[table(..)]` to `{Self}`"
)]
pub trait TableSpec: Sized + 'static {
    /// Type of the keys.
    type Key: StreamKey;
    /// Type of the rows: the struct itself, or `value = T`.
    type Value: Clone + Default + Serialize + DeserializeOwned + 'static;
    /// [`Plain`], [`Tumbling`] or [`Hopping`].
    type Kind: TableKind;
    /// Name, window, times.
    const DESCRIPTOR: &'static TableDescriptor;
}

/// Name of a table's key type, for its descriptor.
pub const fn key_name<S: TableSpec>() -> &'static str {
    S::Key::NAME
}

/// Marks a table without windows.
#[derive(Debug)]
pub struct Plain;
/// Marks a table of tumbling windows.
#[derive(Debug)]
pub struct Tumbling;
/// Marks a table of hopping windows.
#[derive(Debug)]
pub struct Hopping;

/// The kinds of tables.
pub trait TableKind: 'static {}
impl TableKind for Plain {}
impl TableKind for Tumbling {}
impl TableKind for Hopping {}

/// Kinds whose rows belong to windows and close.
#[diagnostic::on_unimplemented(
    message = "this table has no window, so nothing of it ever closes",
    label = "has no window",
    note = "add `tumbling = \"1h\"`, or `hopping` and `step`, to its `#[table(..)]`"
)]
pub trait WindowedKind: TableKind {}
impl WindowedKind for Tumbling {}
impl WindowedKind for Hopping {}

/// Kinds whose rows are addressed by key alone.
#[diagnostic::on_unimplemented(
    message = "this method is for tables without windows",
    label = "has windows",
    note = "a windowed table is changed with `update` and read with `current` or `at`"
)]
pub trait PlainKind: TableKind {}
impl PlainKind for Plain {}
