//! One partition of a plain table, or of one with tumbling or hopping windows.

use std::any::Any;
use std::borrow::Borrow;
use std::cell::RefCell;
use std::hash::Hash;
use std::rc::Rc;

use super::clock::Clock;
use super::closing::{self, Closing};
use super::entry::Value;
use super::in_window::InWindow;
use super::lateness::Lateness;
use super::layout;
use super::open_table::OpenTable;
use super::partition::TablePartition;
use super::removed::Taken;
use super::row_cache::{NO_DISK, RowCache};
use super::rows::Rows;
use super::spec::TableSpec;
use super::typed::{HeadRow, TypedPartition};
use crate::error::Error;
use crate::topology::TableDescriptor;
use crate::window::Window;

/// One partition of table `S`; the handles of its agents share it.
pub struct AlignedTable<S: TableSpec> {
    pub(super) rows: RefCell<RowCache<S>>,
    pub(super) closing: RefCell<Closing<S>>,
    late: Lateness,
    clock: Rc<Clock>,
}

impl<S: TableSpec> AlignedTable<S> {
    pub(super) fn new(how: &OpenTable) -> Self {
        AlignedTable {
            rows: RefCell::new(RowCache::new(how)),
            closing: RefCell::default(),
            late: Lateness::default(),
            clock: how.clock.clone(),
        }
    }

    /// Changes the row of the window that ends at `end` (plain tables: 0).
    fn change_row<Q>(
        &self,
        end: i64,
        key: &Q,
        f: &mut dyn FnMut(&mut S::Value),
    ) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let mut rows = self.rows.borrow_mut();
        let at = rows.find_or_make(end, key)?;
        rows.journal(at);
        let slot = &mut rows.slots[at as usize];
        if !matches!(slot.value, Value::Here(_)) {
            slot.value = Value::Here(S::Value::default());
        }
        if let Value::Here(value) = &mut slot.value {
            f(value);
        }
        Ok(())
    }

    /// Whether the window takes no more records; notes it when it does not.
    fn is_late(&self, start: i64, end: i64) -> bool {
        let due = end.saturating_add(S::DESCRIPTOR.grace);
        let late = self.late.is_over(&self.clock, due);
        if late {
            self.late.note(start, end, S::DESCRIPTOR.late.is_some());
        }
        late
    }

    /// Sets or removes the row of a plain table and returns the one before.
    pub(super) fn replace<Q>(
        &self,
        key: &Q,
        value: Option<S::Value>,
    ) -> Result<Option<S::Value>, Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let mut rows = self.rows.borrow_mut();
        let at = match value {
            Some(_) => rows.find_or_make(0, key)?,
            // Nothing to remove: no row is made for that.
            None => match rows.find(0, key)? {
                Some(at) => at,
                None => {
                    rows.missed(key)?;
                    return Ok(None);
                }
            },
        };
        rows.journal(at);
        let new = value.map_or(Value::Absent, Value::Here);
        match std::mem::replace(&mut rows.slots[at as usize].value, new) {
            Value::Here(old) => Ok(Some(old)),
            _ => Ok(None),
        }
    }

    /// Reads the row of the window that ends at `end` (plain tables: 0).
    pub(super) fn read_at<Q, R>(
        &self,
        end: i64,
        key: &Q,
        f: impl FnOnce(&S::Value) -> R,
    ) -> Result<Option<R>, Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let found = self.look_up(end, key, f)?;
        if found.is_none() {
            self.rows.borrow_mut().missed(key)?;
        }
        Ok(found)
    }

    /// The same, wherever the key belongs.
    fn look_up<Q, R>(
        &self,
        end: i64,
        key: &Q,
        f: impl FnOnce(&S::Value) -> R,
    ) -> Result<Option<R>, Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let mut rows = self.rows.borrow_mut();
        let Some(at) = rows.find(end, key)? else {
            return Ok(None);
        };
        Ok(rows.slots[at as usize].value.as_ref().map(f))
    }
}

impl<S: TableSpec> TypedPartition<S> for AlignedTable<S> {
    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn head(&self) -> Result<Option<HeadRow<S>>, Error> {
        let mut rows = self.rows.borrow_mut();
        let at = self
            .closing
            .borrow_mut()
            .head(&mut rows, self.clock.stream_time.get())?;
        rows.hand = at;
        Ok(at.and_then(|at| {
            let slot = &rows.slots[at as usize];
            Some(HeadRow {
                key: slot.key.clone(),
                start: slot.end - size::<S>(),
                end: slot.end,
                value: slot.value.as_ref()?.clone(),
            })
        }))
    }

    fn change<Q>(&self, time: i64, key: &Q, f: &mut dyn FnMut(&mut S::Value)) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let Some(window) = S::DESCRIPTOR.window else {
            return self.change_row(0, key, f);
        };
        for start in window.starts(time) {
            let end = start.saturating_add(window.size());
            if !self.is_late(start, end) {
                self.change_row(end, key, f)?;
            }
        }
        Ok(())
    }

    fn at<Q>(&self, time: i64, key: &Q) -> Result<Option<S::Value>, Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let start = S::DESCRIPTOR.window.and_then(|w| w.starts(time).last());
        match start {
            Some(start) => self.read_at(start.saturating_add(size::<S>()), key, S::Value::clone),
            None => Ok(None),
        }
    }

    fn remove<Q>(&self, key: &Q, taken: Taken<'_, S::Value>) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        self.take_all(key, taken)
    }

    fn remove_at<Q>(&self, time: i64, key: &Q, taken: Taken<'_, S::Value>) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        match S::DESCRIPTOR.window.and_then(|w| w.starts(time).last()) {
            Some(start) => self.take_window(start.saturating_add(size::<S>()), key, taken),
            None => Ok(()),
        }
    }

    fn windows<Q>(&self, key: &Q) -> Result<Vec<InWindow<S::Value>>, Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let ends = closing::ends(&self.rows.borrow())?;
        let mut found = Vec::new();
        for end in ends {
            if let Some(value) = self.look_up(end, key, S::Value::clone)? {
                found.push(InWindow::new(end - size::<S>(), end, value));
            }
        }
        if found.is_empty() {
            self.rows.borrow_mut().missed(key)?;
        }
        Ok(found)
    }
}

/// Length of the table's windows.
fn size<S: TableSpec>() -> i64 {
    S::DESCRIPTOR.window.map_or(0, Window::size)
}

impl<S: TableSpec> TablePartition for AlignedTable<S> {
    fn descriptor(&self) -> &'static TableDescriptor {
        S::DESCRIPTOR
    }

    fn rows(&self) -> &dyn Rows {
        &self.rows
    }

    fn recovered(&self, cursor: Option<&[u8]>, time: i64) -> Result<(), Error> {
        self.late.recovered(time);
        let mut rows = self.rows.borrow_mut();
        let mut closing = self.closing.borrow_mut();
        let cursor = cursor
            .map(|c| layout::parse::<S::Key>(true, c, S::DESCRIPTOR.name))
            .transpose()?;
        closing.cursor = cursor.clone();
        closing.committed = cursor;
        closing.moved = false;
        closing.restart();
        rows.windows.disk = NO_DISK;
        let retained = S::DESCRIPTOR.retention > 0;
        if retained {
            closing::note_retained(&mut rows, closing.cursor.as_ref())?;
            closing::refile(&mut rows, &closing);
        }
        rows.windows.disk = closing::first_disk(
            &rows,
            closing
                .cursor
                .as_ref()
                .filter(|_| retained)
                .map(|(end, _)| *end),
        )?;
        rows.restart_sweeping();
        Ok(())
    }

    fn time(&self) -> i64 {
        self.late.time(&self.clock)
    }

    fn due_at(&self) -> i64 {
        match self.closing.borrow().first_open(&self.rows.borrow()) {
            Some(end) => end.saturating_add(S::DESCRIPTOR.grace),
            None => i64::MAX,
        }
    }

    fn has_due(&self, stream_time: i64) -> Result<bool, Error> {
        let mut rows = self.rows.borrow_mut();
        let at = self.closing.borrow_mut().head(&mut rows, stream_time)?;
        // Also where no agent asks for the row.
        rows.hand = at;
        Ok(at.is_some())
    }

    fn head_window(&self) -> Option<(i64, i64)> {
        let end = self.closing.borrow().first_open(&self.rows.borrow())?;
        Some((end - size::<S>(), end))
    }

    fn close_head(&self) {
        self.closing
            .borrow_mut()
            .close_head(&mut self.rows.borrow_mut());
    }

    fn describe_head(&self) -> Option<(String, String)> {
        Some(self.head().ok()??.describe())
    }

    fn head_beside_json(&self) -> Option<Vec<u8>> {
        self.head().ok()??.beside_json()
    }

    fn expires_at(&self) -> i64 {
        let rows = self.rows.borrow();
        closing::expires_at(&rows).min(rows.sweeps_at())
    }

    fn expire(&self, stream_time: i64) -> Result<(), Error> {
        let mut rows = self.rows.borrow_mut();
        closing::expire(&mut rows, stream_time)?;
        rows.sweep_over(stream_time)
    }

    fn missed(&self) -> Vec<(i64, i64)> {
        self.late.missed()
    }

    fn settle(&self) {
        self.late.settle(&self.clock);
        self.rows.borrow_mut().settle();
    }

    fn rollback(&self) {
        self.late.rollback();
        self.rows.borrow_mut().rollback(|_, _, _, _| ());
    }

    fn cursor(&self, out: &mut Vec<u8>) -> bool {
        match &self.closing.borrow().cursor {
            Some((end, key)) => {
                layout::push(true, *end, key, out);
                true
            }
            None => false,
        }
    }

    fn cursor_moved(&self) -> bool {
        self.closing.borrow().moved
    }

    fn committed(&self) {
        let mut rows = self.rows.borrow_mut();
        rows.committed();
        let mut closing = self.closing.borrow_mut();
        if rows.trim() {
            closing.reread();
        }
        if closing.moved {
            closing.committed = closing.cursor.clone();
            closing.moved = false;
        }
    }

    fn aborted(&self) -> Result<(), Error> {
        let mut rows = self.rows.borrow_mut();
        rows.aborted()?;
        let mut closing = self.closing.borrow_mut();
        closing.cursor = closing.committed.clone();
        closing.moved = false;
        closing.restart();
        if S::DESCRIPTOR.retention > 0 {
            closing::refile(&mut rows, &closing);
        }
        rows.restart_sweeping();
        Ok(())
    }

    fn stored(&self, round: u64) {
        self.rows.borrow_mut().stored(round);
        self.closing.borrow_mut().reread();
    }

    fn idle_target(&self, wall: i64) -> Option<i64> {
        self.rows.borrow().idle_target(wall)
    }

    fn as_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}
