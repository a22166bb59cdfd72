//! A table's partition with its types: what handles and closings ask of it.

use std::borrow::Borrow;
use std::hash::Hash;

use super::clock::Clock;
use super::in_window::InWindow;
use super::partition::TablePartition;
use super::removed::Taken;
use super::spec::TableSpec;
use crate::codec::rows as codec;
use crate::error::Error;
use crate::key::StreamKey;

/// The row at the head of a closing.
pub struct HeadRow<S: TableSpec> {
    /// Its key.
    pub key: S::Key,
    /// First millisecond of the window.
    pub start: i64,
    /// First millisecond after it.
    pub end: i64,
    /// The row.
    pub value: S::Value,
}

impl<S: TableSpec> HeadRow<S> {
    /// Key and row as text, for a dead letter.
    pub(super) fn describe(&self) -> (String, String) {
        let mut text = Vec::new();
        self.key.encode(&mut text);
        let row = serde_json::to_string(&self.value);
        (
            String::from_utf8_lossy(&text).into_owned(),
            row.unwrap_or_else(|e| format!("a row that is not JSON: {e}")),
        )
    }

    /// The row in the form in which tables keep rows; `None` when its JSON comes back as the same row.
    pub(super) fn beside_json(&self) -> Option<Vec<u8>> {
        let (mut row, mut again) = (Vec::new(), Vec::new());
        codec::encode(&self.value, &mut row).ok()?;
        let json = serde_json::to_vec(&self.value).ok();
        let back = json.and_then(|json| codec::decode_json::<S::Value>(&json).ok());
        let same =
            back.is_some_and(|back| codec::encode(&back, &mut again).is_ok() && row == again);
        (!same).then_some(row)
    }
}

/// One partition of `S`. A key's times and windows are epoch milliseconds.
pub trait TypedPartition<S: TableSpec>: TablePartition {
    /// The task's times.
    fn clock(&self) -> &Clock;
    /// The next row to close; `None` when none is due.
    fn head(&self) -> Result<Option<HeadRow<S>>, Error>;
    /// Changes every row of the key whose window holds the time and is open; plain tables: the row.
    fn change<Q>(&self, time: i64, key: &Q, f: &mut dyn FnMut(&mut S::Value)) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized;
    /// The row of the newest window that holds the time.
    fn at<Q>(&self, time: i64, key: &Q) -> Result<Option<S::Value>, Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized;
    /// Removes all rows of a key, in the order of their windows' ends.
    fn remove<Q>(&self, key: &Q, taken: Taken<'_, S::Value>) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized;
    /// Removes the row that [`at`](TypedPartition::at) reads; plain tables have none.
    fn remove_at<Q>(&self, time: i64, key: &Q, taken: Taken<'_, S::Value>) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized;
    /// The readable rows of a key, in the order of their windows' ends.
    fn windows<Q>(&self, key: &Q) -> Result<Vec<InWindow<S::Value>>, Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized;
}
