//! The records of one side of a join in order: by key for their partners, by time for their end. Derived from the rows.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::kept::{BufferKey, Kept};

/// Time, key, offset.
pub(super) type Moment = (i64, Bytes, i64);

/// It says at any time what the rows say; a record is in one of the orders of time.
#[derive(Default)]
pub(super) struct BufferIndex {
    by_key: BTreeSet<BufferKey>,
    /// Records that are emitted alone when their time is over.
    open: BTreeSet<Moment>,
    /// Records that nobody is told of: they have been matched, their side is not emitted alone, or they have been.
    silent: BTreeSet<Moment>,
    /// Whether records without a partner are emitted alone.
    pub(super) outer: bool,
    /// The last record that was emitted alone.
    pub(super) cursor: Option<Moment>,
    /// The same as of the last commit.
    committed: Option<Moment>,
    /// Whether `cursor` moved since the last commit.
    pub(super) moved: bool,
    /// Records that were emitted alone since the last commit.
    emitted: Vec<Moment>,
}

fn moment(key: &BufferKey) -> Moment {
    (key.1, key.0.clone(), key.2)
}

impl BufferIndex {
    /// An index of nothing, with what was emitted last.
    pub(super) fn new(outer: bool, cursor: Option<Moment>) -> Self {
        BufferIndex {
            outer,
            committed: cursor.clone(),
            cursor,
            ..BufferIndex::default()
        }
    }

    /// Takes a row in.
    pub(super) fn file(&mut self, key: &BufferKey, kept: &Kept) {
        self.by_key.insert(key.clone());
        let moment = moment(key);
        let emitted = self.cursor.as_ref().is_some_and(|last| moment <= *last);
        if self.outer && !kept.matched && !emitted {
            self.open.insert(moment);
        } else {
            self.silent.insert(moment);
        }
    }

    /// Takes it out again.
    pub(super) fn unfile(&mut self, key: &BufferKey) {
        self.by_key.remove(key);
        let moment = moment(key);
        if !self.open.remove(&moment) {
            self.silent.remove(&moment);
        }
    }

    /// Whether there is such a record.
    pub(super) fn contains(&self, key: &BufferKey) -> bool {
        self.by_key.contains(key)
    }

    /// Records of a key from one time to another, both included, oldest first.
    pub(super) fn between(
        &self,
        key: &Bytes,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = &BufferKey> {
        let from = (key.clone(), from, i64::MIN);
        let to = (key.clone(), to, i64::MAX);
        self.by_key.range(from..=to)
    }

    /// The next record to be emitted alone.
    pub(super) fn first_open(&self) -> Option<&Moment> {
        self.open.first()
    }

    /// Time of the last record not after `time` that is to be emitted alone.
    pub(super) fn last_open(&self, time: i64) -> Option<i64> {
        let past = (time.saturating_add(1), Bytes::new(), i64::MIN);
        self.open.range(..past).next_back().map(|moment| moment.0)
    }

    /// The next record that goes without a word.
    pub(super) fn first_silent(&self) -> Option<&Moment> {
        self.silent.first()
    }

    /// The next record was emitted alone.
    pub(super) fn close(&mut self, moment: Moment) {
        self.open.remove(&moment);
        self.silent.insert(moment.clone());
        self.emitted.push(moment.clone());
        self.cursor = Some(moment);
        self.moved = true;
    }

    /// The cursor is durable.
    pub(super) fn commit(&mut self) {
        if self.moved {
            self.committed.clone_from(&self.cursor);
            self.moved = false;
            self.emitted.clear();
        }
    }

    /// The cursor goes back to the last commit, and what was emitted since then is to be emitted again. Rows that
    /// changed are not in the index now, and are filed again by the caller.
    pub(super) fn abort(&mut self) {
        self.cursor.clone_from(&self.committed);
        self.moved = false;
        for moment in std::mem::take(&mut self.emitted) {
            if self.silent.remove(&moment) {
                self.open.insert(moment);
            }
        }
    }
}

/// The row of a moment.
pub(super) fn key_of((time, key, offset): &Moment) -> BufferKey {
    (key.clone(), *time, *offset)
}
