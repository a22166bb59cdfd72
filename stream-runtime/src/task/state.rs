//! What a task and the handles of its agents share. One thread: plain cells, no locks.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::agent::AgentState;
use super::blame::Blame;
use super::calls::Calls;
use super::dispatch::{Current, Dispatch};
use super::hop::Hop;
use super::inbox::{Inbox, RawRecord};
use super::limits::{Limits, OutputTopics};
use super::record_buffer::RecordBuffer;
use super::sources::Sources;
use crate::clock::stamp;
use crate::error::Error;
use crate::table::{Clock, NO_TIME, TablePartition};

/// Why a task cannot go on.
#[derive(Debug)]
pub struct TaskFailure {
    /// What happened, with topic, partition, offset and the next step.
    pub error: Error,
    /// Whether the whole worker stops, by `.fatal()`.
    pub fatal: bool,
}

/// Resources made by `#[state]`, by type.
pub type States = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// Bytes for the cache of one table's partition, at most.
pub const CACHE_BYTES: usize = 48 << 20;
/// Changed rows of a partition after which it commits before its time: until then librdkafka has a copy of each.
const COMMIT_ROWS: usize = 10_000;
/// Watermarks that a hop writes in a second at most: with many partitions they are told less often, not without end.
const WATERMARKS_A_SECOND: u64 = 10_000;

/// Settings of a task.
#[derive(Clone, Debug)]
pub struct TaskSettings {
    /// The app's name.
    pub app: Rc<str>,
    /// How far past the wall clock an event time may be, in ms.
    pub max_ahead: i64,
    /// How long an input at its end is waited for while others have records, in ms.
    pub max_task_idle: u64,
    /// What the client and the topics take.
    pub limits: Arc<Limits>,
    /// Bytes that the cache of one table's partition may hold, about.
    pub cache_bytes: usize,
    /// Events after which a commit is due.
    pub commit_events: u32,
    /// Bytes of outputs after which a commit is due.
    pub commit_bytes: usize,
    /// Changed rows after which a commit is due.
    pub commit_rows: usize,
    /// Whether commits are transactions.
    pub exactly_once: bool,
    /// A person has kept the rows as they are now, by `plan --write`: their fields are compared with no marks.
    pub rows_confirmed: bool,
    /// Watermarks that a hop writes in a second at most, over all its sources and partitions.
    pub watermarks_a_second: u64,
    /// Every row that is written is read back, and not the first of each variant only; always so in debug builds.
    pub read_back: bool,
}

impl TaskSettings {
    /// The defaults of a worker.
    pub fn new(app: Rc<str>, limits: Arc<Limits>) -> Self {
        TaskSettings {
            app,
            max_ahead: 3_600_000,
            max_task_idle: 0,
            limits,
            cache_bytes: CACHE_BYTES,
            // Commits go by time, bytes and rows; events that change nothing cost nothing.
            commit_events: u32::MAX,
            commit_bytes: 16 << 20,
            commit_rows: COMMIT_ROWS,
            exactly_once: true,
            rows_confirmed: false,
            watermarks_a_second: WATERMARKS_A_SECOND,
            read_back: false,
        }
    }
}

/// The inputs of a task: the records that wait, where they come from and who reads them. All lists are by input.
pub(crate) struct Inputs {
    /// The records that wait.
    pub(crate) inboxes: Vec<RefCell<Inbox>>,
    /// How many of them are chosen from by time; behind them stand those that bring windows again.
    pub(crate) timely: usize,
    pub(crate) names: Vec<Rc<str>>,
    /// Of a repartition topic: the topics that it is filled from, or the table whose windows fill it.
    pub(crate) sources: Vec<Vec<String>>,
    /// How far past the wall clock an event time may be, in ms.
    pub(crate) ahead: Vec<i64>,
    /// The hops whose feeders read it.
    pub(crate) feeds: Vec<Vec<usize>>,
    /// Its agents.
    pub(crate) readers: Vec<Vec<usize>>,
    /// Monotonic time since when one is empty while others wait, for `max_task_idle`.
    pub(crate) lacking: Cell<Option<u64>>,
}

/// What acknowledged events have come to since the last commit.
#[derive(Default)]
pub(crate) struct Effects {
    /// What they send with the next one.
    pub(crate) batch: RefCell<RecordBuffer>,
    /// How many they are.
    pub(crate) acked: Cell<u32>,
    /// Whose what is sent is, where the broker has refused some of it.
    pub(crate) blame: Blame,
}

/// What is counted from the task's beginning on.
#[derive(Default)]
pub(crate) struct Counters {
    /// Events acknowledged.
    pub(crate) processed: Cell<u64>,
    /// Attempts of handlers that failed.
    pub(crate) failures: Cell<u64>,
    /// Records sent to dead-letter topics.
    pub(crate) dead: Cell<u64>,
    /// Ticks of timers acknowledged.
    pub(crate) ticks: Cell<u64>,
    /// Watermarks taken.
    pub(crate) heard: Cell<u64>,
    /// Sources that its time has gone on without.
    pub(crate) left_out: Cell<u64>,
}

/// The clocks of a task, beside the one that its tables share.
pub(crate) struct Times {
    /// The wall clock at the turn's beginning, epoch ms.
    pub(crate) wall: Cell<i64>,
    /// A clock that never goes back, at the turn's beginning, ms.
    pub(crate) mono: Cell<u64>,
    /// The sources of its stream time; `None`: that is the largest event time acknowledged.
    pub(crate) sources: Option<Sources>,
    /// The repartition topics that it fills.
    pub(crate) hops: Vec<Hop>,
    /// The group's generation.
    pub(crate) generation: Cell<i32>,
}

/// The state of a task: it shares it with its agents and their handles.
pub struct TaskState {
    pub(crate) settings: TaskSettings,
    pub(crate) partition: i32,
    pub(crate) states: Arc<States>,
    /// Stream time and what falls due, shared with the tables.
    pub(crate) clock: Rc<Clock>,
    pub(crate) times: Times,
    pub(crate) inputs: Inputs,
    pub(crate) outputs: OutputTopics,
    pub(crate) tables: Vec<Rc<dyn TablePartition>>,
    pub(crate) agents: Vec<AgentState>,
    pub(crate) calls: Calls,
    pub(crate) dispatch: Dispatch,
    pub(crate) effects: Effects,
    pub(crate) counters: Counters,
    pub(crate) revoked: Cell<bool>,
    pub(crate) failure: RefCell<Option<TaskFailure>>,
}

impl TaskState {
    /// Whether a commit should come before the next event.
    pub(crate) fn commit_due(&self) -> bool {
        let acked = self.effects.acked.get();
        acked >= self.settings.commit_events
            || self.clock.dirty.get() >= self.settings.commit_rows
            || self.effects.batch.borrow().bytes() >= self.settings.commit_bytes
            || acked >= self.effects.blame.most()
            || self.effects.blame.cuts()
    }

    /// Stops the task; the first reason stays.
    pub(crate) fn stop(&self, error: Error, fatal: bool) {
        let mut failure = self.failure.borrow_mut();
        if failure.is_none() {
            *failure = Some(TaskFailure { error, fatal });
        }
    }

    /// Whether the task cannot go on.
    pub(crate) fn is_stopped(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// Whether an agent that is alone may take the next record within its own poll: one topic, one reader, nothing due.
    pub(crate) fn may_begin_inline(&self) -> bool {
        self.dispatch.current.get() == Current::None
            && self.inputs.timely == 1
            && self.inputs.readers[0].len() == 1
            && self.dispatch.budget.get() > 0
            && !self.revoked.get()
            && self.failure.borrow().is_none()
            && !self.commit_due()
            && !self.inputs.inboxes[0].borrow().is_empty()
            && {
                self.hear();
                !self.clock.is_due()
            }
    }

    /// The wire key of each current event; `None`: it has none.
    pub(crate) fn each_key(&self, see: &mut dyn FnMut(Option<&[u8]>)) {
        if let Current::InFlight(_) = self.dispatch.current.get() {
            for held in self.dispatch.held.borrow().iter() {
                let inbox = self.inputs.inboxes[held.input].borrow();
                see(inbox.at(held.place).and_then(|record| record.key));
            }
        } else if self.dispatch.current.get() != Current::None {
            self.event_key(see);
        }
    }

    /// Key bytes of the current event.
    pub(crate) fn event_key<R>(&self, f: impl FnOnce(Option<&[u8]>) -> R) -> R {
        match self.dispatch.current.get() {
            Current::Input(input) => f(self.inputs.inboxes[input]
                .borrow()
                .front()
                .and_then(|r| r.key)),
            Current::InFlight(_) => self.with_record(|record| f(record.and_then(|(_, r)| r.key))),
            Current::Closed(_) => f(Some(&self.dispatch.closed_key.borrow())),
            Current::Tick(_) | Current::None => f(None),
        }
    }

    /// The current record, and its input.
    pub(crate) fn with_record<R>(&self, f: impl FnOnce(Option<(usize, RawRecord<'_>)>) -> R) -> R {
        match self.dispatch.current.get() {
            Current::Input(input) => {
                let inbox = self.inputs.inboxes[input].borrow();
                f(inbox.front().map(|record| (input, record)))
            }
            Current::InFlight(_) => {
                let (input, place) = self.dispatch.spot.get();
                let inbox = self.inputs.inboxes[input].borrow();
                f(inbox.at(place).map(|record| (input, record)))
            }
            Current::Closed(_) | Current::Tick(_) | Current::None => f(None),
        }
    }

    /// Topic, partition and offset at which the current record was read before it got another key; `None` as well for
    /// one that does not say.
    pub(crate) fn read_at(&self) -> Option<(String, i32, i64)> {
        let (input, place) = match self.dispatch.current.get() {
            Current::Input(input) => (input, None),
            Current::InFlight(_) => {
                let (input, place) = self.dispatch.spot.get();
                (input, Some(place))
            }
            Current::Closed(_) | Current::Tick(_) | Current::None => return None,
        };
        self.read_at_place(input, place)
    }

    /// The same of the record at a place of an input, or of its oldest one.
    pub(crate) fn read_at_place(
        &self,
        input: usize,
        place: Option<u64>,
    ) -> Option<(String, i32, i64)> {
        let inbox = self.inputs.inboxes[input].borrow();
        let origin = inbox.origin(place)?;
        let topic = match (origin.topic, &self.inputs.sources[input][..]) {
            (Some(topic), _) => topic.to_owned(),
            (None, [topic]) => topic.clone(),
            (None, _) => return None,
        };
        Some((topic, origin.partition, origin.offset))
    }

    /// Where the current event comes from, for messages: `voltage_input[3]@17`.
    pub(crate) fn record_location(&self) -> String {
        match self.dispatch.current.get() {
            Current::Input(_) | Current::InFlight(_) => self.with_record(|record| match record {
                Some((input, record)) => {
                    let before = self
                        .read_at()
                        .map_or_else(String::new, |(topic, p, offset)| {
                            format!(" (from {topic}[{p}]@{offset})")
                        });
                    format!(
                        "{}[{}]@{}{before}",
                        self.inputs.names[input], self.partition, record.offset
                    )
                }
                None => format!("partition {}", self.partition),
            }),
            Current::Closed(table) => {
                let (key, _) = self.tables[table].describe_head().unwrap_or_default();
                let (_, end) = self.tables[table].head_window().unwrap_or_default();
                format!(
                    "table {}[{}] window ending {} key {key:?}",
                    self.tables[table].descriptor().name,
                    self.partition,
                    people_time(end)
                )
            }
            Current::Tick(_) | Current::None => format!("partition {}", self.partition),
        }
    }

    /// The record that was decoded is an event: it moves stream time, unless its time is borrowed.
    pub(crate) fn count(&self) {
        if !self.dispatch.stays.take() {
            self.dispatch.counts.set(true);
        }
    }

    /// Stream time; behind a hop, before all sources have been heard of, that of the direct inputs.
    pub(crate) fn known_time(&self) -> i64 {
        match (self.clock.stream_time.get(), &self.times.sources) {
            (NO_TIME, Some(sources)) => sources.direct_time(),
            (time, _) => time,
        }
    }

    /// Time of a tombstone of records whose time is a field: stream time, and before there is one its message's, which
    /// moves nothing: the records may be of another age.
    pub(crate) fn time_of_deletion(&self, kafka: i64) -> Result<i64, String> {
        match self.known_time() {
            NO_TIME if kafka != NO_TIME => Ok(kafka),
            _ => self.time_of_nothing(),
        }
    }

    /// Time of a record that has none: stream time.
    ///
    /// # Errors
    /// There is no stream time yet.
    pub(crate) fn time_of_nothing(&self) -> Result<i64, String> {
        match self.known_time() {
            NO_TIME => Err(
                "its message has no timestamp, and no record before it had a time: let the producer set one, let the \
                 topic have `message.timestamp.type=LogAppendTime`, or name the field that says it: `#[record(timestamp = field)]`"
                    .to_owned(),
            ),
            time => Ok(time),
        }
    }

    /// Timestamp of a record that is sent on as it came.
    pub(crate) fn stamp_of(&self, record: &RawRecord<'_>) -> i64 {
        let time = match record.timestamp {
            NO_TIME => self.event_stamp(),
            time => time,
        };
        self.stamp(time)
    }

    /// Kafka's stamp for an event time: at least 1 (the client turns 0 into "now"), at most an hour ahead of the clock.
    pub(crate) fn stamp(&self, time: i64) -> i64 {
        stamp(time, self.times.wall.get())
    }

    /// Timestamp for an output that brings no time of its own.
    pub(crate) fn event_stamp(&self) -> i64 {
        match self.clock.event_time.get() {
            NO_TIME => self.times.wall.get(),
            time => time,
        }
    }
}

/// A time for messages.
pub(crate) fn people_time(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).map_or_else(
        || format!("{ms} ms"),
        |t| t.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
    )
}

/// What an agent's future is made with.
#[derive(Clone)]
pub struct AgentCx {
    pub(crate) shared: Rc<TaskState>,
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
