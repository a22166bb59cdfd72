//! Which event the agents of a task have, and how far they are with it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::record_buffer::RecordBuffer;

/// What the agents have in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Current {
    /// Nothing.
    None,
    /// The front record of this input.
    Input(usize),
    /// The head of the closing of this table.
    Closed(usize),
    /// A tick of this agent, which is a timer.
    Tick(usize),
    /// Several events, all of this agent's: [`TaskState::held`].
    InFlight(usize),
}

/// An event among several in flight.
pub(crate) struct InFlight {
    /// Never used twice: an acknowledgement of an event that was requeued finds none.
    pub(crate) number: u64,
    pub(crate) input: usize,
    /// Its record's place in the inbox.
    pub(crate) place: u64,
    /// Event time; [`NO_TIME`] for a record that does not move stream time.
    pub(crate) time: i64,
    /// Its time moves no stream time: see [`Dispatch::stays`].
    pub(crate) stays: bool,
    pub(crate) state: EventState,
    /// What it sends once all before it are done.
    pub(crate) effects: RecordBuffer,
    pub(crate) attempts: u32,
    /// Monotonic time at which it times out.
    pub(crate) deadline: Option<u64>,
}

/// How an agent stands to an event that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventState {
    /// It has not begun: another event of its key is before it.
    Queued,
    /// The handler has it.
    Running,
    /// It failed and is begun again at this monotonic time in ms.
    Retry(u64),
    /// Finished; it waits for those before it.
    Done,
}

/// Which event the agents have, and how far they are with it.
pub(crate) struct Dispatch {
    pub(crate) current: Cell<Current>,
    /// With [`Current::InFlight`]: the events in flight, in the order they were dispatched.
    pub(crate) held: RefCell<VecDeque<InFlight>>,
    /// With [`Current::InFlight`]: input and place of the event whose handler runs.
    pub(crate) spot: Cell<(usize, u64)>,
    /// Number of the next event to hold.
    pub(crate) next_held: Cell<u64>,
    /// Agents that have not finished with the current event.
    pub(crate) open: Cell<usize>,
    /// Whether the current event moves stream time.
    pub(crate) counts: Cell<bool>,
    /// Whether the record decoded last moves no stream time: its message's is not the time of what it says.
    pub(crate) stays: Cell<bool>,
    /// Agents of each table's closings.
    pub(crate) closers: Vec<Vec<usize>>,
    /// Key bytes of the closing current window, wire form.
    pub(crate) closed_key: RefCell<Vec<u8>>,
    /// Events that this turn may still begin.
    pub(crate) budget: Cell<u32>,
}

impl Dispatch {
    pub(super) fn new(closers: Vec<Vec<usize>>) -> Self {
        Dispatch {
            current: Cell::new(Current::None),
            held: RefCell::default(),
            spot: Cell::new((0, 0)),
            next_held: Cell::new(0),
            open: Cell::new(0),
            counts: Cell::new(false),
            stays: Cell::new(false),
            closers,
            closed_key: RefCell::default(),
            budget: Cell::new(0),
        }
    }
}
