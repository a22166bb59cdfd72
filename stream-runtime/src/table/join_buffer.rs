//! One partition of one side of a stream-stream join: its records by key, time and offset, for as long as a partner may
//! come.

use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use bytes::Bytes;

use super::clock::Clock;
use super::entry::{OnDisk, Value};
use super::join_buffer_index::{BufferIndex, Moment, key_of};
use super::kept::{BufferKey, Kept};
use super::lateness::Lateness;
use super::layout;
use super::open_table::OpenTable;
use super::partition::TablePartition;
use super::row::RowSpec;
use super::row_cache::{NO_DISK, RowCache};
use super::rows::Rows;
use crate::error::Error;
use crate::key::{StreamKey, partition_of};
use crate::mutants::{self, Mutant};
use crate::topology::TableDescriptor;

/// Records dropped in one go.
const CHUNK: usize = 4096;

/// Made by `#[join]` for each of its sides.
pub trait BufferSpec: 'static {
    /// Name, grace, idle.
    const DESCRIPTOR: &'static TableDescriptor;
    /// Largest distance in time of two records that match, in ms.
    const WITHIN: i64;
}

/// The rows of such a table.
struct Side<B>(PhantomData<B>);

impl<B: BufferSpec> RowSpec for Side<B> {
    type Key = BufferKey;
    type Row = Kept;
    const DESCRIPTOR: &'static TableDescriptor = B::DESCRIPTOR;
    const ALIGNED: bool = false;
    const PINNED: bool = false;
    type Inner = Kept;
    const ONE_VARIANT: bool = true;

    fn inner(row: &Kept) -> Option<&Kept> {
        Some(row)
    }

    fn same(a: &Kept, b: &Kept) -> Option<bool> {
        Some(a == b)
    }
}

/// One partition of one side of a join.
pub struct JoinBuffer<B: BufferSpec> {
    rows: RefCell<RowCache<Side<B>>>,
    index: RefCell<BufferIndex>,
    late: Lateness,
    clock: Rc<Clock>,
    /// Topic and partition that its records come from, for messages: `orders[3]`.
    source: RefCell<String>,
    said_misplaced: std::cell::Cell<bool>,
}

/// Opens a partition of a side; what its `TableDescriptor::open` points to.
pub fn open_buffer<B: BufferSpec>(how: &dyn Any) -> Box<dyn Any> {
    let cell: Option<Rc<dyn TablePartition>> = how.downcast_ref::<OpenTable>().map(|how| {
        Rc::new(JoinBuffer::<B> {
            rows: RefCell::new(RowCache::new(how)),
            index: RefCell::default(),
            late: Lateness::default(),
            clock: how.clock.clone(),
            source: RefCell::default(),
            said_misplaced: std::cell::Cell::default(),
        }) as Rc<dyn TablePartition>
    });
    Box::new(cell)
}

/// Stream time at which a record of this time is late, or goes alone if it has met nobody.
fn due<B: BufferSpec>(time: i64) -> i64 {
    time.saturating_add(B::WITHIN)
        .saturating_add(1)
        .saturating_add(B::DESCRIPTOR.grace)
}

/// Stream time at which its row goes: whatever it is near to is late from then on, so that no record that is taken
/// misses a partner.
fn over<B: BufferSpec>(time: i64) -> i64 {
    due::<B>(time).saturating_add(B::WITHIN)
}

/// Those of the other side that a record is near to.
#[derive(Debug, Default)]
pub(crate) struct Near {
    /// They match, oldest first.
    pub(crate) partners: Vec<BufferKey>,
    /// They have gone alone: the record is late for them.
    pub(crate) gone: Vec<BufferKey>,
}

impl<B: BufferSpec> JoinBuffer<B> {
    /// Whether records that met no partner are emitted alone, and where they come from. Said before any of them is
    /// there.
    pub(crate) fn begin(&self, outer: bool, source: String) {
        self.index.borrow_mut().outer = outer;
        self.source.replace(source);
    }

    /// Whether records of this time that had met nobody have gone alone. They stay gone when `grace` grows.
    fn has_gone(&self, index: &BufferIndex, time: i64) -> bool {
        let last = index.cursor.as_ref();
        index.outer
            && (self.late.is_over(&self.clock, due::<B>(time))
                || last.is_some_and(|last| time <= last.0))
    }

    /// Whether a record of this time comes too late; counts it when it does.
    pub(crate) fn is_late(&self, time: i64) -> bool {
        let late = self.late.is_over(&self.clock, due::<B>(time))
            || self.has_gone(&self.index.borrow(), time);
        if late {
            let end = time.saturating_add(B::WITHIN).saturating_add(1);
            let keep = B::DESCRIPTOR.late.is_some();
            self.late.note(time.saturating_sub(B::WITHIN), end, keep);
        }
        late
    }

    /// Returns the records of this side that a record of the other one is near to.
    pub(crate) fn near(&self, key: &Bytes, time: i64) -> Result<Near, Error> {
        let (from, to) = (
            time.saturating_sub(B::WITHIN),
            time.saturating_add(B::WITHIN),
        );
        let mut near = Near::default();
        let index = self.index.borrow();
        for key in index.between(key, from, to) {
            // One that has met somebody before its time was over goes on meeting others.
            let gone = self.has_gone(&index, key.1)
                && !mutants::is(Mutant::Partners)
                && !self.read(key)?.matched;
            match gone {
                true => near.gone.push(key.clone()),
                false => near.partners.push(key.clone()),
            }
        }
        Ok(near)
    }

    /// The current record, of the other side, comes too late for records of this one that have gone alone; counts it.
    pub(crate) fn miss(&self, gone: Vec<BufferKey>) {
        for (_, time, offset) in gone {
            let end = time.saturating_add(B::WITHIN).saturating_add(1);
            let keep = B::DESCRIPTOR.late.is_some();
            self.late.note(time.saturating_sub(B::WITHIN), end, keep);
            if keep {
                self.late.note_row(offset);
            }
        }
    }

    /// A record that is kept.
    pub(crate) fn read(&self, key: &BufferKey) -> Result<Kept, Error> {
        let mut rows = self.rows.borrow_mut();
        let at = rows.find(0, key)?;
        let kept = at.and_then(|at| rows.slots[at as usize].value.as_ref().cloned());
        kept.ok_or_else(|| {
            Error::table(format!(
                "table `{}`: the record of time {} and offset {} is not in its row; this is a bug",
                B::DESCRIPTOR.name,
                key.1,
                key.2
            ))
        })
    }

    /// Keeps a record, as part of the current event.
    pub(crate) fn keep(&self, key: BufferKey, kept: Kept) -> Result<(), Error> {
        self.check_place(&key.0);
        let rows = &mut *self.rows.borrow_mut();
        let mut index = self.index.borrow_mut();
        // At-least-once a record may come again. Else it is new, and the store need not be asked.
        let at = if index.contains(&key) {
            rows.find_or_make(0, &key)?
        } else {
            let hash = rows.hash(0, &key);
            match rows.probe(hash, 0, &key) {
                Some(at) => at,
                None => rows.insert(hash, 0, key.clone(), Value::Absent, OnDisk::Nothing),
            }
        };
        rows.journal(at);
        index.unfile(&key);
        index.file(&key, &kept);
        rows.slots[at as usize].value = Value::Here(kept);
        // One that will not go alone ends without a word.
        let end = match index.outer {
            true => due::<B>(key.1),
            false => over::<B>(key.1),
        };
        self.clock.due_at(end);
        Ok(())
    }

    /// A record of this side has met a partner.
    pub(crate) fn meet(&self, key: &BufferKey) -> Result<(), Error> {
        let rows = &mut *self.rows.borrow_mut();
        let mut index = self.index.borrow_mut();
        if !index.outer {
            return Ok(());
        }
        let Some(at) = rows.find(0, key)? else {
            return Ok(());
        };
        if matches!(&rows.slots[at as usize].value, Value::Here(kept) if !kept.matched) {
            rows.journal(at);
            if let Value::Here(kept) = &mut rows.slots[at as usize].value {
                kept.matched = true;
                index.unfile(key);
                index.file(key, kept);
            }
        }
        Ok(())
    }

    /// The next record to be emitted alone, when its time is over.
    pub(crate) fn head(&self) -> Result<Option<(BufferKey, Kept)>, Error> {
        let first = self.index.borrow().first_open().map(key_of);
        match first {
            Some(key) if due::<B>(key.1) <= self.clock.stream_time.get() => {
                let kept = self.read(&key)?;
                Ok(Some((key, kept)))
            }
            _ => Ok(None),
        }
    }

    /// Records of one key meet in the partition of that key alone.
    fn check_place(&self, key: &[u8]) {
        let (partition, partitions) = self.clock.place.get();
        if partitions < 2 {
            return;
        }
        let home = partition_of(key, partitions);
        if home == partition {
            return;
        }
        self.clock.misplaced.set(self.clock.misplaced.get() + 1);
        if !self.said_misplaced.replace(true) {
            tracing::warn!(
                table = B::DESCRIPTOR.name,
                key = %crate::key::preview(key),
                partition,
                belongs_to = home,
                "a record of a join lies in another partition than its key and will miss its partners: give its producer \
                 partitioner=murmur2_random, or join by fields (`on`)"
            );
        }
    }

    /// Drops the row of a record.
    fn forget(rows: &mut RowCache<Side<B>>, key: BufferKey) {
        let at = rows.place(0, key);
        rows.slots[at as usize].value = Value::Absent;
        rows.touch(at);
    }
}

impl<B: BufferSpec> TablePartition for JoinBuffer<B> {
    fn descriptor(&self) -> &'static TableDescriptor {
        B::DESCRIPTOR
    }

    fn rows(&self) -> &dyn Rows {
        &self.rows
    }

    fn recovered(&self, cursor: Option<&[u8]>, time: i64) -> Result<(), Error> {
        self.late.recovered(time);
        let rows = &mut *self.rows.borrow_mut();
        let cursor = cursor
            .map(<Moment as StreamKey>::decode_ordered)
            .transpose()
            .map_err(|e| {
                Error::table(format!(
                    "table `{}`: the mark's cursor does not read: {e}; `reset` starts again",
                    B::DESCRIPTOR.name
                ))
            })?;
        let mut index = BufferIndex::new(self.index.borrow().outer, cursor);
        for at in 0..rows.slots.len() as u32 {
            if rows.slots[at as usize].live
                && let Some((kept, _)) = rows.peek(at)?
            {
                index.file(&rows.slots[at as usize].key, &kept);
            }
        }
        rows.windows.disk = NO_DISK;
        if let Some(tree) = rows.tree.clone() {
            for stored in tree.scan(&[], None) {
                let (layout_key, bytes) = stored.map_err(Error::from)?;
                rows.windows.disk = (0, 0);
                let (_, key) = layout::parse::<BufferKey>(false, &layout_key, B::DESCRIPTOR.name)?;
                // What the changelog has brought again is known.
                let hash = rows.hash(0, &key);
                if rows.probe(hash, 0, &key).is_none() {
                    let kept = RowCache::<Side<B>>::decode(&key, &bytes);
                    let (kept, _) = kept.map_err(|problem| rows.located(problem))?;
                    index.file(&key, &kept);
                }
            }
        }
        *self.index.borrow_mut() = index;
        Ok(())
    }

    fn waits(&self) -> i64 {
        due::<B>(0)
    }

    fn time(&self) -> i64 {
        self.late.time(&self.clock)
    }

    fn due_at(&self) -> i64 {
        let index = self.index.borrow();
        index
            .first_open()
            .map_or(i64::MAX, |first| due::<B>(first.0))
    }

    fn has_due(&self, stream_time: i64) -> Result<bool, Error> {
        Ok(self.due_at() <= stream_time)
    }

    fn head_window(&self) -> Option<(i64, i64)> {
        let time = self.index.borrow().first_open()?.0;
        let end = time.saturating_add(B::WITHIN).saturating_add(1);
        Some((time.saturating_sub(B::WITHIN), end))
    }

    fn closes_beside(&self) -> (&'static str, Bytes) {
        let name = B::DESCRIPTOR.name;
        let join = name.rsplit_once('-').map_or(name, |(join, _)| join);
        let index = self.index.borrow();
        (
            join,
            index
                .first_open()
                .map_or_else(Bytes::new, |first| first.1.clone()),
        )
    }

    fn close_head(&self) {
        let mut index = self.index.borrow_mut();
        if let Some(moment) = index.first_open().cloned() {
            // Its row stays, so that who comes too late for it is told so.
            self.clock.due_at(over::<B>(moment.0));
            // It awaits the commit as a changed row does.
            self.clock.dirty.set(self.clock.dirty.get() + 1);
            index.close(moment);
        }
    }

    fn describe_head(&self) -> Option<(String, String)> {
        let (key, kept) = self.head().ok()??;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some((text(&key.0), text(&kept.record)))
    }

    fn expires_at(&self) -> i64 {
        let index = self.index.borrow();
        index
            .first_silent()
            .map_or(i64::MAX, |first| over::<B>(first.0))
    }

    fn expire(&self, stream_time: i64) -> Result<(), Error> {
        let rows = &mut *self.rows.borrow_mut();
        let mut index = self.index.borrow_mut();
        for _ in 0..CHUNK {
            let key = match index.first_silent() {
                Some(first) if over::<B>(first.0) <= stream_time => key_of(first),
                _ => break,
            };
            index.unfile(&key);
            Self::forget(rows, key);
        }
        Ok(())
    }

    fn missed(&self) -> Vec<(i64, i64)> {
        self.late.missed()
    }

    fn missed_rows(&self) -> Vec<String> {
        let offsets = self.late.missed_rows().into_iter();
        let source = self.source.borrow();
        offsets.map(|offset| format!("{source}@{offset}")).collect()
    }

    fn settle(&self) {
        self.late.settle(&self.clock);
        self.rows.borrow_mut().settle();
    }

    fn rollback(&self) {
        self.late.rollback();
        let mut index = self.index.borrow_mut();
        self.rows.borrow_mut().rollback(|_, key, _, before| {
            index.unfile(key);
            if let Some(kept) = before {
                index.file(key, kept);
            }
        });
    }

    fn cursor(&self, out: &mut Vec<u8>) -> bool {
        match &self.index.borrow().cursor {
            Some(moment) => {
                moment.encode_ordered(out);
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
    }

    fn aborted(&self) -> Result<(), Error> {
        let rows = &mut *self.rows.borrow_mut();
        let mut index = self.index.borrow_mut();
        let changed = rows.changed();
        for &at in &changed {
            let slot = &rows.slots[at as usize];
            if slot.live {
                index.unfile(&slot.key);
            }
        }
        rows.aborted()?;
        index.abort();
        for at in changed {
            if rows.slots[at as usize].live
                && let Some((kept, _)) = rows.peek(at)?
            {
                index.file(&rows.slots[at as usize].key, &kept);
            }
        }
        Ok(())
    }

    fn idle_target(&self, wall: i64) -> Option<i64> {
        // Times whose end is not above the wall clock.
        let time = wall.saturating_sub(due::<B>(0));
        self.index.borrow().last_open(time).map(due::<B>)
    }

    fn as_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}
