//! The times of one task, shared by its tables and handles. One thread, so plain cells.

use std::cell::{Cell, OnceCell};
use std::fmt;

/// Before any time: stream time of a task that has processed nothing.
pub const NO_TIME: i64 = i64::MIN;

/// How many events the agents hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hand {
    /// None: what is changed now belongs to the next event.
    #[default]
    Empty,
    /// One: its time is the event time.
    One,
    /// Several, each with a time of its own.
    Several,
}

/// Hands the wire key of each current event to a closure; `None`: it has none.
pub type EachKey = Box<dyn Fn(&mut dyn FnMut(Option<&[u8]>))>;

/// The keys of the events in flight, as the task knows them. Asked only where a lookup seems to be in the wrong
/// partition.
#[derive(Default)]
pub struct KeysInHand(OnceCell<EachKey>);

impl KeysInHand {
    /// Says where they are; the first time counts.
    pub fn are(&self, each: EachKey) {
        let _ = self.0.set(each);
    }

    /// Whether one of them meets a condition.
    pub fn any(&self, mut meets: impl FnMut(Option<&[u8]>) -> bool) -> bool {
        let mut any = false;
        if let Some(each) = self.0.get() {
            each(&mut |key| any = any || meets(key));
        }
        any
    }
}

impl fmt::Debug for KeysInHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeysInHand")
    }
}

/// Times and counters of one task.
#[derive(Debug)]
pub struct Clock {
    /// Event time of the current event, epoch ms.
    pub event_time: Cell<i64>,
    /// Largest event time acknowledged, epoch ms; [`NO_TIME`] before the first.
    pub stream_time: Cell<i64>,
    /// What lateness is judged against: the stream time before the event, or `end + grace - 1` of a closing row.
    pub judge_time: Cell<i64>,
    /// Smallest `end + grace` among the open windows of all tables; `i64::MAX` when none is open.
    pub next_due: Cell<i64>,
    /// (record, window) pairs that came too late.
    pub late: Cell<u64>,
    /// How many events the agents hold.
    pub hand: Cell<Hand>,
    /// The task's partition, and how many its inputs have; 0 when that is not known.
    pub place: Cell<(i32, i32)>,
    /// New rows whose key belongs to another partition.
    pub misplaced: Cell<u64>,
    /// Lookups of keys that belong to another partition.
    pub misplaced_reads: Cell<u64>,
    /// The keys of the events in flight.
    pub keys: KeysInHand,
    /// Rows changed since the last commit, over all tables; a commit is cut by it.
    pub dirty: Cell<usize>,
    /// Tells that a row which the current event has changed is looked at before the event is acknowledged.
    pub unproven: Cell<bool>,
}

impl Default for Clock {
    fn default() -> Self {
        Clock {
            event_time: Cell::new(NO_TIME),
            stream_time: Cell::new(NO_TIME),
            judge_time: Cell::new(NO_TIME),
            next_due: Cell::new(i64::MAX),
            late: Cell::new(0),
            hand: Cell::default(),
            place: Cell::new((0, 0)),
            misplaced: Cell::new(0),
            misplaced_reads: Cell::new(0),
            keys: KeysInHand::default(),
            dirty: Cell::new(0),
            unproven: Cell::new(false),
        }
    }
}

impl Clock {
    /// Whether a window with this `end + grace` takes no more records.
    pub fn is_late(&self, end_and_grace: i64) -> bool {
        end_and_grace <= self.judge_time.get()
    }

    /// Something falls due at this stream time.
    pub fn due_at(&self, time: i64) {
        if time < self.next_due.get() {
            self.next_due.set(time);
        }
    }

    /// Whether some open window is over by stream time.
    pub fn is_due(&self) -> bool {
        self.next_due.get() <= self.stream_time.get()
    }
}
