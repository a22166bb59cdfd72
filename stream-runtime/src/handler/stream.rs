//! `Stream<T>`: the records of one partition, one after the other.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::task::Poll;

use smallvec::SmallVec;

use super::event::Event;
use super::gathering::Gathering;
use super::headers::Headers;
use crate::error::Failure;
use crate::key::StreamKey;
use crate::record::{Payload, Record};
use crate::table::{Hand, NO_TIME};
use crate::task::agent::Status;
use crate::task::bad::Bad;
use crate::task::dispatch::Current;
use crate::task::lookahead::Heads;
use crate::task::state::AgentCx;

/// The records of a topic's partition, in order. `K` is the type of the key.
///
/// The function that takes it runs once per assigned partition and loops:
///
/// ```
/// # use stream_runtime::prelude::*;
/// # #[record] struct View { page: String }
/// # #[table] #[derive(Clone, Default)] struct Views { n: u64 }
/// #[agent(topic = "views")]
/// async fn count(mut views: Stream<View>, mut counts: Table<Views>) {
///     while let Some(view) = views.next().await {
///         counts.update(&view.page, |row| row.n += 1);
///     }
/// }
/// ```
pub struct Stream<T, K = String> {
    pub(super) cx: AgentCx,
    pub(super) source: Source<T, K>,
    pub(super) batch: Gathering,
}

/// Where a stream's events come from.
pub(super) enum Source<T, K> {
    // Taken where `T` is known to be a record: without a bound on `next`, a type that is none is one error, in the
    // signature.
    Direct {
        poll: PollEvent<T, K>,
        read: ReadEvent<T, K>,
    },
    /// Through the closures of `filter` and `map`.
    Made(ReadMade<T, K>),
}

/// [`AgentCx::poll_event`] of a record and a key.
type PollEvent<T, K> = fn(&AgentCx) -> Poll<Option<Event<T, K>>>;
/// [`AgentCx::decode_at`] of a record and a key.
type ReadEvent<T, K> = fn(&AgentCx, usize, Option<u64>) -> Result<Event<T, K>, Bad>;
/// Event time, and the event unless a filter left it out.
type Made<T, K> = Result<(i64, Option<Event<T, K>>), Bad>;
type ReadMade<T, K> = Box<dyn FnMut(&AgentCx, usize, Option<u64>) -> Made<T, K>>;

impl<T: Payload, K: StreamKey> Stream<T, K> {
    pub(crate) fn new(cx: AgentCx) -> Self {
        Stream {
            cx,
            source: Source::Direct {
                poll: AgentCx::poll_event,
                read: AgentCx::decode_at,
            },
            batch: Gathering::default(),
        }
    }
}

impl<T, K> Source<T, K> {
    /// The record at the front of an input, or at a place in it: its event time, and the event unless it is left out.
    pub(super) fn read(&mut self, cx: &AgentCx, input: usize, place: Option<u64>) -> Made<T, K> {
        match self {
            Source::Direct { read, .. } => {
                read(cx, input, place).map(|event| (event.time, Some(event)))
            }
            Source::Made(read) => read(cx, input, place),
        }
    }
}

impl<T, K> Stream<T, K> {
    /// Acknowledges the event before and returns the next one. `None` when the partition goes away in order: what
    /// follows the loop still runs, within the shutdown bound.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "lengths")]
    /// async fn lengths(mut words: Stream<String>) -> Result<()> {
    ///     while let Some(word) = words.next().await {
    ///         println!("{}", word.len());
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn next(&mut self) -> Option<Event<T, K>> {
        let Stream { cx, source, .. } = self;
        poll_fn(|_| {
            if cx.state().status.get() == Status::Busy {
                cx.acknowledge();
            }
            match source {
                Source::Direct { poll, .. } => poll(cx),
                Source::Made(_) => cx.poll_made(source),
            }
        })
        .await
    }

    /// Keeps the events that `keep` says. The others are acknowledged at once; they move stream time.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words")]
    /// async fn long(words: Stream<String>) {
    ///     let mut lengths = words.filter(|word| word.len() > 9).map(|word| word.len());
    ///     while let Some(length) = lengths.next().await {
    ///         println!("{}: {}", length.key(), *length);
    ///     }
    /// }
    /// ```
    pub fn filter(self, mut keep: impl FnMut(&Event<T, K>) -> bool + 'static) -> Self
    where
        T: 'static,
        K: 'static,
    {
        self.through(move |event| keep(&event).then_some(event))
    }

    /// Gives each event what `f` makes of its record; key, time and headers stay.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words")]
    /// async fn shout(words: Stream<String>) {
    ///     let mut words = words.map(|word| word.to_uppercase());
    ///     while let Some(word) = words.next().await {
    ///         println!("{}", *word);
    ///     }
    /// }
    /// ```
    pub fn map<U: 'static>(self, mut f: impl FnMut(T) -> U + 'static) -> Stream<U, K>
    where
        T: 'static,
        K: 'static,
    {
        self.through(move |event| Some(event.map(&mut f)))
    }

    fn through<U>(
        self,
        mut f: impl FnMut(Event<T, K>) -> Option<Event<U, K>> + 'static,
    ) -> Stream<U, K>
    where
        T: 'static,
        K: 'static,
        U: 'static,
    {
        let Stream { cx, mut source, .. } = self;
        let made = move |cx: &AgentCx, input: usize, place: Option<u64>| {
            let (time, event) = source.read(cx, input, place)?;
            Ok((time, event.and_then(&mut f)))
        };
        Stream {
            cx,
            source: Source::Made(Box::new(made)),
            batch: Gathering::default(),
        }
    }

    /// What holds several events is the only agent of its topics.
    pub(super) fn alone(&self, how: &str) {
        self.cx.require_alone(how);
    }
}

impl AgentCx {
    /// The handler has finished with the current event.
    #[inline]
    pub(crate) fn acknowledge(&self) {
        self.state().deadline.set(None);
        if self.shared.clock.unproven.get() || self.shared.effects.blame.is_careful() {
            self.look_and_acknowledge();
        } else {
            self.shared.done(self.agent);
        }
    }

    /// The same, once the rows that the event has changed have been looked at.
    fn look_and_acknowledge(&self) {
        if self.shared.effects.blame.is_careful()
            && let Some(why) = self.unwritable()
        {
            return self.fail(Failure::from(why).rejected());
        }
        match self.shared.check_rows(self.agent) {
            Ok(()) => self.shared.done(self.agent),
            Err(failure) => self.fail(failure),
        }
    }

    /// Whether the current event was found to spoil its commit: then it has failed here, by `on_error`.
    pub(crate) fn is_condemned(&self) -> bool {
        let Some(why) = self.verdict() else {
            return false;
        };
        self.state().attempts.set(0);
        self.fail(Failure::from(why).rejected());
        true
    }

    /// The current event, decoded, when it is this agent's turn. Bad records are dealt with on the way.
    pub(crate) fn poll_event<T: Payload, K: StreamKey>(&self) -> Poll<Option<Event<T, K>>> {
        self.poll_with(|input| self.decode_at(input, None).map(Some))
    }

    /// The same through `filter` and `map`.
    fn poll_made<T, K>(&self, source: &mut Source<T, K>) -> Poll<Option<Event<T, K>>> {
        self.poll_with(|input| {
            let (time, event) = source.read(self, input, None)?;
            if event.is_none() {
                self.shared.clock.event_time.set(time);
            }
            Ok(event)
        })
    }

    #[inline]
    fn poll_with<T, K>(
        &self,
        mut read: impl FnMut(usize) -> Result<Option<Event<T, K>>, Bad>,
    ) -> Poll<Option<Event<T, K>>> {
        let (shared, state) = (&*self.shared, self.state());
        loop {
            if state.status.get() != Status::Waiting {
                if shared.may_begin_inline() {
                    shared.begin_input(0);
                    state.wakeup.poke.set(false);
                } else if shared.revoked.get() && shared.dispatch.current.get() == Current::None {
                    return Poll::Ready(None);
                } else {
                    return Poll::Pending;
                }
            }
            if state.status.get() != Status::Waiting {
                return Poll::Pending;
            }
            let Current::Input(input) = shared.dispatch.current.get() else {
                if self.is_holding() && shared.dispatch.held.borrow().is_empty() {
                    // What failed together is taken one by one now.
                    shared.dispatch.current.set(Current::None);
                    state.status.set(Status::Idle);
                    state.holds.again.set(0);
                    continue;
                }
                return Poll::Pending;
            };
            if self.is_condemned() {
                if shared.is_stopped() {
                    return Poll::Pending;
                }
                continue;
            }
            match read(input) {
                Ok(Some(event)) => {
                    shared.clock.event_time.set(event.time);
                    shared.clock.hand.set(Hand::One);
                    shared.count();
                    state.status.set(Status::Busy);
                    if let Some(timeout) = state.options.timeout_ms {
                        state.deadline.set(Some(shared.times.mono.get() + timeout));
                    }
                    return Poll::Ready(Some(event));
                }
                Ok(None) => {
                    shared.count();
                    shared.done(self.agent);
                }
                Err(bad) => {
                    self.bad_record(&bad);
                    // By `on_decode_error = "stop"` the record stays in flight: not again and again.
                    if shared.is_stopped() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Decodes the record at the front of an input, or at a place in it.
    // Left to itself the compiler calls it, and copies the event once more.
    #[inline(always)]
    pub(super) fn decode_at<T: Payload, K: StreamKey>(
        &self,
        input: usize,
        place: Option<u64>,
    ) -> Result<Event<T, K>, Bad> {
        let (shared, state) = (&*self.shared, self.state());
        let inbox = shared.inputs.inboxes[input].borrow();
        let raw = match place {
            None => inbox.front(),
            Some(place) => inbox.at(place),
        };
        let Some(raw) = raw else {
            return Err("the record is gone".to_owned().into());
        };
        // With several topics it was decoded to choose among them.
        let chosen = if shared.inputs.timely > 1 {
            let mut heads = state.heads.borrow_mut();
            heads
                .as_mut()
                .and_then(|heads| heads.as_any(input).downcast_mut::<Heads<T>>())
                .and_then(|heads| heads.take(input, raw.offset))
        } else {
            None
        };
        let value = chosen
            .unwrap_or_else(|| T::decode(raw.value))
            .map_err(|e| self.undecodable::<T::Record>(e))?;
        let mut stays = false;
        let time = match value.timestamp() {
            Some(time) => time,
            // A tombstone has no field to say it.
            None if T::Record::HAS_TIMESTAMP && value.record().is_none() => {
                stays = shared.known_time() == NO_TIME;
                shared.time_of_deletion(raw.timestamp)?
            }
            None if raw.timestamp == NO_TIME => shared.time_of_nothing()?,
            None => raw.timestamp,
        };
        let latest = shared
            .times
            .wall
            .get()
            .saturating_add(shared.inputs.ahead[input]);
        if time > latest {
            return Err(format!(
                "its event time {} is more than {} ahead of the clock: it would make everything after it late; see max_ahead",
                crate::task::state::people_time(time),
                crate::duration::format(shared.inputs.ahead[input])
            )
            .into());
        }
        let key = OnceCell::new();
        let mut raw_key = None;
        if state.needs_key {
            let decoded = K::decode(raw.key).map_err(|e| self.unreadable_key(&e))?;
            let _ = key.set(decoded);
        } else {
            raw_key = raw.key.map(SmallVec::from_slice);
        }
        shared.dispatch.stays.set(stays);
        let headers = (!raw.headers.is_empty()).then(|| Box::new(Headers::decode(raw.headers)));
        Ok(Event {
            record: value,
            key,
            raw_key,
            time,
            offset: raw.offset,
            partition: shared.partition,
            headers,
        })
    }
}
