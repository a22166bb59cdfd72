//! Rows whose window is over, dispatched in the order of `(end, key)`, and the cursor behind them.

use std::collections::VecDeque;

use super::entry::Value;
use super::layout;
use super::row::RowSpec;
use super::row_cache::{NO_DISK, RowCache};
use super::window_end;
use crate::error::Error;
use crate::store::Tree;

/// Rows read from the store at a time.
const CHUNK: usize = 4096;

/// The closing of one partition's windows.
pub(super) struct Closing<S: RowSpec> {
    /// The window that is being closed.
    end: i64,
    /// Its next rows in order.
    queue: VecDeque<u32>,
    /// Whether the queue holds all that is left of the window.
    whole: bool,
    active: bool,
    /// The last row that closed: end and key.
    pub(super) cursor: Option<(i64, S::Key)>,
    /// The same as of the last commit.
    pub(super) committed: Option<(i64, S::Key)>,
    /// Whether `cursor` moved since the last commit.
    pub(super) moved: bool,
}

impl<S: RowSpec> Default for Closing<S> {
    fn default() -> Self {
        Closing {
            end: 0,
            queue: VecDeque::new(),
            whole: false,
            active: false,
            cursor: None,
            committed: None,
            moved: false,
        }
    }
}

impl<S: RowSpec> Closing<S> {
    /// Forgets the queue; it is gathered again behind the cursor.
    pub(super) fn restart(&mut self) {
        self.queue.clear();
        self.active = false;
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
                self.end = end;
                self.active = true;
                self.gather(rows)?;
            }
            while let Some(&at) = self.queue.front() {
                rows.load(at)?;
                let slot = &rows.slots[at as usize];
                let passed = self
                    .cursor
                    .as_ref()
                    .is_some_and(|(end, key)| (slot.end, &slot.key) <= (*end, key));
                if matches!(slot.value, Value::Here(_)) && !passed {
                    return Ok(Some(at));
                }
                if passed && matches!(slot.value, Value::Here(_)) {
                    self.drop_or_keep(rows, at);
                }
                self.queue.pop_front();
            }
            if self.whole {
                self.finish_window(rows)?;
            } else {
                self.gather(rows)?;
            }
        }
    }

    /// The row in flight is closed: the cursor moves over it. It need not be at the head of the queue any more, which a
    /// round of the store empties at any time.
    pub(super) fn close_head(&mut self, rows: &mut RowCache<S>) {
        let Some(at) = rows.hand.take() else {
            return;
        };
        if self.queue.front() == Some(&at) {
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

    /// Fills the queue with the next rows of the window, from cache and store.
    fn gather(&mut self, rows: &mut RowCache<S>) -> Result<(), Error> {
        let end = self.end;
        let mut upto = None;
        self.whole = true;
        if rows.windows.disk.0 <= end && end <= rows.windows.disk.1 {
            let (mut from, mut to) = (Vec::new(), Vec::new());
            match &self.cursor {
                Some((e, key)) if *e == end => {
                    layout::push(true, end, key, &mut from);
                    from.push(0);
                }
                _ => layout::push_end(end, &mut from),
            }
            layout::push_end(end.saturating_add(1), &mut to);
            let found: Vec<(Vec<u8>, Vec<u8>)> = match &rows.tree {
                Some(tree) => tree
                    .scan(&from, Some(&to))
                    .take(CHUNK)
                    .collect::<Result<_, _>>()
                    .map_err(Error::from)?,
                None => Vec::new(),
            };
            self.whole = found.len() < CHUNK;
            for (layout_key, _) in &found {
                let (_, key) = layout::parse::<S::Key>(true, layout_key, S::DESCRIPTOR.name)?;
                let known = rows.cached();
                let at = rows.place(end, key);
                if rows.cached() > known {
                    rows.windows.open.entry(end).or_default().push(at);
                }
            }
            if !self.whole {
                upto = found
                    .last()
                    .map(|(k, _)| layout::parse::<S::Key>(true, k, S::DESCRIPTOR.name))
                    .transpose()?
                    .map(|(_, k)| k);
            }
        }
        let slots = &rows.slots;
        let mut list: Vec<u32> = rows
            .windows
            .open
            .get(&end)
            .map(|list| {
                list.iter()
                    .copied()
                    .filter(|&at| slots[at as usize].live && slots[at as usize].end == end)
                    .collect()
            })
            .unwrap_or_default();
        if let Some((e, key)) = &self.cursor
            && *e == end
            && S::DESCRIPTOR.retention > 0
        {
            list.retain(|&at| slots[at as usize].key > *key);
        }
        if let Some(last) = &upto {
            list.retain(|&at| slots[at as usize].key <= *last);
        }
        list.sort_unstable_by(|&a, &b| slots[a as usize].key.cmp(&slots[b as usize].key));
        list.dedup();
        list.retain(|&at| !matches!(slots[at as usize].value, Value::Absent));
        self.queue = list.into();
        if self.queue.is_empty() && !self.whole {
            // Every row of the chunk is already gone; step over it.
            if let Some(key) = upto {
                self.cursor = Some((end, key));
                self.moved = true;
            }
        }
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
