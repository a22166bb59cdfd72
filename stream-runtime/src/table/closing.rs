//! Rows whose window is over, dispatched in the order of `(end, key)`, and the cursor behind them.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::entry::{OnDisk, Value};
use super::layout;
use super::row::RowSpec;
use super::row_cache::{NO_DISK, RowCache};
use super::window_end;
use crate::error::Error;
use crate::store::Tree;

/// Rows read from the store at a time.
const CHUNK: usize = 4096;
/// Bytes of rows read from the store at a time, about.
const CHUNK_BYTES: usize = 1 << 20;

/// A cached row: its slot, and which of the rows that one after the other have been in that slot.
#[derive(Clone, Copy)]
struct Cached {
    slot: u32,
    uses: u16,
}

/// The closing of one partition's windows.
///
/// The rows of the window that is being closed come from the cache and from the store. Those in the cache are sorted
/// once; the store's come in order, a chunk at a time, and are merged with them.
pub(super) struct Closing<S: RowSpec> {
    /// The window that is being closed.
    end: i64,
    /// Its next rows in the cache, in order.
    queue: VecDeque<Cached>,
    /// Number of rows that were listed under the window when the queue was compared with them; `None`: it has to be.
    listed: Option<usize>,
    chunk: Chunk<S::Key>,
    active: bool,
    /// The last row that closed: end and key.
    pub(super) cursor: Option<(i64, S::Key)>,
    /// The same as of the last commit.
    pub(super) committed: Option<(i64, S::Key)>,
    /// Whether `cursor` moved since the last commit.
    pub(super) moved: bool,
}

/// The window's next rows in the store, keys and values in order, as of the last scan.
struct Chunk<K> {
    rows: VecDeque<(K, Vec<u8>)>,
    /// The last key that was scanned; `None`: the scan begins behind the cursor.
    after: Option<K>,
    /// Set when the store has no more rows of the window.
    whole: bool,
}

impl<K> Default for Chunk<K> {
    fn default() -> Self {
        Chunk {
            rows: VecDeque::new(),
            after: None,
            whole: false,
        }
    }
}

impl<S: RowSpec> Default for Closing<S> {
    fn default() -> Self {
        Closing {
            end: 0,
            queue: VecDeque::new(),
            listed: None,
            chunk: Chunk::default(),
            active: false,
            cursor: None,
            committed: None,
            moved: false,
        }
    }
}

impl<S: RowSpec> Closing<S> {
    /// Forgets where it is; it begins again behind the cursor.
    pub(super) fn restart(&mut self) {
        self.queue.clear();
        self.reread();
        self.active = false;
    }

    /// Forgets what was read: the store has other rows now, and the cache may have let some go.
    pub(super) fn reread(&mut self) {
        self.listed = None;
        self.chunk = Chunk::default();
    }

    /// End of the first open window.
    pub(super) fn first_open(&self, rows: &RowCache<S>) -> Option<i64> {
        let cached = rows.windows.open.first_key_value().map(|(end, _)| *end);
        let disk = (rows.windows.disk.0 <= rows.windows.disk.1 && S::ALIGNED)
            .then_some(rows.windows.disk.0);
        let active = self.active.then_some(self.end);
        [cached, disk, active].into_iter().flatten().min()
    }

    /// The slot of the next row to close: the first row of the first open window when that is over at `stream_time`.
    /// Rows at or before the cursor, left over by a crash, are dropped on the way.
    pub(super) fn head(
        &mut self,
        rows: &mut RowCache<S>,
        stream_time: i64,
    ) -> Result<Option<u32>, Error> {
        loop {
            if !self.active {
                let Some(end) = self.first_open(rows) else {
                    return Ok(None);
                };
                if end.saturating_add(S::DESCRIPTOR.grace) > stream_time {
                    return Ok(None);
                }
                self.restart();
                self.end = end;
                self.active = true;
            }
            self.fill(rows)?;
            let Some(&Cached { slot: at, .. }) = self.queue.front() else {
                self.finish_window(rows)?;
                continue;
            };
            rows.load(at)?;
            let slot = &rows.slots[at as usize];
            let is_here = matches!(slot.value, Value::Here(_));
            let passed = !self.is_behind_cursor(&slot.key);
            if is_here && !passed {
                return Ok(Some(at));
            }
            if is_here {
                self.drop_or_keep(rows, at);
            }
            self.queue.pop_front();
        }
    }

    /// The row in flight is closed: the cursor moves over it. It need not be at the head of the queue any more.
    pub(super) fn close_head(&mut self, rows: &mut RowCache<S>) {
        let Some(at) = rows.hand.take() else {
            return;
        };
        if self.queue.front().is_some_and(|row| row.slot == at) {
            self.queue.pop_front();
        }
        let slot = &rows.slots[at as usize];
        self.cursor = Some((slot.end, slot.key.clone()));
        self.moved = true;
        self.drop_or_keep(rows, at);
    }

    fn drop_or_keep(&mut self, rows: &mut RowCache<S>, at: u32) {
        if S::DESCRIPTOR.retention > 0 {
            let end = rows.slots[at as usize].end;
            rows.windows.retained.entry(end).or_default().push(at);
        } else {
            rows.slots[at as usize].value = Value::Absent;
            rows.touch(at);
        }
    }

    /// Returns whether a key of the window comes after the last row that closed.
    fn is_behind_cursor(&self, key: &S::Key) -> bool {
        let cursor = self.cursor.as_ref();
        cursor.is_none_or(|(end, closed)| (self.end, key) > (*end, closed))
    }

    /// Makes the window's next row the first in the queue, wherever it is; the queue is empty when none is left.
    fn fill(&mut self, rows: &mut RowCache<S>) -> Result<(), Error> {
        let listed = rows.windows.open.get(&self.end).map_or(0, Vec::len);
        match self.listed {
            Some(known) if known == listed => {}
            Some(known) if known < listed => self.insert(rows, known),
            _ => self.compare(rows),
        }
        self.listed = Some(listed);
        while self.queue.front().is_some_and(|row| !is_there(rows, *row)) {
            self.queue.pop_front();
        }
        if self.chunk.rows.is_empty() && !self.chunk.whole {
            self.scan(rows)?;
        }
        while let Some((key, _)) = self.chunk.rows.front() {
            let first = self.queue.front();
            match first.map(|row| rows.slots[row.slot as usize].key.cmp(key)) {
                Some(Ordering::Less) => break,
                // The cached row is as new, or newer.
                Some(Ordering::Equal) => drop(self.chunk.rows.pop_front()),
                Some(Ordering::Greater) | None => {
                    if let Some((key, bytes)) = self.chunk.rows.pop_front() {
                        let row = self.take_in(rows, key, &bytes)?;
                        self.queue.push_front(row);
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Caches a row that was read from the store.
    fn take_in(
        &mut self,
        rows: &mut RowCache<S>,
        key: S::Key,
        bytes: &[u8],
    ) -> Result<Cached, Error> {
        let known = rows.cached();
        let at = rows.place(self.end, key);
        // Rows in the queue are listed under their window.
        rows.windows.open.entry(self.end).or_default().push(at);
        self.listed = self.listed.map(|listed| listed + 1);
        if rows.cached() > known {
            rows.read_in(at, bytes)?;
        }
        Ok(cached(rows, at))
    }

    /// Returns whether the row in a slot is one of the window that has not closed.
    fn is_left(&self, rows: &RowCache<S>, at: u32) -> bool {
        let slot = &rows.slots[at as usize];
        let is_of_window = slot.live && slot.end == self.end;
        let is_here = is_of_window && !matches!(slot.value, Value::Absent);
        // Of rows that are kept those that have closed are here too.
        is_here && (S::DESCRIPTOR.retention == 0 || self.is_behind_cursor(&slot.key))
    }

    /// Compares the queue with the cached rows of the window. As long as none has come, only those go out that went.
    fn compare(&mut self, rows: &RowCache<S>) {
        let listed = rows.windows.open.get(&self.end).into_iter().flatten();
        let listed = listed.copied().filter(|&at| self.is_left(rows, at));
        let mut left: Vec<u32> = listed.collect();
        let mut queue = std::mem::take(&mut self.queue);
        queue.retain(|row| is_there(rows, *row) && self.is_left(rows, row.slot));
        // Rows in the queue are listed under their window, so equal numbers are the same rows.
        if queue.len() != left.len() {
            let key = |at: u32| &rows.slots[at as usize].key;
            left.sort_unstable_by(|&a, &b| key(a).cmp(key(b)));
            left.dedup();
            queue = left.into_iter().map(|at| cached(rows, at)).collect();
        }
        self.queue = queue;
    }

    /// Puts rows into the queue that were listed under the window since: those from `known` on.
    fn insert(&mut self, rows: &RowCache<S>, known: usize) {
        let is_on_disk = rows.is_open_on_disk(self.end);
        let listed = rows.windows.open.get(&self.end).into_iter().flatten();
        let new = listed.copied().skip(known).filter(|&at| {
            // A row that was looked up in the store comes with the next scans.
            let comes = is_on_disk && matches!(rows.slots[at as usize].below, OnDisk::Stored);
            !comes && self.is_left(rows, at)
        });
        let new: Vec<u32> = new.collect();
        if new.is_empty() {
            return;
        }
        self.queue.retain(|row| is_there(rows, *row));
        for at in new {
            let key = &rows.slots[at as usize].key;
            let place = |row: &Cached| rows.slots[row.slot as usize].key.cmp(key);
            if let Err(place) = self.queue.binary_search_by(place) {
                self.queue.insert(place, cached(rows, at));
            }
        }
    }

    /// Reads the window's next rows from the store.
    fn scan(&mut self, rows: &mut RowCache<S>) -> Result<(), Error> {
        let end = self.end;
        let Some(tree) = rows.tree.clone().filter(|_| rows.is_open_on_disk(end)) else {
            self.chunk.whole = true;
            return Ok(());
        };
        let (mut from, mut to) = (Vec::new(), Vec::new());
        let cursor = self.cursor.as_ref().filter(|(closed, _)| *closed == end);
        match self.chunk.after.as_ref().or(cursor.map(|(_, key)| key)) {
            Some(key) => {
                layout::push(true, end, key, &mut from);
                from.push(0);
            }
            None => layout::push_end(end, &mut from),
        }
        layout::push_end(end.saturating_add(1), &mut to);
        let mut bytes = 0;
        let mut found = tree.scan(&from, Some(&to));
        while self.chunk.rows.len() < CHUNK && bytes < CHUNK_BYTES {
            let Some(row) = found.next() else {
                self.chunk.whole = true;
                break;
            };
            let (layout_key, value) = row?;
            bytes += layout_key.len() + value.len();
            let (_, key) = layout::parse::<S::Key>(true, &layout_key, S::DESCRIPTOR.name)?;
            self.chunk.rows.push_back((key, value));
        }
        rows.weigh(self.chunk.rows.len(), bytes);
        self.chunk.after = self.chunk.rows.back().map(|(key, _)| key.clone());
        Ok(())
    }

    /// All rows of the window are closed.
    fn finish_window(&mut self, rows: &mut RowCache<S>) -> Result<(), Error> {
        self.active = false;
        rows.windows.open.remove(&self.end);
        if rows.windows.disk.0 <= self.end && rows.windows.disk.0 <= rows.windows.disk.1 {
            rows.windows.disk = match self.end.checked_add(1) {
                Some(after) => first_disk(rows, Some(after))?,
                None => NO_DISK,
            };
        }
        Ok(())
    }
}

/// A row that is in the cache now.
fn cached<S: RowSpec>(rows: &RowCache<S>, slot: u32) -> Cached {
    Cached {
        slot,
        uses: rows.slots[slot as usize].uses,
    }
}

/// Returns whether the slot still has that row.
fn is_there<S: RowSpec>(rows: &RowCache<S>, row: Cached) -> bool {
    let slot = &rows.slots[row.slot as usize];
    slot.live && slot.uses == row.uses
}

/// The span of window ends that the store holds from `from` on; plain tables: everything or nothing.
pub(super) fn first_disk<S: RowSpec>(
    rows: &RowCache<S>,
    from: Option<i64>,
) -> Result<(i64, i64), Error> {
    let Some(tree) = &rows.tree else {
        return Ok(NO_DISK);
    };
    if !S::ALIGNED {
        return Ok(if tree.is_empty().map_err(Error::from)? {
            NO_DISK
        } else {
            (0, 0)
        });
    }
    let mut start = Vec::new();
    if let Some(from) = from {
        layout::push_end(from, &mut start);
    }
    match tree.scan(&start, None).next() {
        Some(first) => {
            let (key, _) = first.map_err(Error::from)?;
            let first = window_end::end_in::<S>(&key)?;
            let last = match rows.windows.disk.1 {
                i64::MIN => last_disk::<S>(&**tree, first)?,
                last => last,
            };
            Ok(if first <= last {
                (first, last)
            } else {
                NO_DISK
            })
        }
        None => Ok(NO_DISK),
    }
}

/// The last window end in the store, found by stepping from end to end: as many looks as there are open windows.
fn last_disk<S: RowSpec>(tree: &dyn Tree, first: i64) -> Result<i64, Error> {
    let (mut last, mut start) = (first, Vec::new());
    loop {
        let Some(after) = last.checked_add(1) else {
            return Ok(last);
        };
        start.clear();
        layout::push_end(after, &mut start);
        match tree.scan(&start, None).next() {
            Some(row) => last = window_end::end_in::<S>(&row.map_err(Error::from)?.0)?,
            None => return Ok(last),
        }
    }
}

/// Stream time at which the first retained window's rows go.
pub(super) fn expires_at<S: RowSpec>(rows: &RowCache<S>) -> i64 {
    match rows.windows.retained.first_key_value() {
        Some((end, _)) => end.saturating_add(S::DESCRIPTOR.retention),
        None => i64::MAX,
    }
}

/// Drops rows of closed windows whose retention is over; about a chunk at a time.
pub(super) fn expire<S: RowSpec>(rows: &mut RowCache<S>, stream_time: i64) -> Result<(), Error> {
    let mut dropped = 0;
    while expires_at(rows) <= stream_time && dropped < CHUNK {
        let Some((end, mut list)) = rows.windows.retained.pop_first() else {
            break;
        };
        if rows.windows.retained_on_disk {
            for key in keys_on_disk(rows, end)? {
                list.push(rows.place(end, key));
            }
        }
        for at in list {
            let slot = &mut rows.slots[at as usize];
            if slot.live && slot.end == end && !matches!(slot.value, Value::Absent) {
                slot.value = Value::Absent;
                rows.touch(at);
                dropped += 1;
            }
        }
    }
    Ok(())
}

/// Keys of a window's rows in the store.
fn keys_on_disk<S: RowSpec>(rows: &RowCache<S>, end: i64) -> Result<Vec<S::Key>, Error> {
    let (mut from, mut to) = (Vec::new(), Vec::new());
    layout::push_end(end, &mut from);
    layout::push_end(end.saturating_add(1), &mut to);
    let Some(tree) = &rows.tree else {
        return Ok(Vec::new());
    };
    tree.scan(&from, Some(&to))
        .map(|row| Ok(layout::parse::<S::Key>(true, &row?.0, S::DESCRIPTOR.name)?.1))
        .collect()
}

/// Notes the closed windows that the store still has rows of, so that they expire.
pub(super) fn note_retained<S: RowSpec>(
    rows: &mut RowCache<S>,
    cursor: Option<&(i64, S::Key)>,
) -> Result<(), Error> {
    let (Some((last, _)), Some(tree)) = (cursor, rows.tree.clone()) else {
        return Ok(());
    };
    let mut from = Vec::new();
    // One look per window: from the first row of a window straight to the next window.
    while let Some(row) = tree.scan(&from, None).next() {
        let end = window_end::end_in::<S>(&row?.0)?;
        if end > *last {
            break;
        }
        rows.windows.retained.entry(end).or_default();
        rows.windows.retained_on_disk = true;
        let Some(after) = end.checked_add(1) else {
            break;
        };
        from.clear();
        layout::push_end(after, &mut from);
    }
    Ok(())
}

/// Files every cached row by the cursor: closed rows under `retained`, the others under `windows`.
pub(super) fn refile<S: RowSpec>(rows: &mut RowCache<S>, closing: &Closing<S>) {
    let closed = |end: i64, key: &S::Key| {
        let cursor = closing.committed.as_ref();
        cursor.is_some_and(|(e, k)| (end, key) <= (*e, k))
    };
    let last_closed = closing.committed.as_ref().map(|(end, _)| *end);
    let mut all: Vec<(i64, u32)> = Vec::new();
    for (end, list) in std::mem::take(&mut rows.windows.open) {
        all.extend(list.into_iter().map(|at| (end, at)));
    }
    for (end, list) in std::mem::take(&mut rows.windows.retained) {
        all.extend(list.into_iter().map(|at| (end, at)));
        if rows.windows.retained_on_disk && Some(end) <= last_closed {
            rows.windows.retained.insert(end, Vec::new());
        }
    }
    all.sort_unstable();
    all.dedup();
    for (end, at) in all {
        let slot = &rows.slots[at as usize];
        if !slot.live || slot.end != end {
            continue;
        }
        if closed(end, &slot.key) {
            rows.windows.retained.entry(end).or_default().push(at);
        } else {
            rows.open_window(end, at);
        }
    }
}

/// Ends of the windows that may have rows, in order.
pub(super) fn ends<S: RowSpec>(rows: &RowCache<S>) -> Result<Vec<i64>, Error> {
    let mut ends: Vec<i64> = rows
        .windows
        .open
        .keys()
        .chain(rows.windows.retained.keys())
        .copied()
        .collect();
    if let Some(tree) = &rows.tree
        && rows.windows.disk.0 <= rows.windows.disk.1
    {
        // One look per window: from the first row of a window straight to the next window.
        let mut from = Vec::new();
        layout::push_end(rows.windows.disk.0, &mut from);
        while let Some(row) = tree.scan(&from, None).next() {
            let end = window_end::end_in::<S>(&row?.0)?;
            if end > rows.windows.disk.1 {
                break;
            }
            ends.push(end);
            let Some(after) = end.checked_add(1) else {
                break;
            };
            from.clear();
            layout::push_end(after, &mut from);
        }
    }
    ends.sort_unstable();
    ends.dedup();
    Ok(ends)
}
