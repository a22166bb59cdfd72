//! Removing rows: the row of a plain table, the windows of a key.

use std::borrow::Borrow;
use std::hash::Hash;

use chrono::{DateTime, Utc};

use super::aligned::AlignedTable;
use super::closing;
use super::dynamic::DynamicTable;
use super::entry::Value;
use super::handle::Table;
use super::key_for::KeyFor;
use super::removed::{Removed, Taken};
use super::row_cache::RowCache;
use super::spec::{OneWindowKind, TableKind, TableSpec};
use super::typed::TypedPartition;
use super::window_set::Span;
use crate::error::{Error, raise};

impl<S: TableSpec> Table<S> {
    /// Removes all that the table has of a key, in the changelog by tombstones, and returns it:
    ///
    /// * plain tables: the row, `Some` if there was one;
    /// * tables with windows: every window of the key, as [`windows`](Table::windows) lists them: those that are open,
    ///   which do not close then, and those whose `retention` runs. A record that comes later starts again.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table(session = "30m")]
    /// # #[derive(Clone, Default)]
    /// # struct Visits { pages: u64 }
    /// # impl Merge for Visits { fn merge(&mut self, later: Self) { self.pages += later.pages; } }
    /// /// A page view; a tombstone asks for the user to be forgotten.
    /// #[agent(topic = "views")]
    /// async fn visit(view: Event<Option<String>>, mut visits: Table<Visits>) {
    ///     if view.is_some() {
    ///         visits.update(view.key(), |visit| visit.pages += 1);
    ///     } else {
    ///         visits.remove(view.key());
    ///     }
    /// }
    /// ```
    pub fn remove<Q>(&mut self, key: &Q) -> <S::Kind as TableKind>::Removed<S::Value>
    where
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        let mut removed = <S::Kind as TableKind>::Removed::default();
        let key = <S::Key as KeyFor<Q>>::form(key);
        self.cell()
            .remove(key, &mut |start, end, row| removed.add(start, end, row))
            .unwrap_or_else(|e| raise(e));
        removed
    }

    /// Removes the row of one window, the one that [`at`](Table::at) reads: the newest that holds the time. Of hopping
    /// windows that hold it too the others stay. It does not close, and a record of its time that comes later, and not
    /// too late, starts it again. Sliding windows share their records, so there are only all of a key to remove.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table(tumbling = "1h", retention = "1d")]
    /// # #[derive(Clone, Default)]
    /// # struct Hourly { views: u64 }
    /// #[agent(topic = "views", sink = "seen")]
    /// async fn count(view: Event<String>, mut hours: Table<Hourly>) -> String {
    ///     // A correction: the hour is counted from nothing.
    ///     hours.remove_at(view.time(), view.key()).map_or(0, |hour| hour.views).to_string()
    /// }
    /// ```
    pub fn remove_at<Q>(&mut self, time: DateTime<Utc>, key: &Q) -> Option<S::Value>
    where
        S::Kind: OneWindowKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        let mut removed = None;
        let key = <S::Key as KeyFor<Q>>::form(key);
        self.cell()
            .remove_at(time.timestamp_millis(), key, &mut |_, _, row| {
                removed = Some(row);
            })
            .unwrap_or_else(|e| raise(e));
        removed
    }
}

impl<S: TableSpec> AlignedTable<S> {
    /// Takes the row of the window that ends at `end`.
    pub(super) fn take_window<Q>(
        &self,
        end: i64,
        key: &Q,
        taken: Taken<'_, S::Value>,
    ) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let mut rows = self.rows.borrow_mut();
        let Some(at) = rows.find(end, key)? else {
            return Ok(());
        };
        if let Some(row) = take(&mut rows, at) {
            let size = S::DESCRIPTOR.window.map_or(0, |window| window.size());
            taken(end - size, end, row);
            // Its place may soon be another row's.
            self.closing.borrow_mut().reread();
        }
        Ok(())
    }

    /// Takes all windows of a key; of a plain table the row.
    pub(super) fn take_all<Q>(&self, key: &Q, taken: Taken<'_, S::Value>) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        if S::DESCRIPTOR.window.is_none() {
            if let Some(row) = self.replace(key, None)? {
                taken(0, 0, row);
            }
            return Ok(());
        }
        let ends = closing::ends(&self.rows.borrow())?;
        for end in ends {
            self.take_window(end, key, taken)?;
        }
        Ok(())
    }
}

impl<S: TableSpec> DynamicTable<S> {
    /// Takes all windows of a key, those that nobody is told of too.
    pub(super) fn take_all<Q>(&self, key: &Q, taken: Taken<'_, S::Value>) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let readable = self.windows(key)?;
        let rows = &mut *self.rows.borrow_mut();
        let Some(at) = rows.find(0, key)? else {
            return Ok(());
        };
        if let Some(row) = take(rows, at) {
            self.index
                .borrow_mut()
                .unfile(at, &rows.slots[at as usize].key, &row);
        }
        for window in readable {
            let (start, end) = (window.start, window.end);
            taken(
                start.timestamp_millis(),
                end.timestamp_millis(),
                window.value,
            );
        }
        Ok(())
    }

    /// Takes the newest readable window of a key that holds the time.
    pub(super) fn take_at<Q>(
        &self,
        time: i64,
        key: &Q,
        taken: Taken<'_, S::Value>,
    ) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let found = self.read_row(key, |row, open| {
            let holds = |span: &Span<_>| span.start <= time && time < span.end;
            let readable = |span: &Span<_>| open(span) || self.is_retained(span.end);
            row.0.iter().rposition(|span| holds(span) && readable(span))
        })?;
        let Some(place) = found.flatten() else {
            return Ok(());
        };
        let rows = &mut *self.rows.borrow_mut();
        let Some(at) = rows.find(0, key)? else {
            return Ok(());
        };
        rows.journal(at);
        let slot = &mut rows.slots[at as usize];
        let Value::Here(row) = &mut slot.value else {
            return Ok(());
        };
        let span = row.0.remove(place);
        let empty = row.0.is_empty();
        self.index.borrow_mut().unfile_one(at, &slot.key, &span);
        if empty {
            slot.value = Value::Absent;
        }
        taken(span.start, span.end, span.closed_as.unwrap_or(span.value));
        Ok(())
    }
}

/// Journals a row and takes its value out.
fn take<R: super::row::RowSpec>(rows: &mut RowCache<R>, at: u32) -> Option<R::Row> {
    rows.journal(at);
    match std::mem::replace(&mut rows.slots[at as usize].value, Value::Absent) {
        Value::Here(row) => Some(row),
        Value::Absent | Value::Unloaded => None,
    }
}
