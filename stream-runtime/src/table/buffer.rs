//! One partition of one side of a stream-stream join: its records by key, time and offset, for as long as a partner may come.

use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::buffer_index::{BufferIndex, Moment, key_of};
use super::clock::Clock;
use super::commit::StoredRows;
use super::lateness::Lateness;
use super::layout;
use super::partition::{OpenTable, TablePartition};
use super::row::RowSpec;
use super::rows::{NO_DISK, Rows};
use super::scan::{Chunk, Scan};
use super::slot::{Below, RowBatch, Value};
use crate::error::Error;
use crate::key::{StreamKey, partition_of};
use crate::topology::TableDescriptor;

/// Records dropped in one go.
const CHUNK: usize = 4096;

/// Key's wire bytes, event time, offset: equal keys and times stay two records.
pub type BufferKey = (Bytes, i64, i64);

/// A record that waits for partners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Whether it has met one. Known of sides that are emitted alone.
    pub matched: bool,
    /// Its value as it came.
    #[serde(with = "as_bytes")]
    pub record: Bytes,
}

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
}

/// One partition of one side of a join.
pub struct JoinBuffer<B: BufferSpec> {
    rows: RefCell<Rows<Side<B>>>,
    index: RefCell<BufferIndex>,
    late: Lateness,
    clock: Rc<Clock>,
    said_misplaced: std::cell::Cell<bool>,
}

/// Opens a partition of a side; what its `TableDescriptor::open` points to.
pub fn open_buffer<B: BufferSpec>(how: &dyn Any) -> Box<dyn Any> {
    let cell: Option<Rc<dyn TablePartition>> = how.downcast_ref::<OpenTable>().map(|how| {
        Rc::new(JoinBuffer::<B> {
            rows: RefCell::new(Rows::new(
                how.clock.clone(),
                how.tree.clone(),
                how.cache_bytes,
            )),
            index: RefCell::default(),
            late: Lateness::default(),
            clock: how.clock.clone(),
            said_misplaced: std::cell::Cell::default(),
        }) as Rc<dyn TablePartition>
    });
    Box::new(cell)
}

/// Stream time at which nothing can match a record of this time any more.
fn due<B: BufferSpec>(time: i64) -> i64 {
    time.saturating_add(B::WITHIN)
        .saturating_add(1)
        .saturating_add(B::DESCRIPTOR.grace)
}

impl<B: BufferSpec> JoinBuffer<B> {
    /// Whether records that met no partner are emitted alone. Said before any of them is there.
    pub(crate) fn set_outer(&self, outer: bool) {
        self.index.borrow_mut().outer = outer;
    }

    /// Whether a record of this time comes too late; counts it when it does.
    pub(crate) fn is_late(&self, time: i64) -> bool {
        let late = self.clock.is_late(due::<B>(time));
        if late {
            let end = time.saturating_add(B::WITHIN).saturating_add(1);
            self.late.note(time.saturating_sub(B::WITHIN), end, false);
        }
        late
    }

    /// The records of this side that a record of the other one matches, oldest first.
    pub(crate) fn partners(&self, key: &Bytes, time: i64) -> Vec<BufferKey> {
        let (from, to) = (
            time.saturating_sub(B::WITHIN),
            time.saturating_add(B::WITHIN),
        );
        let index = self.index.borrow();
        let near = index.between(key, from, to);
        // What is over and still lies about has no partner: whether it does is a matter of commits.
        near.filter(|(_, time, _)| !self.clock.is_late(due::<B>(*time)))
            .cloned()
            .collect()
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

    /// Keeps a record, as part of the event in hand.
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
                None => rows.insert(hash, 0, key.clone(), Value::Absent, Below::Nothing),
            }
        };
        rows.journal(at);
        index.unfile(&key);
        index.file(&key, &kept);
        rows.slots[at as usize].value = Value::Here(kept);
        self.clock.due_at(due::<B>(key.1));
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
    fn forget(rows: &mut Rows<Side<B>>, key: BufferKey) {
        let at = rows.place(0, key);
        rows.slots[at as usize].value = Value::Absent;
        rows.touch(at);
    }
}

impl<B: BufferSpec> TablePartition for JoinBuffer<B> {
    fn descriptor(&self) -> &'static TableDescriptor {
        B::DESCRIPTOR
    }

    fn restore(&self, layout_key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        self.rows.borrow_mut().restore(layout_key, value)
    }

    fn recovered(&self, cursor: Option<&[u8]>) -> Result<(), Error> {
        let rows = &mut *self.rows.borrow_mut();
        let cursor = cursor
            .map(<Moment as StreamKey>::decode_ordered)
            .transpose()
            .map_err(|e| {
                Error::table(format!(
                    "table `{}`: the mark's cursor does not read: {e}; `reset` starts anew",
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
        rows.disk = NO_DISK;
        if let Some(tree) = rows.tree.clone() {
            for stored in tree.scan(&[], None) {
                let (layout_key, bytes) = stored.map_err(Error::from)?;
                rows.disk = (0, 0);
                let (_, key) = layout::parse::<BufferKey>(false, &layout_key, B::DESCRIPTOR.name)?;
                // What the changelog has brought again is known.
                let hash = rows.hash(0, &key);
                if rows.probe(hash, 0, &key).is_none() {
                    let (kept, _) = Rows::<Side<B>>::decode(&bytes)?;
                    index.file(&key, &kept);
                }
            }
        }
        *self.index.borrow_mut() = index;
        Ok(())
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
        let rows = &mut *self.rows.borrow_mut();
        let mut index = self.index.borrow_mut();
        if let Some(moment) = index.first_open().cloned() {
            Self::forget(rows, key_of(&moment));
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
            .map_or(i64::MAX, |first| due::<B>(first.0))
    }

    fn expire(&self, stream_time: i64) -> Result<(), Error> {
        let rows = &mut *self.rows.borrow_mut();
        let mut index = self.index.borrow_mut();
        for _ in 0..CHUNK {
            let key = match index.first_silent() {
                Some(first) if due::<B>(first.0) <= stream_time => key_of(first),
                _ => break,
            };
            index.unfile(&key);
            Self::forget(rows, key);
        }
        Ok(())
    }

    fn missed(&self) -> Vec<(i64, i64)> {
        Vec::new()
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

    fn prepare(&self) -> Result<(), Error> {
        self.rows.borrow_mut().prepare()
    }

    fn with_batch(&self, f: &mut dyn FnMut(&RowBatch)) {
        f(&self.rows.borrow().batch);
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

    fn take_unstored(&self) -> Option<(StoredRows, u64)> {
        let mut rows = self.rows.borrow_mut();
        if !rows.storing.is_empty() || rows.unstored.is_empty() || rows.tree.is_none() {
            return None;
        }
        Some((rows.take_unstored(), rows.commits))
    }

    fn unstored(&self) -> usize {
        self.rows.borrow().unstored.len()
    }

    fn is_full(&self) -> bool {
        self.rows.borrow().is_full()
    }

    fn stored(&self, round: u64) {
        self.rows.borrow_mut().stored(round);
    }

    fn not_stored(&self) {
        self.rows.borrow_mut().not_stored();
    }

    fn idle_target(&self, wall: i64) -> Option<i64> {
        // Times whose end is not above the wall clock.
        let time = wall.saturating_sub(due::<B>(0));
        self.index.borrow().last_open(time).map(due::<B>)
    }

    fn committed_row(&self, layout_key: &[u8], _: i64) -> Result<Option<Vec<u8>>, Error> {
        self.rows.borrow().committed_row(layout_key)
    }

    fn committed_rows(&self, scan: &Scan, _: i64) -> Result<Chunk, Error> {
        self.rows.borrow().committed_rows(scan)
    }

    fn cached(&self) -> usize {
        self.rows.borrow().cached()
    }

    fn as_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}

/// `Bytes` as a byte string instead of a list of numbers.
mod as_bytes {
    use bytes::Bytes;
    use serde::de::{Deserializer, Visitor};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(bytes: &Bytes, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Bytes, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes::copy_from_slice(bytes))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes::from(bytes))
            }
        }
        d.deserialize_bytes(Read)
    }
}
