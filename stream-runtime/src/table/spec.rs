//! What `#[table]` says about a type.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::open_table::OpenTable;
use super::removed::Removed;
use super::typed::TypedPartition;
use crate::key::{KeyForm, StreamKey};
use crate::topology::TableDescriptor;

/// Implemented by `#[table]` for the type it stands on.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[table]
/// #[derive(Clone, Default)]
/// struct Counts { seen: u64 }
///
/// #[agent(topic = "words")]
/// async fn count(word: Event<String>, mut counts: Table<Counts>) {
///     counts.update(word.key(), |count| count.seen += 1);
/// }
/// ```
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
    /// [`Plain`], [`Tumbling`], [`Hopping`], [`Session`] or [`Sliding`].
    type Kind: TableKind;
    /// Name, window, times.
    const DESCRIPTOR: &'static TableDescriptor;
    /// [`Merge::merge`] of the rows; sessions have it.
    const MERGE: Option<MergeFn<Self::Value>> = None;
    /// `true` of rows that are a struct: when one has come back, the next one's kind has.
    #[doc(hidden)]
    const ONE_VARIANT: bool = false;
    /// Whether two rows are the same; `None` when their type does not say.
    #[doc(hidden)]
    fn same(_a: &Self::Value, _b: &Self::Value) -> Option<bool> {
        None
    }
}

/// [`Merge::merge`] of a type.
pub type MergeFn<V> = fn(&mut V, V);

/// How two sessions become one: a record between them joins them. The value of a `session` table implements it.
///
/// ```
/// use stream_runtime::prelude::*;
///
/// #[table(session = "30m")]
/// #[derive(Clone, Default)]
/// struct Visit { pages: u64, last_page: String }
///
/// impl Merge for Visit {
///     fn merge(&mut self, later: Self) {
///         self.pages += later.pages;
///         self.last_page = later.last_page;
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is kept in sessions and does not say how two of them become one",
    label = "needs `Merge`",
    note = "a record between two sessions joins them: `impl Merge for {Self} {{ fn merge(&mut self, later: Self) {{ .. }} }}`"
)]
pub trait Merge: Sized {
    /// Takes in the session that follows this one in time.
    fn merge(&mut self, later: Self);
}

/// Name of a table's key type, for its descriptor.
pub const fn key_name<S: TableSpec>() -> &'static str {
    S::Key::NAME
}

/// What can be done with a table's keys, for its descriptor.
pub const fn key_form<S: TableSpec>() -> KeyForm {
    KeyForm::of::<S::Key>()
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
/// Marks a table of session windows.
#[derive(Debug)]
pub struct Session;
/// Marks a table of sliding windows.
#[derive(Debug)]
pub struct Sliding;

/// The kinds of tables, and what a partition of each is.
pub trait TableKind: 'static {
    /// One partition of `S`.
    type Cell<S: TableSpec>: TypedPartition<S> + 'static;
    /// What [`Table::remove`](crate::Table::remove) returns.
    type Removed<V>: Removed<V>;
    /// Opens it.
    fn open<S: TableSpec>(how: &OpenTable) -> Self::Cell<S>;
}

/// Kinds whose rows belong to windows and close.
#[diagnostic::on_unimplemented(
    message = "this table has no window, so nothing of it ever closes",
    label = "has no window",
    note = "add `tumbling = \"1h\"`, `hopping` and `step`, `session` or `sliding` to its `#[table(..)]`"
)]
pub trait WindowedKind: TableKind {}
impl WindowedKind for Tumbling {}
impl WindowedKind for Hopping {}
impl WindowedKind for Session {}
impl WindowedKind for Sliding {}

/// Kinds of which a key's windows can be removed one by one.
#[diagnostic::on_unimplemented(
    message = "of this table no single window can be removed",
    label = "plain, or with sliding windows",
    note = "sliding windows share their records, and a plain table has none: `remove(&key)` removes all that there is of the key"
)]
pub trait OneWindowKind: WindowedKind {}
impl OneWindowKind for Tumbling {}
impl OneWindowKind for Hopping {}
impl OneWindowKind for Session {}

/// Kinds whose rows are addressed by key alone.
#[diagnostic::on_unimplemented(
    message = "this method is for tables without windows",
    label = "has windows",
    note = "a windowed table is changed with `update`, read with `current`, `at`, `delta` or `windows`, and its rows go with `remove` or `remove_at`"
)]
pub trait PlainKind: TableKind {}
impl PlainKind for Plain {}
