//! The state of one agent in one partition, and the waker its future is polled with.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use super::lookahead::PeekTime;
use super::record_buffer::RecordBuffer;
use crate::topology::AgentOptions;

/// How an agent stands to the current event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It has nothing to do with it, or has finished.
    Idle,
    /// It is to get it when others have finished with it, whose tables it reads.
    Behind,
    /// It is to get it.
    Waiting,
    /// It has it.
    Busy,
    /// It failed and gets it again at this monotonic time in ms.
    Retry(u64),
}

/// What an agent is, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// One of the user's.
    Agent,
    /// A feeder: it gives records another key on their way to an agent or a join.
    Hop,
    /// A join.
    Join,
}

/// One agent in one partition.
pub struct AgentState {
    /// Of a feeder: that of the agent whose records it gives their key.
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) options: AgentOptions,
    /// Inputs it reads, in the order of its topics.
    pub(crate) reads: Vec<usize>,
    /// Tables it writes.
    pub(crate) writes: Vec<usize>,
    /// Whether it asks for the event's key.
    pub(crate) needs_key: bool,
    pub(crate) order: Order,
    pub(crate) outputs: AgentOutputs,
    pub(crate) status: Cell<Status>,
    pub(crate) attempts: Cell<u32>,
    /// Monotonic time at which the current event times out.
    pub(crate) deadline: Cell<Option<u64>>,
    /// What it sent for the current event.
    pub(crate) staging: RefCell<RecordBuffer>,
    /// Reads event times, to choose among topics.
    pub(crate) heads: RefCell<Option<Box<dyn PeekTime>>>,
    pub(crate) holds: Holds,
    pub(crate) wakeup: Wakeup,
}

/// Where what it returns goes, and what it fails on.
#[derive(Debug)]
pub(crate) struct AgentOutputs {
    /// Output index of its sink.
    pub(crate) sink: Option<usize>,
    /// Output index of its dead letters; a timer has none.
    pub(crate) dead_letters: Option<usize>,
}

/// Who finishes with an event first, where several agents have it.
#[derive(Debug)]
pub(crate) struct Order {
    /// Agents that write what this one reads, and finish before it begins.
    pub(crate) after: Vec<usize>,
    /// Agents that it is in front of.
    pub(crate) before: Vec<usize>,
}

/// What has an agent polled.
pub(crate) struct Wakeup {
    /// It is to be polled with the next turn.
    pub(crate) poke: Cell<bool>,
    /// Its future's waker.
    pub(crate) waker: Arc<AgentWaker>,
}

impl AgentState {
    /// Is given the current event: at once, or behind others.
    #[inline]
    pub(crate) fn receives(&self, status: Status) {
        self.status.set(status);
        self.attempts.set(0);
        self.wakeup.poke.set(true);
    }
}

/// What an agent says that holds several events at once; nothing of it is used where one event is in flight at a time.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    /// Monotonic time at which it is to be polled though nothing happened.
    pub(crate) alarm: Cell<Option<u64>>,
    /// It would take another event beside those that it holds.
    pub(crate) wants: Cell<bool>,
    /// Events it takes again at once: those that failed together.
    pub(crate) again: Cell<usize>,
    /// Events it takes one by one, to find which of them fails.
    pub(crate) alone: Cell<usize>,
    /// Offset of an event that was dropped and not acknowledged.
    pub(crate) forgotten: Cell<Option<i64>>,
    /// It acknowledges its events itself.
    pub(crate) noack: Cell<bool>,
}

impl Holds {
    /// Starts again, with no current event.
    pub(crate) fn reset(&self) {
        self.alarm.set(None);
        self.wants.set(false);
        self.forgotten.set(None);
        self.noack.set(false);
    }
}

/// Wakes the stream thread and says which agent is meant.
pub struct AgentWaker {
    pub(crate) woken: AtomicBool,
    pub(crate) thread: Arc<dyn Fn() + Send + Sync>,
}

impl Wake for AgentWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        (self.thread)();
    }
}
