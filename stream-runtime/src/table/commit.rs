//! What a commit takes from a table's partition, and what happens to it afterwards.

use std::cell::RefCell;

use super::aside::Aside;
use super::check;
use super::clock::NO_TIME;
use super::entry::{OnDisk, RowBatch, RowRef, Value};
use super::layout;
use super::mark::ROW_TAG;
use super::open_table::RowLimit;
use super::page::{Chunk, Scan};
use super::row::{self, RowSpec};
use super::row_cache::RowCache;
use super::rows::Rows;
use super::window_end;
use crate::error::Error;
use crate::key::StreamKey;
use crate::store::RowWrite;

/// At most 60 characters of a key, for messages.
fn preview<K: StreamKey>(key: &K) -> String {
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    let text: String = String::from_utf8_lossy(&bytes).chars().take(60).collect();
    format!("{text:?}")
}

impl<S: RowSpec> RowCache<S> {
    /// Serializes the rows changed since the last commit into the batch. A row that the current event has touched
    /// goes in as it was before that event. The caller has set the clock's count of dirty rows to zero.
    pub(super) fn prepare(&mut self) -> Result<(), Error> {
        self.take_back();
        let mut keep = Vec::new();
        for i in 0..self.dirty.len() {
            let at = self.dirty[i];
            if !self.slots[at as usize].dirty {
                continue;
            }
            // Only a row that the current event has journaled is in the undo list.
            let touched = self.slots[at as usize].journaled;
            let undo = self.undo.iter().find(|u| touched && u.slot == at);
            let in_flight = undo.is_some();
            if undo.is_some_and(|u| !u.was_dirty) {
                keep.push(at);
                continue;
            }
            let old = undo.map(|u| (u.old.as_ref(), u.changed));
            let slot = &mut self.slots[at as usize];
            slot.dirty = in_flight;
            if in_flight {
                keep.push(at);
            }
            let (value, changed) = old.unwrap_or_else(|| (slot.value.as_ref(), slot.changed));
            if value.is_none() && matches!(slot.below, OnDisk::Nothing) {
                // Made and closed within one commit: nobody below ever heard of it.
                if !in_flight {
                    self.forget(at);
                }
                continue;
            }
            let key = self.batch.arena.len();
            self.batch.arena.push(ROW_TAG);
            layout::push(S::ALIGNED, slot.end, &slot.key, &mut self.batch.arena);
            let mid = self.batch.arena.len();
            if let Some(value) = value {
                let changed = S::TTL.is_some().then_some(changed);
                Self::write(&slot.key, value, changed, &mut self.batch.arena)?;
                let size = self.batch.arena.len() - key;
                Self::fits(&slot.key, size, &self.changelog.row_limit)?;
                if self.readback.thorough {
                    let (_, bytes) = row::split(&self.batch.arena[mid..]);
                    check::comes_back::<S>(&slot.key, value, bytes, &mut self.scratch)?;
                }
            }
            let end = self.batch.arena.len();
            let value = value.map(|_| (mid as u32, end as u32));
            self.batch.rows.push(RowRef {
                slot: at,
                key: (key as u32, mid as u32),
                value,
            });
        }
        self.dirty.clear();
        self.dirty.extend(keep);
        self.clock
            .dirty
            .set(self.clock.dirty.get() + self.dirty.len());
        // A row in flight that was dirty before is clean as of this commit, whatever becomes of the event.
        for undo in &mut self.undo {
            undo.was_dirty = false;
        }
        Ok(())
    }

    /// Writes a row as the changelog has it.
    fn write(
        key: &S::Key,
        value: &S::Row,
        changed: Option<i64>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        row::encode(value, changed, out).map_err(|e| {
            Error::table(format!(
                "table `{}`: the row of key {} cannot be written as {}: {e}",
                S::DESCRIPTOR.name,
                preview(key),
                S::DESCRIPTOR.value
            ))
        })
    }

    /// A row of so many bytes, its key included, must fit into a message of the changelog.
    fn fits(key: &S::Key, size: usize, limit: &RowLimit) -> Result<(), Error> {
        if size <= limit.bytes {
            return Ok(());
        }
        Err(Error::table(format!(
            "table `{}`: the row of key {} is {size} bytes and its changelog takes {}, by {}: keep less in one row, or raise that",
            S::DESCRIPTOR.name,
            preview(key),
            limit.bytes,
            limit.setting
        )))
    }

    /// Looks whether the rows that the current event has changed can be written.
    pub(super) fn check_hand(&self) -> Result<(), Error> {
        let mut bytes = Vec::new();
        for undo in &self.undo {
            let slot = &self.slots[undo.slot as usize];
            let Some(value) = slot.value.as_ref() else {
                continue;
            };
            bytes.clear();
            bytes.push(ROW_TAG);
            layout::push(S::ALIGNED, slot.end, &slot.key, &mut bytes);
            let changed = S::TTL.is_some().then_some(slot.changed);
            Self::write(&slot.key, value, changed, &mut bytes)?;
            Self::fits(&slot.key, bytes.len(), &self.changelog.row_limit)?;
        }
        Ok(())
    }

    /// A batch that was prepared and neither committed nor aborted: its rows are changes still.
    fn take_back(&mut self) {
        for row in std::mem::take(&mut self.batch.rows) {
            if let Some(undo) = self.undo.iter_mut().find(|u| u.slot == row.slot) {
                undo.was_dirty = true;
            }
            let slot = &mut self.slots[row.slot as usize];
            slot.dirty = true;
            self.dirty.push(row.slot);
        }
        self.batch.clear();
    }

    /// The batch is durable in the changelog.
    pub(super) fn committed(&mut self) {
        self.flush.commits += 1;
        self.weigh(self.batch.rows.len(), self.batch.arena.len());
        let kept_in_memory = self.tree.is_none();
        let mut gone = Vec::new();
        for row in &self.batch.rows {
            let slot = &mut self.slots[row.slot as usize];
            let bytes = row
                .value
                .map(|v| &self.batch.arena[v.0 as usize..v.1 as usize]);
            if kept_in_memory && bytes.is_none() {
                slot.below = OnDisk::Nothing;
                if !slot.dirty && !matches!(slot.value, Value::Here(_)) {
                    gone.push(row.slot);
                }
                continue;
            }
            match (&mut slot.below, bytes) {
                (OnDisk::Unstored(Some(old)), Some(new)) if old.len() == new.len() => {
                    old.copy_from_slice(new)
                }
                (below, new) => *below = OnDisk::Unstored(new.map(Box::from)),
            }
            slot.commit = self.flush.commits as u32;
            if !slot.listed && !kept_in_memory {
                slot.listed = true;
                self.flush.unstored.push(row.slot);
            }
        }
        self.batch.clear();
        for at in gone {
            self.forget(at);
        }
    }

    /// Slots of the rows changed since the last commit.
    pub(super) fn changed(&self) -> Vec<u32> {
        let prepared = self.batch.rows.iter().map(|r| r.slot);
        let mut changed: Vec<u32> = prepared.chain(self.dirty.iter().copied()).collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// The batch is void: every row goes back to what the layers below hold.
    pub(super) fn aborted(&mut self) -> Result<(), Error> {
        let changed = self.changed();
        self.settle();
        self.hand = None;
        self.dirty.clear();
        self.batch.clear();
        self.aside.clear();
        for at in changed {
            let slot = &mut self.slots[at as usize];
            if !slot.live {
                continue;
            }
            slot.dirty = false;
            slot.value = match slot.below {
                OnDisk::Nothing => Value::Absent,
                _ => Value::Unloaded,
            };
            let end = slot.end;
            // A row that had closed is open again.
            if S::ALIGNED && !matches!(slot.below, OnDisk::Nothing) {
                self.open_window(end, at);
            }
        }
        Ok(())
    }

    /// Takes a round for the store, and the number of the commit that it is of; `None` while one is under way, without
    /// a store, or when no row changed unless `bare`.
    pub(super) fn take_round(&mut self, bare: bool) -> Option<(Vec<RowWrite>, u64)> {
        let nothing = self.flush.unstored.is_empty() && !bare;
        if !self.flush.storing.is_empty() || nothing || self.tree.is_none() {
            return None;
        }
        let round = self.flush.commits;
        Some((self.take_unstored(), round))
    }

    /// Rows that the store does not have yet, as of the last commit; remembered until [`RowCache::stored`].
    fn take_unstored(&mut self) -> Vec<RowWrite> {
        // What changes from here on is newer, during recovery too.
        self.flush.commits += 1;
        let mut out = Vec::with_capacity(self.flush.unstored.len());
        for at in self.flush.unstored.drain(..) {
            let slot = &mut self.slots[at as usize];
            let OnDisk::Unstored(bytes) = &slot.below else {
                slot.listed = false;
                continue;
            };
            let mut key = Vec::new();
            layout::push(S::ALIGNED, slot.end, &slot.key, &mut key);
            out.push((key.into_boxed_slice(), bytes.clone()));
            slot.listed = false;
            self.flush.storing.push(at);
        }
        out
    }

    /// A round that took the rows as of commit number `round` is durable.
    pub(super) fn stored(&mut self, round: u64) {
        self.flush.failed = false;
        for at in std::mem::take(&mut self.flush.storing) {
            let slot = &mut self.slots[at as usize];
            // The lower halves of numbers that are close to each other.
            let newer = slot.commit.wrapping_sub(round as u32).cast_signed() > 0;
            if !slot.live || newer {
                continue;
            }
            match &slot.below {
                OnDisk::Unstored(Some(_)) => slot.below = OnDisk::Stored,
                OnDisk::Unstored(None) => {
                    slot.below = OnDisk::Nothing;
                    if !slot.dirty && !matches!(slot.value, Value::Here(_)) && !slot.journaled {
                        self.forget(at);
                    }
                }
                _ => {}
            }
        }
        self.sweep();
    }

    /// A round failed: its rows wait for the next one.
    pub(super) fn not_stored(&mut self) {
        self.flush.failed = true;
        for at in std::mem::take(&mut self.flush.storing) {
            let slot = &mut self.slots[at as usize];
            if slot.live && matches!(slot.below, OnDisk::Unstored(_)) && !slot.listed {
                slot.listed = true;
                self.flush.unstored.push(at);
            }
        }
    }

    /// A row as of the last commit, from the layers below the handlers' view; `None` also when its `ttl` is over.
    pub(super) fn committed_row(&self, layout_key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let (end, key) = layout::parse::<S::Key>(S::ALIGNED, layout_key, S::DESCRIPTOR.name)?;
        let bytes = match self.below(end, &key) {
            Some(OnDisk::Nothing) => None,
            Some(OnDisk::Unstored(bytes)) => bytes.as_deref().map(<[u8]>::to_vec),
            None if !self.may_be_on_disk(end) => None,
            Some(OnDisk::Stored) | None => match &self.tree {
                Some(tree) => tree.get(layout_key).map_err(Error::from)?,
                None => None,
            },
        };
        Ok(bytes.and_then(|bytes| {
            let (changed, row) = row::split(&bytes);
            let over = changed.is_some_and(|changed| self.has_ended(changed));
            (!over).then(|| row.to_vec())
        }))
    }

    /// A row as the changelog has it, during recovery. `None` is a tombstone.
    pub(super) fn restore(&mut self, layout_key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        if S::ALIGNED {
            window_end::end_in::<S>(layout_key)?;
        }
        let (end, key) = layout::parse::<S::Key>(S::ALIGNED, layout_key, S::DESCRIPTOR.name)?;
        self.weigh(1, layout_key.len() + value.map_or(0, <[u8]>::len));
        let known = self.cached();
        let at = self.place(end, key);
        let fresh = self.cached() > known;
        let slot = &mut self.slots[at as usize];
        let unfiled = fresh || matches!(slot.below, OnDisk::Unstored(None) | OnDisk::Nothing);
        slot.value = Value::Unloaded;
        slot.below = OnDisk::Unstored(value.map(Box::from));
        slot.commit = self.flush.commits as u32;
        if !slot.listed {
            slot.listed = true;
            self.flush.unstored.push(at);
        }
        if unfiled && value.is_some() {
            self.open_window(end, at);
        }
        Ok(())
    }

    /// The largest `end + grace` among the open windows that is not above `wall`.
    pub(super) fn idle_target(&self, wall: i64) -> Option<i64> {
        let grace = S::DESCRIPTOR.grace;
        // Of windows whose rows were all removed nothing is left to close.
        let has_rows = |list: &Vec<u32>| {
            let row = |&at: &u32| {
                let slot = &self.slots[at as usize];
                slot.live && !matches!(slot.value, Value::Absent)
            };
            list.iter().any(row)
        };
        let over = self
            .windows
            .open
            .range(..=wall.saturating_sub(grace))
            .rfind(|(_, list)| has_rows(list))
            .map(|(end, _)| *end);
        // Between the first and the last end on disk others are unknown: never beyond one that is open.
        let disk = [self.windows.disk.1, self.windows.disk.0]
            .into_iter()
            .find(|end| {
                self.windows.disk.0 <= self.windows.disk.1 && end.saturating_add(grace) <= wall
            });
        over.max(disk)
            .map(|end| end.saturating_add(grace))
            .filter(|t| *t > NO_TIME)
    }
}

impl<S: RowSpec> Rows for RefCell<RowCache<S>> {
    fn restore(&self, layout_key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        self.borrow_mut().restore(layout_key, value)
    }

    fn check_hand(&self) -> Result<(), Error> {
        self.borrow().check_hand()
    }

    fn check(&self) -> Result<(), Error> {
        self.borrow_mut().check()
    }

    fn take_aside(&self) -> Vec<Aside> {
        std::mem::take(&mut self.borrow_mut().aside)
    }

    fn prepare(&self) -> Result<(), Error> {
        self.borrow_mut().prepare()
    }

    fn with_batch(&self, f: &mut dyn FnMut(&RowBatch)) {
        f(&self.borrow().batch);
    }

    fn take_round(&self, bare: bool) -> Option<(Vec<RowWrite>, u64)> {
        self.borrow_mut().take_round(bare)
    }

    fn unstored(&self) -> usize {
        self.borrow().flush.unstored.len()
    }

    fn is_full(&self) -> bool {
        self.borrow().is_full()
    }

    fn stored(&self, round: u64) {
        self.borrow_mut().stored(round);
    }

    fn not_stored(&self) {
        self.borrow_mut().not_stored();
    }

    fn committed_row(&self, layout_key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.borrow().committed_row(layout_key)
    }

    fn committed_rows(&self, scan: &Scan) -> Result<Chunk, Error> {
        self.borrow().committed_rows(scan)
    }

    fn cached(&self) -> usize {
        self.borrow().cached()
    }
}
