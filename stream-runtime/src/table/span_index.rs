//! The order in which the sessions and sliding windows of a partition close, derived in memory from its rows.

use std::collections::{BTreeSet, VecDeque};

use super::clock::NO_TIME;
use super::window_set::{Moves, Span, Spans};
use crate::key::StreamKey;

/// Ends and slots of all windows of a partition. It says at any time what the rows say; a window is in one of the sets.
pub(super) struct SpanIndex<K> {
    /// Windows that will close.
    open: BTreeSet<(i64, u32)>,
    /// Windows at or before the cursor.
    closed: BTreeSet<(i64, u32)>,
    /// Windows that nobody is told of.
    silent: BTreeSet<(i64, u32)>,
    /// Entries whose window ends at `closing`, in the order of their keys.
    queue: VecDeque<u32>,
    closing: i64,
    /// The last window that closed: end and key.
    pub(super) cursor: Option<(i64, K)>,
    /// The same as of the last commit.
    pub(super) committed: Option<(i64, K)>,
    /// Whether `cursor` moved since the last commit.
    pub(super) moved: bool,
    /// Stream time of the last commit.
    pub(super) committed_time: i64,
    /// The same of the commit under way.
    pub(super) prepared_time: i64,
}

impl<K> Default for SpanIndex<K> {
    fn default() -> Self {
        SpanIndex {
            open: BTreeSet::new(),
            closed: BTreeSet::new(),
            silent: BTreeSet::new(),
            queue: VecDeque::new(),
            closing: i64::MIN,
            cursor: None,
            committed: None,
            moved: false,
            committed_time: NO_TIME,
            prepared_time: NO_TIME,
        }
    }
}

impl<K: StreamKey> SpanIndex<K> {
    /// Whether a window with this end has closed.
    pub(super) fn has_closed(&self, end: i64, key: &K) -> bool {
        reached(&self.cursor, end, key)
    }

    /// The same as of the last commit.
    pub(super) fn had_closed(&self, end: i64, key: &K) -> bool {
        reached(&self.committed, end, key)
    }

    fn set<V>(&mut self, span: &Span<V>, key: &K) -> &mut BTreeSet<(i64, u32)> {
        if span.silent {
            &mut self.silent
        } else if self.has_closed(span.end, key) {
            &mut self.closed
        } else {
            &mut self.open
        }
    }

    /// Takes in the windows of a row.
    pub(super) fn file<V>(&mut self, at: u32, key: &K, row: &Spans<V>) {
        for span in &row.0 {
            self.set(span, key).insert((span.end, at));
        }
    }

    /// Takes them out again.
    pub(super) fn unfile<V>(&mut self, at: u32, key: &K, row: &Spans<V>) {
        for span in &row.0 {
            self.unfile_one(at, key, span);
        }
    }

    /// Takes one window of a row out.
    pub(super) fn unfile_one<V>(&mut self, at: u32, key: &K, span: &Span<V>) {
        self.set(span, key).remove(&(span.end, at));
        // The row's place may soon be another's.
        self.queue.clear();
    }

    /// A row has changed.
    pub(super) fn apply(&mut self, at: u32, moves: &Moves) {
        for end in &moves.gone {
            self.open.remove(&(*end, at));
        }
        for (end, silent) in &moves.new {
            let set = if *silent {
                &mut self.silent
            } else {
                &mut self.open
            };
            set.insert((*end, at));
        }
    }

    /// End of the first open window.
    pub(super) fn first_open(&self) -> Option<i64> {
        self.open.first().map(|(end, _)| *end)
    }

    /// The largest end among the open windows that is not above `end`.
    pub(super) fn last_open(&self, end: i64) -> Option<i64> {
        self.open
            .range(..=(end, u32::MAX))
            .next_back()
            .map(|(end, _)| *end)
    }

    /// End and slot of the next window to close.
    pub(super) fn head<'k>(&mut self, key: impl Fn(u32) -> &'k K) -> Option<(i64, u32)>
    where
        K: 'k,
    {
        let end = self.first_open()?;
        if self.closing != end {
            self.queue.clear();
            self.closing = end;
        }
        while let Some(&at) = self.queue.front() {
            if self.open.contains(&(end, at)) {
                return Some((end, at));
            }
            self.queue.pop_front();
        }
        let same_end = self.open.range((end, 0)..=(end, u32::MAX));
        let mut slots: Vec<u32> = same_end.map(|(_, at)| *at).collect();
        slots.sort_unstable_by(|&a, &b| key(a).cmp(key(b)));
        self.queue = slots.into();
        self.queue.front().map(|&at| (end, at))
    }

    /// The window at the head has been handled.
    pub(super) fn close(&mut self, end: i64, at: u32, key: K) {
        self.queue.pop_front();
        self.open.remove(&(end, at));
        self.closed.insert((end, at));
        self.cursor = Some((end, key));
        self.moved = true;
    }

    /// Cursor and stream time are durable.
    pub(super) fn commit(&mut self) {
        self.committed_time = self.prepared_time;
        if self.moved {
            self.committed = self.cursor.clone();
            self.moved = false;
        }
    }

    /// The cursor goes back to the last commit, and what has closed since is open again.
    pub(super) fn abort<'k>(&mut self, key: impl Fn(u32) -> &'k K)
    where
        K: 'k,
    {
        self.queue.clear();
        self.cursor.clone_from(&self.committed);
        self.moved = false;
        let from = self.cursor.as_ref().map_or(i64::MIN, |(end, _)| *end);
        let since = self.closed.split_off(&(from, 0));
        for (end, at) in since {
            if reached(&self.cursor, end, key(at)) {
                self.closed.insert((end, at));
            } else {
                self.open.insert((end, at));
            }
        }
    }

    /// The first window that nobody needs once stream time is `keep` past its end: end and slot. Of windows that have
    /// closed only those whose closing is committed, of silent ones only those that were over at the last commit:
    /// written at-least-once, their rows must not be ahead of cursor and stream time.
    pub(super) fn first_spent<'k>(
        &self,
        key: impl Fn(u32) -> &'k K,
        keep: i64,
    ) -> Option<(i64, u32)>
    where
        K: 'k,
    {
        let closed = self.closed.first().copied();
        let closed = closed.filter(|(end, at)| reached(&self.committed, *end, key(*at)));
        let silent = self.silent.first().copied();
        let silent = silent.filter(|(end, _)| end.saturating_add(keep) <= self.committed_time);
        match (closed, silent) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The window is dropped.
    pub(super) fn drop_spent(&mut self, end: i64, at: u32) {
        self.closed.remove(&(end, at));
        self.silent.remove(&(end, at));
    }
}

/// Whether a cursor is at or behind a window.
fn reached<K: Ord>(cursor: &Option<(i64, K)>, end: i64, key: &K) -> bool {
    cursor
        .as_ref()
        .is_some_and(|(last, last_key)| (end, key) <= (*last, last_key))
}
