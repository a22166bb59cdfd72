//! Records that came too late for their windows.

use std::cell::{Cell, RefCell};

use super::clock::{Clock, NO_TIME};

/// What the current event has missed in one table.
#[derive(Debug)]
pub(super) struct Lateness {
    /// Stream time of the mark that the table was recovered from: what was over by then was told, and is not told again
    /// with the records alone that come again.
    floor: Cell<i64>,
    pairs: Cell<u64>,
    missed: RefCell<Vec<(i64, i64)>>,
    /// Offsets of the rows of a join's other side that it has missed.
    rows: RefCell<Vec<i64>>,
}

impl Default for Lateness {
    fn default() -> Self {
        Lateness {
            floor: Cell::new(NO_TIME),
            pairs: Cell::default(),
            missed: RefCell::default(),
            rows: RefCell::default(),
        }
    }
}

impl Lateness {
    /// The table has been recovered from a mark of this stream time.
    pub(super) fn recovered(&self, time: i64) {
        self.floor.set(time);
    }

    /// Returns the stream time that the table's rows are of: of a commit that was cut off they may be ahead.
    pub(super) fn time(&self, clock: &Clock) -> i64 {
        clock.stream_time.get().max(self.floor.get())
    }

    /// Returns whether a window with this `end + grace` takes no more records of the current event.
    pub(super) fn is_over(&self, clock: &Clock, end_and_grace: i64) -> bool {
        clock.is_late(end_and_grace) || end_and_grace <= self.floor.get()
    }

    /// The current event is late for `[start, end)`. With `keep` the window is remembered for the table's `late` topic.
    pub(super) fn note(&self, start: i64, end: i64, keep: bool) {
        self.pairs.set(self.pairs.get() + 1);
        if keep {
            self.missed.borrow_mut().push((start, end));
        }
    }

    /// The windows missed so far, each once.
    pub(super) fn missed(&self) -> Vec<(i64, i64)> {
        let mut missed = std::mem::take(&mut *self.missed.borrow_mut());
        missed.sort_unstable_by_key(|(start, end)| (*end, *start));
        missed.dedup();
        missed
    }

    /// The current event is late for the row of this offset.
    pub(super) fn note_row(&self, offset: i64) {
        self.rows.borrow_mut().push(offset);
    }

    /// Returns the offsets of the rows missed so far, in their order.
    pub(super) fn missed_rows(&self) -> Vec<i64> {
        let mut rows = std::mem::take(&mut *self.rows.borrow_mut());
        rows.sort_unstable();
        rows
    }

    /// The event is acknowledged.
    pub(super) fn settle(&self, clock: &Clock) {
        let pairs = self.pairs.take();
        if pairs > 0 {
            clock.late.set(clock.late.get() + pairs);
            self.missed.borrow_mut().clear();
            self.rows.borrow_mut().clear();
        }
    }

    /// The event is undone.
    pub(super) fn rollback(&self) {
        self.pairs.set(0);
        self.missed.borrow_mut().clear();
        self.rows.borrow_mut().clear();
    }
}
