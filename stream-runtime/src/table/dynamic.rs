//! One partition of a table with session or sliding windows: one row per key, which holds the key's windows.

use std::any::Any;
use std::borrow::Borrow;
use std::cell::RefCell;
use std::hash::Hash;
use std::marker::PhantomData;
use std::rc::Rc;

use super::clock::Clock;
use super::entry::{OnDisk, Value};
use super::in_window::InWindow;
use super::lateness::Lateness;
use super::layout;
use super::open_table::OpenTable;
use super::page::{Chunk, Scan};
use super::partition::TablePartition;
use super::removed::Taken;
use super::row::RowSpec;
use super::row_cache::RowCache;
use super::rows::Rows;
use super::span_index::SpanIndex;
use super::spec::TableSpec;
use super::typed::{HeadRow, TypedPartition};
use super::window_set::{Moves, Sliding, Span, Spans, kept_for};
use crate::codec::rows as codec;
use crate::error::Error;
use crate::topology::TableDescriptor;
use crate::window::Window;

/// Windows dropped in one go.
const CHUNK: usize = 4096;

/// The rows of such a table.
pub(super) struct Spanned<S>(PhantomData<S>);

impl<S: TableSpec> RowSpec for Spanned<S> {
    type Key = S::Key;
    type Row = Spans<S::Value>;
    const DESCRIPTOR: &'static TableDescriptor = S::DESCRIPTOR;
    const ALIGNED: bool = false;
    // The order of closing names the rows by their place.
    const PINNED: bool = true;
    type Inner = S::Value;
    const ONE_VARIANT: bool = S::ONE_VARIANT;

    fn inner(row: &Spans<S::Value>) -> Option<&S::Value> {
        row.0.last().map(|span| &span.value)
    }

    fn same(a: &Spans<S::Value>, b: &Spans<S::Value>) -> Option<bool> {
        a.same(b, S::same)
    }
}

/// One partition of table `S`; the handles of its agents share it.
pub struct DynamicTable<S: TableSpec> {
    pub(super) rows: RefCell<RowCache<Spanned<S>>>,
    pub(super) index: RefCell<SpanIndex<S::Key>>,
    late: Lateness,
    clock: Rc<Clock>,
}

/// Gap of the sessions, or size of the sliding windows.
const fn size<S: TableSpec>() -> i64 {
    match S::DESCRIPTOR.window {
        Some(window) => window.size(),
        None => 0,
    }
}

const fn is_sliding<S: TableSpec>() -> bool {
    matches!(S::DESCRIPTOR.window, Some(Window::Sliding { .. }))
}

/// How long past its end a window is kept. Sliding windows begin with what earlier ones have.
fn keep<S: TableSpec>() -> i64 {
    let TableDescriptor {
        retention, grace, ..
    } = S::DESCRIPTOR;
    if is_sliding::<S>() {
        kept_for(size::<S>()).saturating_add(*retention.max(grace))
    } else {
        *retention
    }
}

impl<S: TableSpec> DynamicTable<S> {
    pub(super) fn new(how: &OpenTable) -> Self {
        DynamicTable {
            rows: RefCell::new(RowCache::new(how)),
            index: RefCell::default(),
            late: Lateness::default(),
            clock: how.clock.clone(),
        }
    }

    fn is_late(&self, end: i64) -> bool {
        let due = end.saturating_add(S::DESCRIPTOR.grace);
        self.late.is_over(&self.clock, due)
    }

    fn note_late(&self, start: i64, end: i64) {
        self.late.note(start, end, S::DESCRIPTOR.late.is_some());
    }

    /// Changes the row of a key, and the order of closing with it.
    fn change_row<Q>(
        &self,
        key: &Q,
        f: impl FnOnce(&mut Spans<S::Value>, &mut Moves, &dyn Fn(&Span<S::Value>) -> bool),
    ) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let rows = &mut *self.rows.borrow_mut();
        let at = rows.find_or_make(0, key)?;
        rows.journal(at);
        let slot = &mut rows.slots[at as usize];
        if !matches!(slot.value, Value::Here(_)) {
            slot.value = Value::Here(Spans::default());
        }
        let mut index = self.index.borrow_mut();
        let mut moves = Moves::default();
        if let Value::Here(row) = &mut slot.value {
            let closed = |span: &Span<S::Value>| index.has_closed(span.end, &slot.key);
            f(row, &mut moves, &closed);
        }
        index.apply(at, &moves);
        for (end, _) in &moves.new {
            self.clock.due_at(end.saturating_add(S::DESCRIPTOR.grace));
        }
        Ok(())
    }

    /// Reads the row of a key; `open` says of a window whether it has yet to close.
    pub(super) fn read_row<Q, R>(
        &self,
        key: &Q,
        f: impl FnOnce(&Spans<S::Value>, &dyn Fn(&Span<S::Value>) -> bool) -> R,
    ) -> Result<Option<R>, Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let mut rows = self.rows.borrow_mut();
        if let Some(at) = rows.find(0, key)? {
            let slot = &rows.slots[at as usize];
            let index = self.index.borrow();
            let open =
                |span: &Span<S::Value>| !span.silent && !index.has_closed(span.end, &slot.key);
            if let Some(row) = slot.value.as_ref() {
                return Ok(Some(f(row, &open)));
            }
        }
        rows.missed(key)?;
        Ok(None)
    }

    fn change_session<Q>(
        &self,
        time: i64,
        key: &Q,
        f: &mut dyn FnMut(&mut S::Value),
    ) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let gap = size::<S>();
        let joined = self.read_row(key, |row, open| row.joined(time, gap, open))?;
        let joined =
            joined.unwrap_or_else(|| Spans::<S::Value>::default().joined(time, gap, |_| true));
        let end = joined.last.saturating_add(gap).saturating_add(1);
        if self.is_late(end) {
            self.note_late(joined.start, end);
            return Ok(());
        }
        let Some(merge) = S::MERGE else {
            return Err(Error::table(format!(
                "table `{}` has sessions and no `Merge`",
                S::DESCRIPTOR.name
            )));
        };
        self.change_row(key, |row, moves, _| row.join(&joined, gap, merge, f, moves))
    }

    fn change_sliding<Q>(
        &self,
        time: i64,
        key: &Q,
        f: &mut dyn FnMut(&mut S::Value),
    ) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let size = size::<S>();
        let own = (time.saturating_sub(size), time.saturating_add(1));
        if self.is_late(own.1) {
            self.note_late(own.0, own.1);
            // What is over and still lies about is not looked at: whether it does is a matter of commits.
            self.read_row(key, |row, _| {
                for span in row.holding(time, size) {
                    let told = span.end != own.1 && !span.silent && !self.is_spent(span.end);
                    if told && self.is_late(span.end) {
                        self.note_late(span.start, span.end);
                    }
                }
            })?;
        }
        // The last window that could hold it.
        if self.is_late(own.1.saturating_add(size)) {
            return Ok(());
        }
        self.change_row(key, |row, moves, closed| {
            let how = Sliding {
                size,
                late: &|end| self.is_late(end),
                spent: &|end| self.is_spent(end),
                sealed: &|span| S::DESCRIPTOR.retention > 0 && !span.silent && closed(span),
            };
            row.slide(time, &how, f, moves);
        })
    }

    /// Whether a window with this end is kept no longer.
    fn is_spent(&self, end: i64) -> bool {
        end.saturating_add(keep::<S>()) <= self.late.time(&self.clock)
    }

    /// Whether a window that has closed may still be read.
    pub(super) fn is_retained(&self, end: i64) -> bool {
        end.saturating_add(S::DESCRIPTOR.retention) > self.late.time(&self.clock)
    }
}

impl<S: TableSpec> TypedPartition<S> for DynamicTable<S> {
    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn head(&self) -> Result<Option<HeadRow<S>>, Error> {
        let mut rows = self.rows.borrow_mut();
        let mut index = self.index.borrow_mut();
        let Some((end, at)) = index.head(|at| &rows.slots[at as usize].key) else {
            return Ok(None);
        };
        if end.saturating_add(S::DESCRIPTOR.grace) > self.clock.stream_time.get() {
            return Ok(None);
        }
        rows.load(at)?;
        let slot = &rows.slots[at as usize];
        let Some(span) = slot.value.as_ref().and_then(|row| row.find(end)) else {
            return Err(Error::table(format!(
                "table `{}`: the window ending {end} is not in its row; this is a bug",
                S::DESCRIPTOR.name
            )));
        };
        Ok(Some(HeadRow {
            key: slot.key.clone(),
            start: span.start,
            end,
            value: span.value.clone(),
        }))
    }

    fn change<Q>(&self, time: i64, key: &Q, f: &mut dyn FnMut(&mut S::Value)) -> Result<(), Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        if is_sliding::<S>() {
            self.change_sliding(time, key, f)
        } else {
            self.change_session(time, key, f)
        }
    }

    fn at<Q>(&self, time: i64, key: &Q) -> Result<Option<S::Value>, Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        if is_sliding::<S>() {
            // That window may not have begun: its content is that of the last one that did. It goes when it closes.
            let end = time.saturating_add(1);
            let over = end.saturating_add(S::DESCRIPTOR.grace) <= self.clock.stream_time.get();
            if over && !self.is_retained(end) {
                return Ok(None);
            }
            let found = self.read_row(key, |row, _| row.slide_at(time, size::<S>()).cloned())?;
            return Ok(found.flatten());
        }
        let found = self.read_row(key, |row, open| {
            let holds = |span: &&Span<_>| span.start <= time && time < span.end;
            let mut newest_first = row.0.iter().rev().filter(holds);
            let span = newest_first.find(|span| open(span) || self.is_retained(span.end))?;
            Some(span.result().clone())
        })?;
        Ok(found.flatten())
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
        self.take_at(time, key, taken)
    }

    fn windows<Q>(&self, key: &Q) -> Result<Vec<InWindow<S::Value>>, Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let found = self.read_row(key, |row, open| {
            let told = row.0.iter().filter(|span| !span.silent);
            let readable = told.filter(|span| open(span) || self.is_retained(span.end));
            readable
                .map(|span| InWindow::new(span.start, span.end, span.result().clone()))
                .collect()
        })?;
        Ok(found.unwrap_or_default())
    }
}

impl<S: TableSpec> TablePartition for DynamicTable<S> {
    fn descriptor(&self) -> &'static TableDescriptor {
        S::DESCRIPTOR
    }

    fn rows(&self) -> &dyn Rows {
        &self.rows
    }

    fn recovered(&self, cursor: Option<&[u8]>, time: i64) -> Result<(), Error> {
        self.late.recovered(time);
        let rows = &mut *self.rows.borrow_mut();
        let mut index = SpanIndex::default();
        let cursor = cursor
            .map(|c| layout::parse::<S::Key>(true, c, S::DESCRIPTOR.name))
            .transpose()?;
        index.committed_time = self.late.time(&self.clock);
        index.committed.clone_from(&cursor);
        index.cursor = cursor;
        for at in 0..rows.slots.len() as u32 {
            if rows.slots[at as usize].live
                && let Some((row, _)) = rows.peek(at)?
            {
                index.file(at, &rows.slots[at as usize].key, &row);
            }
        }
        // Rows that the changelog has not brought again: their values stay in the store until they are asked for.
        if let Some(tree) = rows.tree.clone() {
            for stored in tree.scan(&[], None) {
                let (layout_key, bytes) = stored.map_err(Error::from)?;
                let (_, key) = layout::parse::<S::Key>(false, &layout_key, S::DESCRIPTOR.name)?;
                let hash = rows.hash(0, &key);
                if rows.probe(hash, 0, &key).is_none() {
                    let at = rows.insert(hash, 0, key, Value::Unloaded, OnDisk::Stored);
                    let key = &rows.slots[at as usize].key;
                    match RowCache::<Spanned<S>>::decode(key, &bytes) {
                        Ok((row, _)) => index.file(at, key, &row),
                        Err(problem) => rows.set_aside(at, &bytes, problem)?,
                    }
                }
            }
        }
        *self.index.borrow_mut() = index;
        Ok(())
    }

    fn time(&self) -> i64 {
        self.late.time(&self.clock)
    }

    fn due_at(&self) -> i64 {
        match self.index.borrow().first_open() {
            Some(end) => end.saturating_add(S::DESCRIPTOR.grace),
            None => i64::MAX,
        }
    }

    fn has_due(&self, stream_time: i64) -> Result<bool, Error> {
        Ok(self.due_at() <= stream_time)
    }

    fn head_window(&self) -> Option<(i64, i64)> {
        let head = self.head().ok()??;
        Some((head.start, head.end))
    }

    fn close_head(&self) {
        let rows = self.rows.borrow();
        let key = |at: u32| &rows.slots[at as usize].key;
        let mut index = self.index.borrow_mut();
        if let Some((end, at)) = index.head(key) {
            index.close(end, at, key(at).clone());
        }
    }

    fn describe_head(&self) -> Option<(String, String)> {
        Some(self.head().ok()??.describe())
    }

    fn head_beside_json(&self) -> Option<Vec<u8>> {
        self.head().ok()??.beside_json()
    }

    fn expires_at(&self) -> i64 {
        let rows = self.rows.borrow();
        // While a row waits for its event, it is not touched from here.
        if !rows.undo.is_empty() {
            return i64::MAX;
        }
        let spent = self
            .index
            .borrow()
            .first_spent(|at| &rows.slots[at as usize].key, keep::<S>());
        spent.map_or(i64::MAX, |(end, _)| end.saturating_add(keep::<S>()))
    }

    fn expire(&self, stream_time: i64) -> Result<(), Error> {
        for _ in 0..CHUNK {
            if self.expires_at() > stream_time {
                break;
            }
            let rows = &mut *self.rows.borrow_mut();
            let mut index = self.index.borrow_mut();
            let Some((end, at)) = index.first_spent(|at| &rows.slots[at as usize].key, keep::<S>())
            else {
                break;
            };
            rows.load(at)?;
            index.drop_spent(end, at);
            let slot = &mut rows.slots[at as usize];
            if let Value::Here(row) = &mut slot.value {
                row.0.retain(|span| span.end != end);
                if row.0.is_empty() {
                    slot.value = Value::Absent;
                }
            }
            rows.touch(at);
        }
        Ok(())
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
        let mut index = self.index.borrow_mut();
        self.rows.borrow_mut().rollback(|at, key, now, before| {
            if let Some(row) = now {
                index.unfile(at, key, row);
            }
            if let Some(row) = before {
                index.file(at, key, row);
            }
        });
    }

    fn prepare(&self) -> Result<(), Error> {
        self.index.borrow_mut().prepared_time = self.late.time(&self.clock);
        self.rows.borrow_mut().prepare()
    }

    fn cursor(&self, out: &mut Vec<u8>) -> bool {
        match &self.index.borrow().cursor {
            Some((end, key)) => {
                layout::push(true, *end, key, out);
                true
            }
            None => false,
        }
    }

    fn cursor_moved(&self) -> bool {
        self.index.borrow().moved
    }

    fn committed(&self) {
        self.rows.borrow_mut().committed();
        self.index.borrow_mut().commit();
        self.clock.due_at(self.expires_at());
    }

    fn aborted(&self) -> Result<(), Error> {
        let rows = &mut *self.rows.borrow_mut();
        let mut index = self.index.borrow_mut();
        let changed = rows.changed();
        for &at in &changed {
            let slot = &rows.slots[at as usize];
            if let (true, Value::Here(row)) = (slot.live, &slot.value) {
                index.unfile(at, &slot.key, row);
            }
        }
        rows.aborted()?;
        index.abort(|at| &rows.slots[at as usize].key);
        for at in changed {
            if rows.slots[at as usize].live {
                rows.load(at)?;
                let slot = &rows.slots[at as usize];
                if let Value::Here(row) = &slot.value {
                    index.file(at, &slot.key, row);
                }
            }
        }
        Ok(())
    }

    fn idle_target(&self, wall: i64) -> Option<i64> {
        let grace = S::DESCRIPTOR.grace;
        let over = self.index.borrow().last_open(wall.saturating_sub(grace));
        over.map(|end| end.saturating_add(grace))
    }

    /// Of the windows those that [`Table::windows`](crate::Table::windows) would have listed then.
    fn committed_row(&self, layout_key: &[u8], stream_time: i64) -> Result<Option<Vec<u8>>, Error> {
        match self.rows.borrow().committed_row(layout_key)? {
            Some(bytes) => self.readable(layout_key, &bytes, stream_time),
            None => Ok(None),
        }
    }

    fn committed_rows(&self, scan: &Scan, stream_time: i64) -> Result<Chunk, Error> {
        let mut chunk = self.rows.borrow().committed_rows(scan)?;
        let mut rows = Vec::with_capacity(chunk.rows.len());
        for (key, bytes) in chunk.rows {
            let row = self.readable(&key, &bytes, stream_time)?;
            rows.extend(row.map(|row| (key, row)));
        }
        chunk.rows = rows;
        Ok(chunk)
    }

    fn as_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}

impl<S: TableSpec> DynamicTable<S> {
    /// Of the windows in a committed row those that may be read at this stream time.
    fn readable(
        &self,
        layout_key: &[u8],
        bytes: &[u8],
        stream_time: i64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let table = S::DESCRIPTOR;
        let (_, key) = layout::parse::<S::Key>(false, layout_key, table.name)?;
        let row = RowCache::<Spanned<S>>::decode(&key, bytes);
        let (mut row, _) = row.map_err(|problem| self.rows.borrow().located(problem))?;
        let index = self.index.borrow();
        row.0.retain(|span| {
            let retained = span.end.saturating_add(table.retention) > stream_time;
            !span.silent && (retained || !index.had_closed(span.end, &key))
        });
        let mut bytes = Vec::new();
        codec::encode(&row, &mut bytes).map_err(|e| {
            Error::table(format!(
                "table `{}`: a row cannot be written: {e}",
                table.name
            ))
        })?;
        Ok(Some(bytes))
    }
}
