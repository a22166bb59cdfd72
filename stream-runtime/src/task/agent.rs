//! The state of one agent in one partition, and the waker its future is polled with.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use super::heads::PeekTime;
use super::outbuf::OutBuf;
use super::shared::Shared;
use crate::topology::AgentOptions;

/// How an agent stands to the event in hand.
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
    /// Agents that finish with an event before it begins, where they have it as well: they write what it reads.
    pub(crate) after: Vec<usize>,
    /// Agents that it is in front of.
    pub(crate) before: Vec<usize>,
    /// Output index of its sink.
    pub(crate) sink: Option<usize>,
    /// Output index of its dead letters; a timer has none.
    pub(crate) dead_letters: Option<usize>,
    pub(crate) status: Cell<Status>,
    pub(crate) attempts: Cell<u32>,
    /// Monotonic time at which the event in hand times out.
    pub(crate) deadline: Cell<Option<u64>>,
    /// What it sent for the event in hand.
    pub(crate) staging: RefCell<OutBuf>,
    /// Whether it is to be polled.
    pub(crate) poke: Cell<bool>,
    /// Reads event times, to choose among topics.
    pub(crate) heads: RefCell<Option<Box<dyn PeekTime>>>,
    pub(crate) holds: Holds,
    pub(crate) waker: Arc<AgentWaker>,
}

impl AgentState {
    /// Is given the event in hand: at once, or behind others.
    #[inline]
    pub(crate) fn receives(&self, status: Status) {
        self.status.set(status);
        self.attempts.set(0);
        self.poke.set(true);
    }
}

/// What an agent says that holds several events at once; nothing of it is looked at where one event is in hand at a time.
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
    /// Begins anew, with no event in hand.
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

/// What an agent's future is made with.
#[derive(Clone)]
pub struct AgentCx {
    pub(crate) shared: Rc<Shared>,
    pub(crate) agent: usize,
}

impl AgentCx {
    pub(crate) fn state(&self) -> &AgentState {
        &self.shared.agents[self.agent]
    }

    /// The context behind the erased argument of `AgentDescriptor::start`.
    pub(crate) fn of(any: &dyn Any) -> Option<&AgentCx> {
        any.downcast_ref()
    }
}
