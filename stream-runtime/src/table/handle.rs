//! `Table<S>`: what an agent reads and changes.

use std::any::Any;
use std::borrow::Borrow;
use std::hash::Hash;
use std::marker::PhantomData;
use std::rc::Rc;

use super::cell::TableCell;
use super::slot::Value;
use super::spec::{Hopping, Plain, PlainKind, TableKind, TableSpec, Tumbling, WindowedKind};
use crate::error::{Error, raise};
use crate::window::Window;

/// The partition of a table that belongs to the event in hand.
///
/// Ask for it as a parameter: `mut hours: Table<Hours>` to change it, `hours: Table<Hours>` to read it. A table has
/// one writer. What an event changed is undone when its handler fails, and committed together with its outputs
/// and offsets otherwise. A store that fails stops the task, not the call.
pub struct Table<S> {
    // A `TableCell<S>`, erased: with a bound on the struct, an `S` that is no table would be an error at every mention.
    cell: Rc<dyn Any>,
    _of: PhantomData<fn() -> S>,
}

impl<S: TableSpec> Table<S> {
    pub(crate) fn new(cell: Rc<TableCell<S>>) -> Self {
        Table {
            cell,
            _of: PhantomData,
        }
    }

    #[inline]
    fn cell(&self) -> &TableCell<S> {
        match self.cell.downcast_ref() {
            Some(cell) => cell,
            None => raise(Error::table("a table of another type")), // `new` is the only way to make one
        }
    }

    /// Changes a row in place and journals it. A row that does not exist begins with `Default`.
    ///
    /// * plain tables return what the closure returns;
    /// * tumbling windows: the window of the event's time; `Some(result)`, or `None` when the event is late for it;
    /// * hopping windows: every window that holds the event's time and is still open; the closure may run several times.
    ///
    /// The time of the event decides, never the clock of the machine.
    pub fn update<Q, F>(&mut self, key: &Q, f: F) -> <S::Kind as Updates<S::Value, F>>::Out
    where
        S::Kind: Updates<S::Value, F>,
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        if !self.cell().clock.in_event.get() {
            raise(Error::table(format!(
                "table `{}` was changed with no event in hand: call `update` between `next().await` and the following one",
                S::DESCRIPTOR.name
            )));
        }
        <S::Kind as Updates<S::Value, F>>::run(
            &mut Cursor {
                cell: self.cell(),
                key,
            },
            f,
        )
    }

    fn read_at<Q, R>(&self, end: i64, key: &Q, f: impl FnOnce(&S::Value) -> R) -> Option<R>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let mut rows = self.cell().rows.borrow_mut();
        let at = rows.find(end, key).unwrap_or_else(|e| raise(e))?;
        rows.slots[at as usize].value.as_ref().map(f)
    }
}

impl<S: TableSpec> Table<S>
where
    S::Kind: PlainKind,
{
    /// A copy of the row.
    pub fn get<Q>(&self, key: &Q) -> Option<S::Value>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        self.read_at(0, key, S::Value::clone)
    }

    /// Reads the row without copying it; `None` when there is none.
    pub fn read<Q, R>(&self, key: &Q, f: impl FnOnce(&S::Value) -> R) -> Option<R>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        self.read_at(0, key, f)
    }

    /// Whether there is such a row.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        self.read_at(0, key, |_| ()).is_some()
    }

    /// Sets the row and returns the one before.
    pub fn insert<Q>(&mut self, key: &Q, value: S::Value) -> Option<S::Value>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        self.replace(key, Some(value))
    }

    /// Removes the row, in the changelog by a tombstone, and returns it.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<S::Value>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        if !self.contains(key) {
            return None;
        }
        self.replace(key, None)
    }

    fn replace<Q>(&mut self, key: &Q, value: Option<S::Value>) -> Option<S::Value>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let mut rows = self.cell().rows.borrow_mut();
        let at = rows.find_or_make(0, key).unwrap_or_else(|e| raise(e));
        rows.journal(at);
        let new = value.map_or(Value::Absent, Value::Here);
        match std::mem::replace(&mut rows.slots[at as usize].value, new) {
            Value::Here(old) => Some(old),
            _ => None,
        }
    }
}

impl<S: TableSpec> Table<S>
where
    S::Kind: WindowedKind,
{
    /// A copy of the row of the newest window that holds the event's time.
    pub fn current<Q>(&self, key: &Q) -> Option<S::Value>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let window = S::DESCRIPTOR.window?;
        let start = window.starts(self.cell().clock.event_time.get()).last()?;
        self.read_at(start.saturating_add(window.size()), key, S::Value::clone)
    }
}

/// A key in a table, for [`Updates`].
pub struct Cursor<'a, S: TableSpec, Q: ?Sized> {
    cell: &'a TableCell<S>,
    key: &'a Q,
}

/// One row after the other that an update may change. Implementation detail of [`Updates`].
pub trait UpdateRows<V> {
    /// Windows that hold the event's time.
    fn window(&self) -> Option<Window>;
    /// Event time, epoch ms.
    fn time(&self) -> i64;
    /// Whether the window with this end takes no more records; counts the record when it does not.
    fn late(&mut self, end: i64) -> bool;
    /// Journals the row of this window (plain tables: 0) and changes it.
    fn change(&mut self, end: i64, f: &mut dyn FnMut(&mut V))
    where
        V: Default;
}

impl<S, Q> UpdateRows<S::Value> for Cursor<'_, S, Q>
where
    S: TableSpec,
    S::Key: Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
{
    fn window(&self) -> Option<Window> {
        S::DESCRIPTOR.window
    }

    fn time(&self) -> i64 {
        self.cell.clock.event_time.get()
    }

    fn late(&mut self, end: i64) -> bool {
        let late = self
            .cell
            .clock
            .is_late(end.saturating_add(S::DESCRIPTOR.grace));
        if late {
            self.cell.clock.late.set(self.cell.clock.late.get() + 1);
        }
        late
    }

    fn change(&mut self, end: i64, f: &mut dyn FnMut(&mut S::Value))
    where
        S::Value: Default,
    {
        let mut rows = self.cell.rows.borrow_mut();
        let at = rows
            .find_or_make(end, self.key)
            .unwrap_or_else(|e| raise(e));
        rows.journal(at);
        let slot = &mut rows.slots[at as usize];
        if !matches!(slot.value, Value::Here(_)) {
            slot.value = Value::Here(S::Value::default());
        }
        if let Value::Here(value) = &mut slot.value {
            f(value);
        }
    }
}

/// What `update` of a kind of table takes and returns.
pub trait Updates<V, F>: TableKind {
    /// What `update` returns.
    type Out;
    /// Runs the closure on the rows.
    fn run(rows: &mut dyn UpdateRows<V>, f: F) -> Self::Out;
}

/// Runs a closure that may be called once on one row.
fn once<V: Default, R, F: FnOnce(&mut V) -> R>(
    rows: &mut dyn UpdateRows<V>,
    end: i64,
    f: F,
) -> Option<R> {
    let (mut f, mut out) = (Some(f), None);
    rows.change(end, &mut |value| {
        if let Some(f) = f.take() {
            out = Some(f(value));
        }
    });
    out
}

impl<V: Default, R, F: FnOnce(&mut V) -> R> Updates<V, F> for Plain {
    type Out = R;

    fn run(rows: &mut dyn UpdateRows<V>, f: F) -> R {
        match once(rows, 0, f) {
            Some(out) => out,
            None => raise(Error::table("a plain table did not call its closure")),
        }
    }
}

impl<V: Default, R, F: FnOnce(&mut V) -> R> Updates<V, F> for Tumbling {
    type Out = Option<R>;

    fn run(rows: &mut dyn UpdateRows<V>, f: F) -> Option<R> {
        let window = rows.window()?;
        let end = window
            .starts(rows.time())
            .next()?
            .saturating_add(window.size());
        if rows.late(end) {
            None
        } else {
            once(rows, end, f)
        }
    }
}

impl<V: Default, F: FnMut(&mut V)> Updates<V, F> for Hopping {
    type Out = ();

    fn run(rows: &mut dyn UpdateRows<V>, mut f: F) {
        let Some(window) = rows.window() else { return };
        for start in window.starts(rows.time()) {
            let end = start.saturating_add(window.size());
            if !rows.late(end) {
                rows.change(end, &mut f);
            }
        }
    }
}
