//! `Stream::take`: events in batches.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::event::Event;
use super::gathering::Gathering;
use super::stream::{Source, Stream};
use crate::table::Hand;
use crate::task::agent::Status;
use crate::task::dispatch::Current;
use crate::task::dispatch::EventState;
use crate::task::inbox::HOLD_BYTES;
use crate::task::origin::Together;
use crate::task::state::AgentCx;

impl<T, K> Stream<T, K> {
    /// Returns the next events together: `n` of them, or fewer when the first has waited for `within`, when an older
    /// event of another topic is due, or at 64 MiB. Never none. Acknowledges the batch before. `None` when the
    /// partition goes away in order.
    ///
    /// A batch is one event to all that is promised: its effects are committed together, and it fails together. It is
    /// then retried as a whole; when its retries are used up, its events are dispatched one by one, so that `on_error`
    /// takes only those that fail alone. The agent is the only one of its topics. A windowed table is changed by
    /// `update_at`.
    ///
    /// ```standalone_crate
    /// # use std::time::Duration;
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::{TestApp, at};
    /// #[agent(topic = "words")]
    /// async fn count(mut words: Stream<String>, lengths: Topic<Lengths>) -> Result {
    ///     while let Some(batch) = words.take(2, Duration::from_secs(1)).await {
    ///         let total: usize = batch.iter().map(|word| word.len()).sum();
    ///         lengths.send("all", total.to_string()).await?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// #[topic("lengths", value = String)]
    /// struct Lengths;
    ///
    /// let mut app = TestApp::only((count,));
    /// for word in ["one", "three", "seven"] {
    ///     app.send("words", "k", word.to_owned());
    /// }
    /// assert_eq!(app.sent::<String>("lengths").len(), 1);
    /// app.advance_to(at("1970-01-01T00:00:02Z"));
    /// assert_eq!(*app.sent::<String>("lengths")[1], "5");
    /// ```
    pub async fn take(&mut self, n: usize, within: Duration) -> Option<Vec<Event<T, K>>> {
        self.alone("take");
        let Stream { cx, source, batch } = self;
        let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        poll_fn(|_| {
            if cx.state().status.get() == Status::Busy {
                cx.acknowledge();
            }
            cx.poll_batch(source, batch, n.max(1), within)
        })
        .await
    }
}

/// The events that are to be taken together cannot be now.
struct NotHere;

/// Whether a batch need not wait any longer.
#[derive(Clone, Copy, PartialEq)]
enum Ready {
    Not,
    /// There are enough records.
    Enough,
    /// Whatever there is.
    Whatever,
}

impl AgentCx {
    fn poll_batch<T, K>(
        &self,
        source: &mut Source<T, K>,
        gathering: &mut Gathering,
        n: usize,
        within: u64,
    ) -> Poll<Option<Vec<Event<T, K>>>> {
        let (shared, state) = (&*self.shared, self.state());
        let holds = &state.holds;
        holds.wants.set(false);
        loop {
            if matches!(state.status.get(), Status::Retry(_)) || shared.is_stopped() {
                return Poll::Pending;
            }
            if !shared.claim(self.agent) {
                return Poll::Pending;
            }
            if shared.revoked.get() {
                return Poll::Ready(None);
            }
            let again = holds.again.get();
            let same = match again {
                0 if holds.alone.get() == 0 => match self.taken_before() {
                    Ok(same) => same,
                    // The rest of it comes, or a commit is due before it.
                    Err(NotHere) => return Poll::Pending,
                },
                _ => None,
            };
            let one_by_one =
                holds.alone.get() > 0 || (shared.effects.blame.is_careful() && same.is_none());
            let limit = match again {
                _ if one_by_one => 1,
                0 => n,
                again => again.min(n),
            };
            let mut ready = Ready::Whatever;
            if again == 0 && !one_by_one && same.is_none() {
                ready = self.is_ready(gathering, limit, within);
                if ready == Ready::Not {
                    return Poll::Pending;
                }
            }
            let batch = match &same {
                Some(same) => self.dispatch_same(source, same),
                None => self.dispatch_batch(source, limit, one_by_one),
            };
            let Some(batch) = batch else {
                return Poll::Pending;
            };
            let count = shared.dispatch.held.borrow().len();
            if count == 0 {
                holds.wants.set(true);
                return Poll::Pending;
            }
            if batch.len() < limit && count >= limit && ready == Ready::Enough {
                // A filter left out too many: once more, with twice as many records.
                gathering.records = count.saturating_mul(2);
                shared.rollback(self.agent);
                shared.requeue_held();
                shared.dispatch.current.set(Current::None);
                shared.clock.hand.set(Hand::Empty);
                continue;
            }
            *gathering = Gathering::default();
            holds.alarm.set(None);
            holds.again.set(0);
            if again == 0 {
                state.attempts.set(0);
                holds.alone.set(holds.alone.get().saturating_sub(count));
            }
            shared.dispatch.open.set(1);
            state.status.set(Status::Busy);
            if self.is_condemned() {
                continue;
            }
            if batch.is_empty() {
                // All of them were bad, or filtered out.
                self.acknowledge();
                continue;
            }
            state.deadline.set(
                state
                    .options
                    .timeout_ms
                    .map(|t| shared.times.mono.get() + t),
            );
            return Poll::Ready(Some(batch));
        }
    }

    /// Whether a batch need not wait any longer; sets the alarm when it must.
    fn is_ready(&self, gathering: &mut Gathering, limit: usize, within: u64) -> Ready {
        let (shared, holds) = (&*self.shared, &self.state().holds);
        let records = limit.max(gathering.records);
        let (mut waiting, mut others, mut full) = (0, false, false);
        for (input, readers) in shared.inputs.readers.iter().enumerate() {
            let mut inbox = shared.inputs.inboxes[input].borrow_mut();
            if readers.contains(&self.agent) {
                inbox.want(records);
                waiting += inbox.waiting();
                full |= inbox.bytes() >= HOLD_BYTES;
            } else {
                others |= inbox.waiting() > 0;
            }
        }
        if waiting == 0 {
            gathering.since = None;
            holds.alarm.set(None);
            return Ready::Not;
        }
        let mono = shared.times.mono.get();
        let until = gathering.since.get_or_insert(mono).saturating_add(within);
        if others || full || mono >= until {
            return Ready::Whatever;
        }
        if waiting >= records {
            return Ready::Enough;
        }
        holds.alarm.set(Some(until));
        Ready::Not
    }

    /// The events that were taken together before, in a commit that did not succeed, where they come next: together
    /// again, because by that their outputs are known which the broker has already.
    ///
    /// # Errors
    /// Some of them have not been read again.
    fn taken_before(&self) -> Result<Option<Rc<Together>>, NotHere> {
        let shared = &*self.shared;
        let next = |input: usize| {
            let reads = shared.inputs.readers[input] == [self.agent];
            reads.then(|| shared.inputs.inboxes[input].borrow().waiting_offset(0))?
        };
        let Some(same) = shared.effects.blame.taken_before(next) else {
            return Ok(None);
        };
        let mut number = vec![0; shared.inputs.inboxes.len()];
        for &(input, offset) in &same.events {
            let mut inbox = shared.inputs.inboxes[input].borrow_mut();
            match inbox.waiting_offset(number[input]) {
                Some(found) if found == offset => number[input] += 1,
                None if !inbox.at_end() => {
                    inbox.want(same.events.len());
                    return Err(NotHere);
                }
                // It was deleted meanwhile.
                _ => {
                    shared.effects.blame.forget(&same);
                    return Ok(None);
                }
            }
        }
        match shared
            .effects
            .blame
            .may_join(same.events.len(), shared.effects.acked.get())
        {
            true => Ok(Some(same)),
            false => Err(NotHere),
        }
    }

    /// `None`: the task stops.
    fn dispatch_same<T, K>(
        &self,
        source: &mut Source<T, K>,
        same: &Together,
    ) -> Option<Vec<Event<T, K>>> {
        let shared = &*self.shared;
        shared.clock.judge_time.set(shared.clock.stream_time.get());
        let mut batch = Vec::with_capacity(same.events.len());
        if shared.may_hold_more() {
            for &(input, _) in &same.events {
                self.dispatch_one(source, input, &mut batch)?;
            }
        }
        shared.clock.hand.set(Hand::Several);
        Some(batch)
    }

    /// `None`: the task stops.
    fn dispatch_batch<T, K>(
        &self,
        source: &mut Source<T, K>,
        limit: usize,
        one_by_one: bool,
    ) -> Option<Vec<Event<T, K>>> {
        let shared = &*self.shared;
        let clock = &shared.clock;
        clock.judge_time.set(clock.stream_time.get());
        let mut batch = Vec::with_capacity(limit.min(1024));
        // A bad record is alone as well: what fails beside it would never be.
        while batch.len() < limit
            && (!one_by_one || shared.dispatch.held.borrow().is_empty())
            && let Some(input) = shared.next_for(self.agent)
        {
            self.dispatch_one(source, input, &mut batch)?;
        }
        clock.hand.set(Hand::Several);
        Some(batch)
    }

    /// `None`: the task stops.
    fn dispatch_one<T, K>(
        &self,
        source: &mut Source<T, K>,
        input: usize,
        batch: &mut Vec<Event<T, K>>,
    ) -> Option<()> {
        let shared = &*self.shared;
        let number = shared.hold(self.agent, input);
        let (_, place) = shared.dispatch.spot.get();
        match source.read(self, input, Some(place)) {
            Ok((time, event)) => {
                shared.change_held(number, |held| {
                    held.time = time;
                    held.stays = shared.dispatch.stays.take();
                    held.state = EventState::Running;
                });
                batch.extend(event);
                shared.clock.event_time.set(time);
                Some(())
            }
            Err(why) => self.refuse_held(&why).then_some(()),
        }
    }

    /// Whether the agent holds what is in flight.
    pub(crate) fn is_holding(&self) -> bool {
        self.shared.dispatch.current.get() == Current::InFlight(self.agent)
    }
}
