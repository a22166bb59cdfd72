//! The state of one agent in one partition, and the waker its future is polled with.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use super::outbuf::OutBuf;
use super::shared::Shared;
use crate::topology::AgentOptions;

/// How an agent stands to the event in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It has nothing to do with it, or has finished.
    Idle,
    /// It is to get it.
    Waiting,
    /// It has it.
    Busy,
    /// It failed and gets it again at this monotonic time in ms.
    Retry(u64),
}

/// Event time of a raw record, for choosing among topics: `None` when it does not decode.
pub(crate) type PeekTime = fn(Option<&[u8]>, i64) -> Option<i64>;

/// One agent in one partition.
pub struct AgentState {
    pub(crate) name: &'static str,
    pub(crate) options: AgentOptions,
    /// Tables it writes.
    pub(crate) writes: Vec<usize>,
    /// Whether it asks for the event's key.
    pub(crate) needs_key: bool,
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
    pub(crate) peek: Cell<Option<PeekTime>>,
    pub(crate) waker: Arc<AgentWaker>,
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
