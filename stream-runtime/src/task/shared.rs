//! What a task and the handles of its agents share. One thread: plain cells, no locks.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::agent::{AgentState, Status};
use super::blame::Blame;
use super::crontab::Crontab;
use super::held::Held;
use super::hop::Hop;
use super::inbox::{Inbox, RawRecord};
use super::limits::{Limits, OutputLimit};
use super::outbuf::OutBuf;
use super::outputs::event_key;
use super::sources::Sources;
use super::tick::Timer;
use crate::error::{Error, Failure};
use crate::table::{Clock, Hand, NO_TIME, TablePartition};

/// What the agents have in hand.
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
    /// Several events, all of this agent's: [`Shared::held`].
    Held(usize),
}

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

/// Shared by a task, its agents and their handles.
pub struct Shared {
    pub(crate) settings: TaskSettings,
    pub(crate) partition: i32,
    pub(crate) clock: Rc<Clock>,
    /// The sources of its time; `None`: stream time is the largest event time acknowledged.
    pub(crate) sources: Option<Sources>,
    /// The repartition topics that it fills.
    pub(crate) hops: Vec<Hop>,
    /// Of each input: the hops whose feeders read it.
    pub(crate) feeds: Vec<Vec<usize>>,
    /// The group's generation.
    pub(crate) generation: Cell<i32>,
    /// Watermarks taken in all.
    pub(crate) heard: Cell<u64>,
    /// Sources that its time has gone on without, in all.
    pub(crate) left_out: Cell<u64>,
    pub(crate) inputs: Vec<RefCell<Inbox>>,
    /// How many of them are chosen from by time; behind them stand those that bring windows again.
    pub(crate) timely: usize,
    pub(crate) input_names: Vec<Rc<str>>,
    /// Of a repartition topic: the topics that it is filled from, or the table whose windows fill it.
    pub(crate) input_sources: Vec<Vec<String>>,
    /// How far past the wall clock an event time of each input may be, in ms.
    pub(crate) ahead: Vec<i64>,
    pub(crate) outputs: Vec<Rc<str>>,
    /// What each output takes.
    pub(crate) limits: Vec<OutputLimit>,
    pub(crate) tables: Vec<Rc<dyn TablePartition>>,
    pub(crate) agents: Vec<AgentState>,
    /// Agents of each input.
    pub(crate) readers: Vec<Vec<usize>>,
    /// Index of the output that each table's late records go to.
    pub(crate) late: Vec<Option<usize>>,
    /// Index of the output that each table's unreadable rows go to.
    pub(crate) unreadable: Vec<Option<usize>>,
    /// Agents of each table's closings.
    pub(crate) closers: Vec<Vec<usize>>,
    pub(crate) states: Arc<States>,
    pub(crate) current: Cell<Current>,
    /// With [`Current::Held`]: the events in hand, in the order they were handed out.
    pub(crate) held: RefCell<VecDeque<Held>>,
    /// With [`Current::Held`]: input and place of the event whose handler runs.
    pub(crate) spot: Cell<(usize, u64)>,
    /// Number of the next event to hold.
    pub(crate) next_held: Cell<u64>,
    /// Monotonic time since when an input is empty while others wait, for `max_task_idle`.
    pub(crate) lacking: Cell<Option<u64>>,
    /// Agents that have not finished with the event in hand.
    pub(crate) open: Cell<usize>,
    /// Whether the event in hand moves stream time.
    pub(crate) counts: Cell<bool>,
    /// Whether the record decoded last moves no stream time: its message's is not the time of what it says.
    pub(crate) stays: Cell<bool>,
    /// Key bytes of the closing window in hand, wire form.
    pub(crate) closed_key: RefCell<Vec<u8>>,
    /// What acknowledged events send with the next commit.
    pub(crate) batch: RefCell<OutBuf>,
    /// Acknowledged since the last commit.
    pub(crate) acked: Cell<u32>,
    /// Acknowledged in all.
    pub(crate) processed: Cell<u64>,
    /// Attempts of handlers that failed, in all.
    pub(crate) failures: Cell<u64>,
    /// Records sent to dead-letter topics, in all.
    pub(crate) dead: Cell<u64>,
    /// Ticks of timers acknowledged in all.
    pub(crate) ticks: Cell<u64>,
    /// The agents that are timers.
    pub(crate) timers: Vec<Timer>,
    /// The agents that are crontabs.
    pub(crate) crontabs: Vec<Crontab>,
    /// Monotonic time of the next tick; `u64::MAX` without timers and crontabs, 0 before the first turn.
    pub(crate) next_tick: Cell<u64>,
    /// Wall clock time of the first call of a crontab, whatever became of the clock; `i64::MAX` without.
    pub(crate) next_call: Cell<i64>,
    /// Wall clock time up to which no crontab is called.
    pub(crate) calls_from: Cell<i64>,
    /// Wall clock time, epoch ms, that the tick in hand was due at.
    pub(crate) tick_due: Cell<i64>,
    /// Events that this turn may still begin.
    pub(crate) budget: Cell<u32>,
    pub(crate) wall: Cell<i64>,
    pub(crate) mono: Cell<u64>,
    pub(crate) revoked: Cell<bool>,
    pub(crate) failure: RefCell<Option<TaskFailure>>,
    pub(crate) blame: Blame,
}

impl Shared {
    /// Whether a commit should come before the next event.
    pub(crate) fn commit_due(&self) -> bool {
        let acked = self.acked.get();
        acked >= self.settings.commit_events
            || self.clock.dirty.get() >= self.settings.commit_rows
            || self.batch.borrow().bytes() >= self.settings.commit_bytes
            || acked >= self.blame.most()
            || self.blame.cuts()
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
        self.current.get() == Current::None
            && self.timely == 1
            && self.readers[0].len() == 1
            && self.budget.get() > 0
            && !self.revoked.get()
            && self.failure.borrow().is_none()
            && !self.commit_due()
            && !self.inputs[0].borrow().is_empty()
            && {
                self.hear();
                !self.clock.is_due()
            }
    }

    /// Hands the front record of an input to its agents.
    pub(crate) fn begin_input(&self, input: usize) {
        let clock = &self.clock;
        self.budget.set(self.budget.get().saturating_sub(1));
        clock.judge_time.set(clock.stream_time.get());
        clock.event_time.set(clock.stream_time.get());
        self.counts.set(false);
        self.arrives(input);
        self.current.set(Current::Input(input));
        self.hand_out(&self.readers[input]);
    }

    /// Hands the head of a table's closing to its agents.
    pub(crate) fn begin_closed(&self, table: usize, end: i64) {
        let clock = &self.clock;
        let grace = self.tables[table].descriptor().grace;
        self.budget.set(self.budget.get().saturating_sub(1));
        clock.event_time.set(end - 1);
        clock.judge_time.set(end.saturating_add(grace) - 1);
        self.counts.set(false);
        self.current.set(Current::Closed(table));
        self.hand_out(&self.closers[table]);
    }

    /// Takes [`Shared::begin_input`] back: the agent, the only one of the topic, does not take the event now.
    pub(crate) fn unbegin(&self, agent: usize) {
        self.budget.set(self.budget.get() + 1);
        self.clock.hand.set(Hand::Empty);
        self.clock.event_time.set(self.clock.stream_time.get());
        self.current.set(Current::None);
        self.open.set(0);
        self.agents[agent].status.set(Status::Idle);
    }

    #[inline]
    pub(super) fn hand_out(&self, agents: &[usize]) {
        // The usual case: who is alone waits for nobody.
        if let &[agent] = agents {
            self.open.set(1);
            self.agents[agent].receives(Status::Waiting);
        } else {
            self.hand_to_each(agents);
        }
    }

    fn hand_to_each(&self, agents: &[usize]) {
        self.open.set(agents.len());
        for &agent in agents {
            let a = &self.agents[agent];
            let behind = !a.after.is_empty() && a.after.iter().any(|first| agents.contains(first));
            a.receives(match behind {
                true => Status::Behind,
                false => Status::Waiting,
            });
        }
        if agents.is_empty() {
            self.settle();
        }
    }

    /// An agent has finished with the event in hand, one way or the other.
    #[inline]
    pub(crate) fn done(&self, agent: usize) {
        self.agents[agent].status.set(Status::Idle);
        let open = self.open.get().saturating_sub(1);
        self.open.set(open);
        if open == 0 {
            self.settle();
        } else {
            self.let_follow(agent);
        }
    }

    /// Whether an agent that is to get the event in hand gets it now.
    pub(crate) fn turn_of(&self, agent: usize) -> Status {
        let busy = |&first: &usize| self.agents[first].status.get() != Status::Idle;
        match self.agents[agent].after.iter().any(busy) {
            true => Status::Behind,
            false => Status::Waiting,
        }
    }

    /// Hands the event in hand to those that waited for an agent to finish with it.
    fn let_follow(&self, agent: usize) {
        for &next in &self.agents[agent].before {
            let a = &self.agents[next];
            if a.status.get() == Status::Behind && self.turn_of(next) == Status::Waiting {
                a.status.set(Status::Waiting);
                a.poke.set(true);
            }
        }
    }

    /// All agents have finished: the event is acknowledged, its effects join the batch.
    fn settle(&self) {
        let clock = &self.clock;
        let current = self.current.get();
        let readers: &[usize] = match current {
            Current::None => return,
            Current::Input(input) => &self.readers[input],
            Current::Closed(table) => &self.closers[table],
            Current::Tick(ref agent) => std::slice::from_ref(agent),
            Current::Held(agent) => return self.settle_held(agent),
        };
        if self.blame.is_careful() {
            self.note_last();
        }
        let mut batch = self.batch.borrow_mut();
        for &agent in readers {
            let a = &self.agents[agent];
            let from = batch.len();
            let mut staging = a.staging.borrow_mut();
            if !staging.is_empty() {
                batch.append(&mut staging);
            }
            for &table in &a.writes {
                if let Some(output) = self.late[table] {
                    self.send_late(table, output, &mut batch);
                }
                self.tables[table].settle();
            }
            if batch.len() > from {
                batch.sign(from, self.origin(agent));
            }
        }
        drop(batch);
        clock.unproven.set(false);
        match current {
            Current::Input(input) => {
                let mut inbox = self.inputs[input].borrow_mut();
                let said = self.sources.as_ref().and_then(|_| inbox.source_time());
                inbox.pop();
                drop(inbox);
                if self.counts.get() {
                    self.passed(input, said, clock.event_time.get());
                }
            }
            Current::Closed(table) => self.tables[table].close_head(),
            Current::Tick(agent) => self.tick_is_over(agent),
            Current::None | Current::Held(_) => {}
        }
        self.current.set(Current::None);
        clock.hand.set(Hand::Empty);
        clock.event_time.set(clock.stream_time.get());
        clock.judge_time.set(clock.stream_time.get());
        self.acked.set(self.acked.get() + 1);
        let ticked = matches!(current, Current::Tick(_));
        let count = if ticked { &self.ticks } else { &self.processed };
        count.set(count.get() + 1);
    }

    /// Looks at the rows that an agent has changed for the event in hand.
    ///
    /// # Errors
    /// One is not to be kept; another attempt would come to the same.
    pub(crate) fn check_rows(&self, agent: usize) -> Result<(), Failure> {
        if !self.clock.unproven.get() {
            return Ok(());
        }
        let mut tables = self.agents[agent].writes.iter();
        let checked = tables.try_for_each(|&table| self.tables[table].check());
        checked.map_err(|error| Failure::from(error).rejected())
    }

    /// Undoes what an agent did with the event in hand.
    pub(crate) fn rollback(&self, agent: usize) {
        let a = &self.agents[agent];
        a.staging.borrow_mut().clear();
        for &table in &a.writes {
            self.tables[table].rollback();
        }
    }

    /// The wire key of each event in hand; `None`: it has none.
    pub(crate) fn each_key(&self, see: &mut dyn FnMut(Option<&[u8]>)) {
        if let Current::Held(_) = self.current.get() {
            for held in self.held.borrow().iter() {
                let inbox = self.inputs[held.input].borrow();
                see(inbox.at(held.place).and_then(|record| record.key));
            }
        } else if self.current.get() != Current::None {
            event_key(self, see);
        }
    }

    /// The record in hand, and its input.
    pub(crate) fn with_record<R>(&self, f: impl FnOnce(Option<(usize, RawRecord<'_>)>) -> R) -> R {
        match self.current.get() {
            Current::Input(input) => {
                let inbox = self.inputs[input].borrow();
                f(inbox.front().map(|record| (input, record)))
            }
            Current::Held(_) => {
                let (input, place) = self.spot.get();
                let inbox = self.inputs[input].borrow();
                f(inbox.at(place).map(|record| (input, record)))
            }
            Current::Closed(_) | Current::Tick(_) | Current::None => f(None),
        }
    }

    /// Topic, partition and offset at which the record in hand was read before it got another key; `None` as well for one
    /// that does not say.
    pub(crate) fn read_at(&self) -> Option<(String, i32, i64)> {
        let (input, place) = match self.current.get() {
            Current::Input(input) => (input, None),
            Current::Held(_) => {
                let (input, place) = self.spot.get();
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
        let inbox = self.inputs[input].borrow();
        let origin = inbox.origin(place)?;
        let topic = match (origin.topic, &self.input_sources[input][..]) {
            (Some(topic), _) => topic.to_owned(),
            (None, [topic]) => topic.clone(),
            (None, _) => return None,
        };
        Some((topic, origin.partition, origin.offset))
    }

    /// Where the event in hand comes from, for messages: `voltage_input[3]@17`.
    pub(crate) fn whereabouts(&self) -> String {
        match self.current.get() {
            Current::Input(_) | Current::Held(_) => self.with_record(|record| match record {
                Some((input, record)) => {
                    let before = self
                        .read_at()
                        .map_or_else(String::new, |(topic, p, offset)| {
                            format!(" (from {topic}[{p}]@{offset})")
                        });
                    format!(
                        "{}[{}]@{}{before}",
                        self.input_names[input], self.partition, record.offset
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
        if !self.stays.take() {
            self.counts.set(true);
        }
    }

    /// Stream time; behind a hop, before all sources have been heard of, that of the direct inputs.
    pub(super) fn known_time(&self) -> i64 {
        match (self.clock.stream_time.get(), &self.sources) {
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
        super::outputs::stamp(self, time)
    }

    /// Timestamp for an output that brings no time of its own.
    pub(crate) fn event_stamp(&self) -> i64 {
        match self.clock.event_time.get() {
            NO_TIME => self.wall.get(),
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
