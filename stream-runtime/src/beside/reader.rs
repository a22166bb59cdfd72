//! `TableReader<S>`: the committed rows of a table, from outside its agents.

use std::borrow::Borrow;
use std::marker::PhantomData;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::cx::Rows;
use crate::error::Error;
use crate::key::StreamKey;
use crate::table::{
    Hopping, InWindow, PlainKind, Session, Sliding, TableSpec, Tumbling, row_key, row_of,
    windows_of,
};

/// Reads the committed rows of a table in timers, crontabs, tasks and pages.
///
/// A row is read where its partition runs, by its stream thread between two events, as of the last commit: never half
/// changed, never something that is undone later. This worker answers for the partitions that it has.
///
/// ```
/// use stream_runtime::prelude::*;
///
/// #[table(value = u64)]
/// struct WordCounts;
///
/// #[agent(topic = "words")]
/// async fn count(word: String, Key(key): Key<String>, mut counts: Table<WordCounts>) {
///     counts.update(&key, |n| *n += 1);
/// }
///
/// #[timer("1m")]
/// async fn report(counts: TableReader<WordCounts>) -> Result<()> {
///     println!("the: {:?}", counts.get("the").await?);
///     Ok(())
/// }
/// ```
pub struct TableReader<S> {
    rows: Rows,
    _of: PhantomData<fn() -> S>,
}

impl<S> Clone for TableReader<S> {
    fn clone(&self) -> Self {
        TableReader {
            rows: Arc::clone(&self.rows),
            _of: PhantomData,
        }
    }
}

impl<S: TableSpec> TableReader<S> {
    pub(super) fn new(rows: Rows) -> Self {
        TableReader {
            rows,
            _of: PhantomData,
        }
    }

    async fn row(&self, wire: Vec<u8>, layout: Vec<u8>) -> Result<Option<S::Value>, Error> {
        let bytes = (self.rows)(S::DESCRIPTOR, wire, layout).await?;
        bytes.map(|bytes| row_of::<S>(&bytes)).transpose()
    }

    /// Wire form and layout key.
    fn keys<Q>(end: i64, key: &Q) -> (Vec<u8>, Vec<u8>)
    where
        S::Key: Borrow<Q>,
        Q: ToOwned<Owned = S::Key> + ?Sized,
    {
        let key = key.to_owned();
        let mut wire = Vec::new();
        key.encode(&mut wire);
        (wire, row_key::<S>(end, &key))
    }
}

impl<S: TableSpec> TableReader<S>
where
    S::Kind: PlainKind,
{
    /// The row of a key; `None` when there is none.
    ///
    /// # Errors
    ///
    /// The key's partition is with another worker or still recovers ([`Error::is_stopped`]): the text says which it is.
    /// Or its store does not read.
    pub async fn get<Q>(&self, key: &Q) -> Result<Option<S::Value>, Error>
    where
        S::Key: Borrow<Q>,
        Q: ToOwned<Owned = S::Key> + ?Sized,
    {
        let (wire, layout) = Self::keys(0, key);
        self.row(wire, layout).await
    }
}

/// Kinds whose windows lie at the same times for all keys.
#[diagnostic::on_unimplemented(
    message = "a reader finds rows by key and time in tumbling and hopping windows only",
    label = "neither tumbling nor hopping",
    note = "`get` reads a table without windows, `windows` one with session or sliding windows"
)]
pub trait AlignedKind {}
impl AlignedKind for Tumbling {}
impl AlignedKind for Hopping {}

impl<S: TableSpec> TableReader<S>
where
    S::Kind: AlignedKind,
{
    /// The row of a key in the newest window that holds `time`; `None` when there is none.
    ///
    /// # Errors
    ///
    /// As [`get`](TableReader::get).
    pub async fn at<Q>(&self, key: &Q, time: DateTime<Utc>) -> Result<Option<S::Value>, Error>
    where
        S::Key: Borrow<Q>,
        Q: ToOwned<Owned = S::Key> + ?Sized,
    {
        let window = S::DESCRIPTOR.window;
        let start = window.and_then(|window| window.starts(time.timestamp_millis()).last());
        let (Some(window), Some(start)) = (window, start) else {
            return Ok(None);
        };
        let (wire, layout) = Self::keys(start.saturating_add(window.size()), key);
        self.row(wire, layout).await
    }
}

/// Kinds whose windows follow the records of each key.
#[diagnostic::on_unimplemented(
    message = "a reader lists the windows of a key in tables with session or sliding windows only",
    label = "neither session nor sliding",
    note = "`get` reads a table without windows, `at` one with tumbling or hopping windows"
)]
pub trait FollowingKind {}
impl FollowingKind for Session {}
impl FollowingKind for Sliding {}

impl<S: TableSpec> TableReader<S>
where
    S::Kind: FollowingKind,
{
    /// The windows of a key, in the order of their ends: those that are open, and those whose `retention` runs. What
    /// [`Table::windows`](crate::Table::windows) would have said at the last commit.
    ///
    /// # Errors
    ///
    /// As [`get`](TableReader::get).
    pub async fn windows<Q>(&self, key: &Q) -> Result<Vec<InWindow<S::Value>>, Error>
    where
        S::Key: Borrow<Q>,
        Q: ToOwned<Owned = S::Key> + ?Sized,
    {
        let (wire, layout) = Self::keys(0, key);
        let bytes = (self.rows)(S::DESCRIPTOR, wire, layout).await?;
        bytes.map_or_else(|| Ok(Vec::new()), |bytes| windows_of::<S>(&bytes))
    }
}
