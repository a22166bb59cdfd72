//! `Stream::noack`: events that the handler acknowledges itself.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::task::Poll;

use super::event::Event;
use super::stream::{Source, Stream};
use crate::error::{Error, counted, raise};
use crate::task::agent::Status;
use crate::task::dispatch::Current;
use crate::task::dispatch::EventState;
use crate::task::inbox::HOLD_BYTES;
use crate::task::state::AgentCx;
use crate::task::state::TaskState;

/// A stream whose events are acknowledged by [`Unacked::ack`]; made by [`Stream::noack`].
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[agent(topic = "words")]
/// async fn slowly(words: Stream<String>) -> Result<()> {
///     let mut words = words.noack();
///     while let Some(word) = words.next().await {
///         println!("{}", **word);
///         word.ack();
///     }
///     Ok(())
/// }
/// ```
pub struct NoAck<T, K = String> {
    cx: AgentCx,
    source: Source<T, K>,
}

/// An event that waits for its acknowledgement. It derefs to the [`Event`].
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[agent(topic = "words")]
/// async fn slowly(words: Stream<String>) -> Result<()> {
///     let mut words = words.noack();
///     while let Some(word) = words.next().await {
///         println!("{}", **word);
///         word.ack();
///     }
///     Ok(())
/// }
/// ```
pub struct Unacked<T, K = String> {
    event: Event<T, K>,
    cx: AgentCx,
    number: u64,
    acked: bool,
}

impl<T, K> Stream<T, K> {
    /// Takes acknowledging over: `next` of what is returned leaves the events before in flight, and each is
    /// acknowledged by [`event.ack()`](Unacked::ack), in any order.
    ///
    /// Effects are released, and offsets committed, in the order of the events: what comes behind an event that is not
    /// acknowledged waits for it. What is sent belongs to the latest current event. An `Err`, a panic or a timeout
    /// fails all events in flight; when the retries are used up, `on_error` takes each of them. At the end of the
    /// function, and when the partition goes away, events without an acknowledgement are requeued and come again. The
    /// agent is alone in its task: it takes no table, and no other agent reads its topics.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// #[agent(topic = "words")]
    /// async fn pairs(words: Stream<String>, joined: Topic<Joined>) -> Result {
    ///     let mut words = words.noack();
    ///     let mut first = None;
    ///     while let Some(word) = words.next().await {
    ///         match first.take() {
    ///             None => first = Some(word),
    ///             Some(before) => {
    ///                 joined.send(word.key(), format!("{} {}", **before, **word)).await?;
    ///                 before.ack();
    ///                 word.ack();
    ///             }
    ///         }
    ///     }
    ///     Ok(())
    /// }
    ///
    /// #[topic("joined", value = String)]
    /// struct Joined;
    ///
    /// let mut app = TestApp::only((pairs,));
    /// for word in ["a", "b", "c"] {
    ///     app.send("words", "k", word.to_owned());
    /// }
    /// assert_eq!(*app.sent::<String>("joined")[0], "a b");
    /// ```
    pub fn noack(self) -> NoAck<T, K> {
        self.alone("noack");
        let state = self.cx.state();
        if self.cx.shared.agents.len() > 1 || !self.cx.shared.tables.is_empty() {
            raise(Error::agent(format!(
                "agent `{}` acknowledges its events itself (`noack`) and shares its task with a table or with another agent: such an agent is alone; use `take`, or put what it does into a topic that the others read",
                state.name
            )));
        }
        state.holds.forgotten.set(None);
        state.holds.noack.set(true);
        NoAck {
            cx: self.cx,
            source: self.source,
        }
    }
}

impl<T, K> NoAck<T, K> {
    /// Returns the next event; those before stay in flight. `None` when the partition goes away in order.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words")]
    /// async fn slowly(words: Stream<String>) -> Result<()> {
    ///     let mut words = words.noack();
    ///     while let Some(word) = words.next().await {
    ///         println!("{}", **word);
    ///         word.ack();
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn next(&mut self) -> Option<Unacked<T, K>> {
        let NoAck { cx, source } = self;
        poll_fn(|_| cx.poll_unacked(source)).await
    }
}

impl<T, K> Unacked<T, K> {
    /// Acknowledges the event: its effects are committed once all events before it are acknowledged.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words")]
    /// async fn slowly(words: Stream<String>) -> Result<()> {
    ///     let mut words = words.noack();
    ///     while let Some(word) = words.next().await {
    ///         println!("{}", **word);
    ///         word.ack();
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn ack(mut self) {
        self.acked = true;
        self.cx.shared.ack(self.cx.agent, self.number);
    }
}

impl<T, K> Deref for Unacked<T, K> {
    type Target = Event<T, K>;

    fn deref(&self) -> &Event<T, K> {
        &self.event
    }
}

impl<T: fmt::Debug, K: fmt::Debug> fmt::Debug for Unacked<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unacked").field(&self.event).finish()
    }
}

impl<T, K> Drop for Unacked<T, K> {
    fn drop(&mut self) {
        if !self.acked && !std::thread::panicking() {
            // Said when the function asks for the next one: at its end they are requeued anyway.
            self.cx
                .state()
                .holds
                .forgotten
                .set(Some(self.event.offset()));
        }
    }
}

impl AgentCx {
    fn poll_unacked<T, K>(&self, source: &mut Source<T, K>) -> Poll<Option<Unacked<T, K>>> {
        let (shared, state) = (&*self.shared, self.state());
        let holds = &state.holds;
        holds.wants.set(false);
        loop {
            if matches!(state.status.get(), Status::Retry(_)) || shared.is_stopped() {
                return Poll::Pending;
            }
            if let Some(offset) = holds.forgotten.get() {
                raise(Error::agent(format!(
                    "agent `{}` dropped the event at offset {offset} without `ack()`: it would never be committed; acknowledge it, or return an error",
                    state.name
                )));
            }
            if !shared.claim(self.agent) {
                return Poll::Pending;
            }
            if shared.revoked.get() {
                return Poll::Ready(None);
            }
            let held: usize = shared
                .inputs
                .inboxes
                .iter()
                .map(|i| i.borrow().held_bytes())
                .sum();
            if held >= HOLD_BYTES {
                raise(Error::agent(format!(
                    "agent `{}` holds {} of {} MiB without `ack()`: acknowledge earlier",
                    state.name,
                    counted(shared.dispatch.held.borrow().len(), "event"),
                    held >> 20
                )));
            }
            let next = (shared.dispatch.budget.get() > 0)
                .then(|| shared.next_for(self.agent))
                .flatten();
            let Some(input) = next else {
                holds.wants.set(!shared.dispatch.held.borrow().is_empty());
                return Poll::Pending;
            };
            shared.attribute(self.agent);
            let number = shared.hold(self.agent, input);
            let (_, place) = shared.dispatch.spot.get();
            if let Some(why) = self.verdict_at(input, place) {
                let attempts = state.attempts.replace(1);
                let goes_on = self.dispose(state.options.on_error, &why);
                state.attempts.set(attempts);
                if !goes_on {
                    return Poll::Pending;
                }
                self.settle_spot(number);
                continue;
            }
            let done = |time| {
                shared.change_held(number, |held| {
                    held.time = time;
                    held.stays = shared.dispatch.stays.take();
                    held.state = EventState::Done;
                });
                shared.release();
            };
            match source.read(self, input, Some(place)) {
                Ok((time, Some(event))) => {
                    let deadline = state
                        .options
                        .timeout_ms
                        .map(|t| shared.times.mono.get() + t);
                    shared.change_held(number, |held| {
                        held.time = time;
                        held.stays = shared.dispatch.stays.take();
                        held.state = EventState::Running;
                        held.deadline = deadline;
                    });
                    shared.clock.event_time.set(time);
                    state.status.set(Status::Busy);
                    if state.deadline.get().is_none() {
                        state.deadline.set(deadline);
                    }
                    return Poll::Ready(Some(Unacked {
                        event,
                        cx: self.clone(),
                        number,
                        acked: false,
                    }));
                }
                Ok((time, None)) => done(time),
                Err(why) => {
                    if !self.refuse_held(&why) {
                        return Poll::Pending;
                    }
                    self.settle_spot(number);
                }
            }
        }
    }

    /// The event that was just dispatched is done with, and what was staged for it is its own.
    fn settle_spot(&self, number: u64) {
        let staging = self.state().staging.take();
        self.shared.change_held(number, |held| {
            held.effects = staging;
            held.state = EventState::Done;
        });
        self.shared.release();
    }

    /// The function came to its end in `Ok`: what it did not acknowledge comes again. `false`: nothing was in flight.
    pub(crate) fn put_unacked_back(&self, progress: bool) -> bool {
        let (shared, state) = (&*self.shared, self.state());
        if !self.is_holding() || !state.holds.noack.get() {
            return false;
        }
        if !progress {
            shared.stop(
                Error::agent(format!(
                    "agent `{}` returned and acknowledged none of its events: loop over `next().await`, and call `ack()` on each",
                    state.name
                )),
                false,
            );
            return true;
        }
        state.staging.borrow_mut().clear();
        shared.requeue_held();
        shared.dispatch.current.set(Current::None);
        state.status.set(Status::Idle);
        state.deadline.set(None);
        state.holds.reset();
        true
    }
}

impl TaskState {
    /// What was sent since belongs to the latest current event.
    fn attribute(&self, agent: usize) {
        let mut staging = self.agents[agent].staging.borrow_mut();
        if staging.is_empty() {
            return;
        }
        let mut held = self.dispatch.held.borrow_mut();
        if let Some(latest) = held.iter_mut().rev().find(|h| h.state != EventState::Done) {
            latest.effects.append(&mut staging);
        }
    }

    /// An current event is acknowledged.
    fn ack(&self, agent: usize, number: u64) {
        if self.dispatch.current.get() != Current::InFlight(agent) {
            return;
        }
        self.attribute(agent);
        self.change_held(number, |held| held.state = EventState::Done);
        self.release();
        let state = &self.agents[agent];
        if self.dispatch.current.get() == Current::InFlight(agent) {
            let held = self.dispatch.held.borrow();
            let open = held.iter().find(|h| h.state != EventState::Done);
            state.deadline.set(open.and_then(|h| h.deadline));
        }
    }
}
