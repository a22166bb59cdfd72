//! The rows of one partition of a table: a bounded cache over the store, with the journal of the current event.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::aside::Aside;
use super::clock::{Clock, NO_TIME};
use super::entry::{Entry, OnDisk, RowBatch, UndoRecord, Value};
use super::layout;
use super::open_table::{LogPlace, OpenTable, RowLimit};
use super::readback::Readback;
use super::row::RowSpec;
use super::sweeping::Sweeping;
use crate::error::Error;
use crate::key::{StreamKey, partition_of};
use crate::store::Tree;

/// Cached rows, found by window and key.
pub(super) struct Entries<K, V> {
    list: Vec<Entry<K, V>>,
    /// Places in the list that are free.
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Entries {
            list: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl<K, V> Deref for Entries<K, V> {
    type Target = [Entry<K, V>];

    #[inline]
    fn deref(&self) -> &[Entry<K, V>] {
        &self.list
    }
}

impl<K, V> DerefMut for Entries<K, V> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Entry<K, V>] {
        &mut self.list
    }
}

/// The rows' windows, by their ends.
pub(super) struct Windows {
    /// Cached rows of windows that have not closed.
    pub(super) open: BTreeMap<i64, Vec<u32>>,
    /// Cached rows of closed windows whose retention still runs.
    pub(super) retained: BTreeMap<i64, Vec<u32>>,
    /// Whether some retained rows are in the store only.
    pub(super) retained_on_disk: bool,
    /// Ends (plain tables: 0) of rows that may be in the store and not in the cache; empty when first > last.
    pub(super) disk: (i64, i64),
}

/// Rows on their way into the store.
#[derive(Default)]
pub(super) struct Flush {
    /// Committed, and not in the store yet.
    pub(super) unstored: Vec<u32>,
    /// In the round that is under way.
    pub(super) storing: Vec<u32>,
    /// Number of the last commit.
    pub(super) commits: u64,
    /// A round failed for good: rows stay in memory.
    pub(super) failed: bool,
}

/// How many rows the cache may hold.
struct Budget {
    cache_bytes: usize,
    /// Bytes and number of rows that were written or read: what one weighs beside its slot.
    weighed: (usize, usize),
    /// The last sweep did not help: the next is after a round of the store.
    swept_in_vain: bool,
}

/// Keys that belong into other partitions.
pub(super) struct Places<K> {
    /// A row was made here whose key belongs elsewhere, and that was logged.
    pub(super) said_misplaced: bool,
    /// One was looked for here, and that was logged.
    pub(super) said_elsewhere: bool,
    /// A key whose memory is used again, where a lookup found nothing.
    pub(super) asked: Option<K>,
}

/// Where the rows are on the broker, and how large they may be.
pub(super) struct Changelog {
    pub(super) place: Rc<LogPlace>,
    pub(super) row_limit: RowLimit,
}

/// Rows of `S` in one partition.
pub(super) struct RowCache<S: RowSpec> {
    pub(super) clock: Rc<Clock>,
    pub(super) slots: Entries<S::Key, S::Row>,
    pub(super) windows: Windows,
    /// Changed since the last commit.
    pub(super) dirty: Vec<u32>,
    pub(super) undo: Vec<UndoRecord<S::Row>>,
    /// The row at the head of the closing that the agents have in flight: not forgotten meanwhile.
    pub(super) hand: Option<u32>,
    pub(super) batch: RowBatch,
    pub(super) flush: Flush,
    /// `None` for `changelog = false`.
    pub(super) tree: Option<Arc<dyn Tree>>,
    pub(super) changelog: Changelog,
    budget: Budget,
    /// The search for rows whose `ttl` is over.
    pub(super) sweeping: Sweeping,
    pub(super) places: Places<S::Key>,
    pub(super) readback: Readback<S::Inner>,
    /// Rows that could not be read, until the next commit sends them.
    pub(super) aside: Vec<Aside>,
    pub(super) scratch: Vec<u8>,
}

/// A hash that fills 64 bits from the 32 that a slot keeps: the index takes its bits from both ends.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// Nothing is on disk only.
pub(super) const NO_DISK: (i64, i64) = (i64::MAX, i64::MIN);

impl<S: RowSpec> RowCache<S> {
    pub(super) fn new(how: &OpenTable) -> Self {
        RowCache {
            clock: how.clock.clone(),
            slots: Entries::default(),
            windows: Windows {
                open: BTreeMap::new(),
                retained: BTreeMap::new(),
                retained_on_disk: false,
                disk: NO_DISK,
            },
            dirty: Vec::new(),
            undo: Vec::new(),
            hand: None,
            batch: RowBatch::default(),
            flush: Flush::default(),
            tree: how.tree.clone(),
            changelog: Changelog {
                place: Rc::clone(&how.log),
                row_limit: how.row_limit.clone(),
            },
            budget: Budget {
                cache_bytes: how.cache_bytes,
                weighed: (0, 0),
                swept_in_vain: false,
            },
            sweeping: Sweeping::default(),
            places: Places {
                said_misplaced: false,
                said_elsewhere: false,
                asked: None,
            },
            readback: Readback::new(how.read_back || cfg!(debug_assertions)),
            aside: Vec::new(),
            scratch: Vec::new(),
        }
    }

    pub(super) fn cached(&self) -> usize {
        self.slots.len() - self.slots.free.len()
    }

    /// Rows that the cache may hold.
    fn limit(&self) -> usize {
        // Places in lists and index, and what the allocator adds.
        let row = size_of::<Entry<S::Key, S::Row>>() + 80;
        let weight = self
            .budget
            .weighed
            .0
            .checked_div(self.budget.weighed.1)
            .unwrap_or(0);
        // The bytes, and their copy in a round of the store.
        (self.budget.cache_bytes / (row + 2 * weight)).max(64)
    }

    /// Counts rows of so many bytes together, layout keys included.
    pub(super) fn weigh(&mut self, rows: usize, bytes: usize) {
        self.budget.weighed = (self.budget.weighed.0 + bytes, self.budget.weighed.1 + rows);
        // The newer rows count for more.
        if self.budget.weighed.1 > 1 << 20 {
            self.budget.weighed = (self.budget.weighed.0 / 2, self.budget.weighed.1 / 2);
        }
    }

    /// Whether the cache is full of rows that the store does not have yet: nothing may be added until it has.
    pub(super) fn is_full(&self) -> bool {
        let waits = !(self.flush.unstored.is_empty() && self.flush.storing.is_empty());
        waits && !S::PINNED && !self.flush.failed && self.cached() > self.limit()
    }

    pub(super) fn hash<Q: Hash + ?Sized>(&self, end: i64, key: &Q) -> u64 {
        let mut hasher = self.slots.hasher.build_hasher();
        if S::ALIGNED {
            hasher.write_i64(end);
        }
        key.hash(&mut hasher);
        spread(hasher.finish() as u32)
    }

    pub(super) fn probe<Q>(&self, hash: u64, end: i64, key: &Q) -> Option<u32>
    where
        S::Key: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let slots = &self.slots;
        self.slots
            .index
            .find(hash, |&at| {
                let slot = &slots[at as usize];
                slot.end == end && slot.key.borrow() == key
            })
            .copied()
    }

    pub(super) fn insert(
        &mut self,
        hash: u64,
        end: i64,
        key: S::Key,
        value: Value<S::Row>,
        below: OnDisk,
    ) -> u32 {
        let slot = Entry {
            key,
            end,
            value,
            journaled: false,
            dirty: false,
            touched: true,
            live: true,
            listed: false,
            below,
            changed: NO_TIME,
            uses: 0,
            hash: hash as u32,
            commit: 0,
        };
        let at = match self.slots.free.pop() {
            Some(at) => {
                let uses = self.slots[at as usize].uses.wrapping_add(1);
                self.slots[at as usize] = Entry { uses, ..slot };
                at
            }
            None => {
                self.slots.list.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        let Entries { list, index, .. } = &mut self.slots;
        index.insert_unique(hash, at, |&at| spread(list[at as usize].hash));
        at
    }

    /// Puts a row's slot among the open windows and lets the clock know when the first is due.
    pub(super) fn open_window(&mut self, end: i64, at: u32) {
        if S::ALIGNED {
            self.windows.open.entry(end).or_default().push(at);
            self.clock.due_at(end.saturating_add(S::DESCRIPTOR.grace));
        }
    }

    pub(super) fn forget(&mut self, at: u32) {
        let slot = &mut self.slots[at as usize];
        slot.live = false;
        slot.value = Value::Absent;
        slot.below = OnDisk::Nothing;
        let hash = spread(slot.hash);
        if let Ok(entry) = self.slots.index.find_entry(hash, |&x| x == at) {
            entry.remove();
        }
        self.slots.free.push(at);
    }

    /// What the layers below hold of a cached row.
    pub(super) fn below(&self, end: i64, key: &S::Key) -> Option<&OnDisk> {
        let at = self.probe(self.hash(end, key), end, key)?;
        Some(&self.slots[at as usize].below)
    }

    /// Whether a row that is not cached may be in the store.
    pub(super) fn may_be_on_disk(&self, end: i64) -> bool {
        let retained = S::DESCRIPTOR.retention > 0
            && self.windows.retained_on_disk
            && self.windows.retained.contains_key(&end);
        self.is_open_on_disk(end) || retained
    }

    /// Whether a window that has not closed may have rows in the store that are not cached.
    pub(super) fn is_open_on_disk(&self, end: i64) -> bool {
        self.windows.disk.0 <= end && end <= self.windows.disk.1
    }

    /// The slot of a row, read from the store if need be; `None` when there is none.
    pub(super) fn find<Q>(&mut self, end: i64, key: &Q) -> Result<Option<u32>, Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let hash = self.hash(end, key);
        let found = match self.probe(hash, end, key) {
            Some(at) => {
                self.load(at)?;
                Some(at)
            }
            None if self.may_be_on_disk(end) => self.read_disk(hash, end, key.to_owned())?,
            None => None,
        };
        Ok(found.filter(|&at| !self.is_over(at)))
    }

    fn read_disk(&mut self, hash: u64, end: i64, key: S::Key) -> Result<Option<u32>, Error> {
        let Some(tree) = &self.tree else {
            return Ok(None);
        };
        self.scratch.clear();
        layout::push(S::ALIGNED, end, &key, &mut self.scratch);
        let Some(bytes) = tree.get(&self.scratch).map_err(Error::from)? else {
            return Ok(None);
        };
        self.weigh(1, self.scratch.len() + bytes.len());
        let at = self.insert(hash, end, key, Value::Unloaded, OnDisk::Stored);
        self.read_in(at, &bytes)?;
        if S::ALIGNED {
            self.list_window(end, at);
        }
        Ok(Some(at))
    }

    /// Gives a slot the row that the store has of it.
    pub(super) fn read_in(&mut self, at: u32, bytes: &[u8]) -> Result<(), Error> {
        match Self::decode(&self.slots[at as usize].key, bytes) {
            Ok((value, changed)) => {
                let slot = &mut self.slots[at as usize];
                (slot.value, slot.changed) = (Value::Here(value), changed);
                Ok(())
            }
            Err(problem) => self.set_aside(at, bytes, problem),
        }
    }

    /// Files a row read from disk under its window, closed or open.
    fn list_window(&mut self, end: i64, at: u32) {
        if S::DESCRIPTOR.retention > 0 && !self.is_open_on_disk(end) {
            self.windows.retained.entry(end).or_default().push(at);
        } else {
            self.open_window(end, at);
        }
    }

    /// The slot of a row for writing; made when there is none.
    pub(super) fn find_or_make<Q>(&mut self, end: i64, key: &Q) -> Result<u32, Error>
    where
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let hash = self.hash(end, key);
        if let Some(at) = self.probe(hash, end, key) {
            self.load(at)?;
            if S::ALIGNED && matches!(self.slots[at as usize].value, Value::Absent) {
                // It was removed. What recovery has read of it is in no list.
                self.open_window(end, at);
            }
            return Ok(at);
        }
        let key = key.to_owned();
        if self.may_be_on_disk(end)
            && let Some(at) = self.read_disk(hash, end, key.clone())?
        {
            return Ok(at);
        }
        self.check_place(&key);
        let at = self.insert(hash, end, key, Value::Absent, OnDisk::Nothing);
        self.open_window(end, at);
        Ok(at)
    }

    /// A new row lives where the event lives that makes it. When its key belongs elsewhere, other partitions may have a
    /// row of the same key: said once, then counted.
    fn check_place(&mut self, key: &S::Key) {
        let (partition, partitions) = self.clock.place.get();
        if S::DESCRIPTOR.local || partitions < 2 {
            return;
        }
        self.scratch.clear();
        key.encode(&mut self.scratch);
        let home = partition_of(&self.scratch, partitions);
        if home == partition {
            return;
        }
        self.clock.misplaced.set(self.clock.misplaced.get() + 1);
        if std::mem::replace(&mut self.places.said_misplaced, true) {
            return;
        }
        let cure = match key.is_absent() {
            true => {
                "records without a key lie in any partition, so that a row for them is in each: `group_by` brings them together, or \
                 declare the table `local` if one row per partition is meant"
            }
            false => {
                "a row lies in another partition than its key: rows of one key may be in several; key the topic by it, give its \
                 producer partitioner=murmur2_random, or declare the table `local` if one row per partition is meant"
            }
        };
        tracing::warn!(
            table = S::DESCRIPTOR.name,
            key = %key.show(),
            partition,
            belongs_to = home,
            "{cure}"
        );
    }

    /// The slot of a layout key read from store or changelog, its value left where it is.
    pub(super) fn place(&mut self, end: i64, key: S::Key) -> u32 {
        let hash = self.hash(end, &key);
        match self.probe(hash, end, &key) {
            Some(at) => at,
            None => self.insert(hash, end, key, Value::Unloaded, OnDisk::Stored),
        }
    }

    /// Notes the row's value before the current event changes it, and that it needs a commit.
    pub(super) fn journal(&mut self, at: u32) {
        let over = self.is_over(at);
        let slot = &mut self.slots[at as usize];
        if !slot.journaled {
            slot.journaled = true;
            self.undo.push(UndoRecord {
                slot: at,
                old: slot.value.as_ref().cloned(),
                changed: slot.changed,
                was_dirty: slot.dirty,
            });
        }
        if over {
            slot.value = Value::Absent;
        }
        if !(S::ONE_VARIANT && self.readback.has_settled()) {
            self.clock.unproven.set(true);
        }
        self.note_change(at);
        self.touch(at);
    }

    /// The current event is acknowledged: its journal is dropped.
    pub(super) fn settle(&mut self) {
        for undo in self.undo.drain(..) {
            self.slots[undo.slot as usize].journaled = false;
        }
    }

    /// Marks a row as changed since the last commit.
    pub(super) fn touch(&mut self, at: u32) {
        let slot = &mut self.slots[at as usize];
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(at);
            self.clock.dirty.set(self.clock.dirty.get() + 1);
        }
    }

    /// The current event is undone. `seen` gets each row's slot, its key, what the event made of it and what it was
    /// before.
    pub(super) fn rollback(
        &mut self,
        mut seen: impl FnMut(u32, &S::Key, Option<&S::Row>, Option<&S::Row>),
    ) {
        while let Some(undo) = self.undo.pop() {
            let slot = &mut self.slots[undo.slot as usize];
            seen(undo.slot, &slot.key, slot.value.as_ref(), undo.old.as_ref());
            slot.value = undo.old.map_or(Value::Absent, Value::Here);
            slot.changed = undo.changed;
            slot.journaled = false;
            if slot.dirty && !undo.was_dirty {
                slot.dirty = false;
                self.clock
                    .dirty
                    .set(self.clock.dirty.get().saturating_sub(1));
            }
        }
    }

    /// Rows that the cache has to hold: with `PINNED`, those whose values are here.
    fn held(&self) -> usize {
        if S::PINNED {
            let here = |slot: &&Entry<_, _>| matches!(slot.value, Value::Here(_));
            self.slots.iter().filter(here).count()
        } else {
            self.cached()
        }
    }

    /// Makes room after a commit, when rows were read from the store meanwhile. Returns whether it looked for some.
    pub(super) fn trim(&mut self) -> bool {
        let limit = self.limit();
        if S::PINNED || self.budget.swept_in_vain || self.cached() <= limit + limit / 8 {
            return false;
        }
        self.sweep();
        true
    }

    /// Makes room: forgets rows that the store has and nobody touched since the last sweep, then any that the store
    /// has.
    pub(super) fn sweep(&mut self) {
        let limit = self.limit();
        self.budget.swept_in_vain = false;
        if self.cached() <= limit {
            return;
        }
        let mut held = self.held();
        for spare_touched in [true, false] {
            let target = limit - limit / 4;
            for at in 0..self.slots.len() as u32 {
                if held <= target {
                    break;
                }
                let slot = &mut self.slots[at as usize];
                if !slot.evictable() || slot.journaled || self.hand == Some(at) {
                    continue;
                }
                if spare_touched && slot.touched {
                    slot.touched = false;
                    continue;
                }
                let stored = matches!(slot.below, OnDisk::Stored);
                if S::PINNED && stored {
                    if matches!(slot.value, Value::Here(_)) {
                        slot.value = Value::Unloaded;
                        held -= 1;
                    }
                    continue;
                }
                if stored {
                    self.windows.disk = (
                        self.windows.disk.0.min(slot.end),
                        self.windows.disk.1.max(slot.end),
                    );
                    self.windows.retained_on_disk |= S::DESCRIPTOR.retention > 0;
                }
                self.forget(at);
                if !S::PINNED {
                    held -= 1;
                }
            }
            if held <= limit {
                break;
            }
        }
        self.budget.swept_in_vain = held > limit;
        let slots = &self.slots;
        for (end, list) in self
            .windows
            .open
            .iter_mut()
            .chain(self.windows.retained.iter_mut())
        {
            list.retain(|&at| slots[at as usize].live && slots[at as usize].end == *end);
        }
        self.windows.open.retain(|_, list| !list.is_empty());
    }
}
