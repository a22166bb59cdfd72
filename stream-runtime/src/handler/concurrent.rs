//! `concurrency = n`: the event form with several handlers at once. Different keys run at once, the events of a key in
//! their order; effects are released in the order of the events.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::context::Cx;
use super::event::Event;
use super::outputs::Emitter;
use super::outputs::Returned;
use crate::error::{Action, Failure};
use crate::key::StreamKey;
use crate::record::Payload;
use crate::task::bad::Bad;
use crate::task::dispatch::Current;
use crate::task::dispatch::EventState;
use crate::task::failure_policy::Unwound;
use crate::task::state::AgentCx;

/// Events in flight for each that may run: those that wait for their key, or for the release of one before them.
const WINDOW: usize = 16;

/// One handler at work.
struct Slot<Fut> {
    /// Number of its event; `None` when it is free.
    number: Option<u64>,
    future: Pin<Box<Option<Fut>>>,
    woken: Arc<Woken>,
    waker: Waker,
}

/// Wakes the agent and says which of its handlers is meant.
struct Woken {
    this: AtomicBool,
    agent: Waker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.this.store(true, Ordering::Release);
        self.agent.wake_by_ref();
    }
}

impl<Fut> Slot<Fut> {
    fn new(agent: &Waker) -> Self {
        let woken = Arc::new(Woken {
            this: AtomicBool::new(false),
            agent: agent.clone(),
        });
        Slot {
            number: None,
            future: Box::pin(None),
            waker: woken.clone().into(),
            woken,
        }
    }

    fn free(&mut self) {
        self.number = None;
        self.future.as_mut().set(None);
    }
}

/// How an attempt at an event ended.
enum End {
    Well,
    Failed(Failure),
    Bad(Bad),
    /// The task stops.
    Stopped,
}

/// Calls the function for several events at once.
pub(super) async fn several<M, I, T, K, F, Fut, R>(
    agent: AgentCx,
    mut call: F,
    wrap: fn(Event<T, K>) -> I,
) where
    T: Payload,
    K: StreamKey,
    F: FnMut(I, &Cx<M>) -> Fut,
    Fut: Future<Output = Returned<R>>,
{
    let cx = Cx::new(&agent);
    let most = agent.state().options.concurrency.max(1) as usize;
    let mut slots: Vec<Slot<Fut>> = Vec::new();
    poll_fn(|poll| {
        let shared = &*agent.shared;
        agent.state().holds.wants.set(false);
        if !shared.claim(agent.agent) {
            return Poll::Pending;
        }
        loop {
            if shared.is_stopped() {
                return Poll::Pending;
            }
            let mut moved = agent.take_more(most);
            for number in agent.startable(most, &slots) {
                let at = match slots.iter().position(|slot| slot.number.is_none()) {
                    Some(at) => at,
                    None => {
                        slots.push(Slot::new(poll.waker()));
                        slots.len() - 1
                    }
                };
                moved = true;
                let end = agent.inside(number, || agent.begin(number, &mut call, wrap, &cx));
                match end {
                    Ok(future) => {
                        let slot = &mut slots[at];
                        slot.number = Some(number);
                        slot.future.as_mut().set(Some(future));
                        slot.woken.this.store(true, Ordering::Release);
                    }
                    Err(end) => agent.end(number, end),
                }
            }
            for slot in &mut slots {
                moved |= agent.turn(slot);
            }
            shared.release();
            if !moved {
                break;
            }
        }
        agent.rest(most);
        let running = slots.iter().any(|slot| slot.number.is_some());
        if shared.revoked.get() && !running {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

impl AgentCx {
    /// Holds as many events as may wait beside those that run. Returns whether there were any.
    fn take_more(&self, most: usize) -> bool {
        let shared = &*self.shared;
        let mut moved = false;
        while shared.dispatch.held.borrow().len() < most.saturating_mul(WINDOW)
            && shared.dispatch.budget.get() > 0
            && let Some(input) = shared.next_for(self.agent)
        {
            shared.hold(self.agent, input);
            moved = true;
        }
        moved
    }

    /// Events that may begin: no event of the same key is before them, their back-off is over, and there is room.
    fn startable<Fut>(&self, most: usize, slots: &[Slot<Fut>]) -> Vec<u64> {
        let shared = &*self.shared;
        let running = slots.iter().filter(|slot| slot.number.is_some()).count();
        let mut room = most.saturating_sub(running);
        let mut out = Vec::new();
        if room == 0 || shared.revoked.get() {
            return out;
        }
        let held = shared.dispatch.held.borrow();
        let mut busy: Vec<(usize, u64)> = Vec::new();
        for h in held.iter().filter(|h| h.state != EventState::Done) {
            let is_due = match h.state {
                EventState::Queued => true,
                EventState::Retry(at) => at <= shared.times.mono.get(),
                EventState::Running | EventState::Done => false,
            };
            if is_due && !self.is_behind(h.input, h.place, &busy) {
                out.push(h.number);
                room -= 1;
                if room == 0 {
                    break;
                }
            }
            busy.push((h.input, h.place));
        }
        out
    }

    /// Whether one of these events has the same key. Events without a key have no order.
    fn is_behind(&self, input: usize, place: u64, before: &[(usize, u64)]) -> bool {
        let inboxes = &self.shared.inputs.inboxes;
        let inbox = inboxes[input].borrow();
        let Some(key) = inbox.at(place).and_then(|record| record.key) else {
            return false;
        };
        before.iter().any(|(input, place)| {
            let inbox = inboxes[*input].borrow();
            inbox.at(*place).and_then(|record| record.key) == Some(key)
        })
    }

    /// Runs `f` with this event as the current one: what it sends is the event's.
    fn inside<R>(&self, number: u64, f: impl FnOnce() -> R) -> R {
        let (shared, state) = (&*self.shared, self.state());
        shared.change_held(number, |held| {
            shared.dispatch.spot.set((held.input, held.place));
            shared.clock.event_time.set(held.time);
            state.attempts.set(held.attempts);
            std::mem::swap(&mut held.effects, &mut *state.staging.borrow_mut());
        });
        let out = f();
        shared.change_held(number, |held| {
            held.attempts = state.attempts.get();
            std::mem::swap(&mut held.effects, &mut *state.staging.borrow_mut());
        });
        out
    }

    /// Decodes the event and calls the function.
    fn begin<M, I, T, K, F, Fut>(
        &self,
        number: u64,
        call: &mut F,
        wrap: fn(Event<T, K>) -> I,
        cx: &Cx<M>,
    ) -> Result<Fut, End>
    where
        T: Payload,
        K: StreamKey,
        F: FnMut(I, &Cx<M>) -> Fut,
    {
        let (shared, state) = (&*self.shared, self.state());
        let (input, place) = shared.dispatch.spot.get();
        if let Some(why) = self.verdict_at(input, place) {
            return Err(End::Failed(Failure::from(why).rejected()));
        }
        let event = self
            .decode_at::<T, K>(input, Some(place))
            .map_err(End::Bad)?;
        let deadline = state
            .options
            .timeout_ms
            .map(|t| shared.times.mono.get() + t);
        shared.clock.event_time.set(event.time);
        shared.change_held(number, |held| {
            held.time = event.time;
            held.stays = shared.dispatch.stays.take();
            held.state = EventState::Running;
            held.deadline = deadline;
        });
        // A key that is asked for is made here.
        catch_unwind(AssertUnwindSafe(|| call(wrap(event), cx)))
            .map_err(|payload| self.ended(payload))
    }

    /// Polls a handler that was woken, or ends it when its time is up. Returns whether it came to its end.
    fn turn<Fut, R>(&self, slot: &mut Slot<Fut>) -> bool
    where
        Fut: Future<Output = Returned<R>>,
    {
        let Some(number) = slot.number else {
            return false;
        };
        let deadline = self.shared.change_held(number, |held| held.deadline);
        let end = if deadline
            .flatten()
            .is_some_and(|at| at <= self.shared.times.mono.get())
        {
            let timeout = self.state().options.timeout_ms.unwrap_or_default();
            End::Failed(Failure::from(format!(
                "took longer than its timeout of {timeout} ms"
            )))
        } else {
            if !slot.woken.this.swap(false, Ordering::Acquire) {
                return false;
            }
            let polled = self.inside(number, || {
                let Some(future) = slot.future.as_mut().as_pin_mut() else {
                    return Poll::Pending;
                };
                let mut context = Context::from_waker(&slot.waker);
                match catch_unwind(AssertUnwindSafe(|| future.poll(&mut context))) {
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(out)) => Poll::Ready(match out.each(&mut Emitter::new(self)) {
                        Ok(()) => End::Well,
                        Err(failure) => End::Failed(failure),
                    }),
                    Err(payload) => Poll::Ready(self.ended(payload)),
                }
            });
            match polled {
                Poll::Ready(end) => end,
                Poll::Pending => return false,
            }
        };
        slot.free();
        self.end(number, end);
        true
    }

    fn ended(&self, payload: Box<dyn std::any::Any + Send>) -> End {
        match Unwound::of(payload) {
            Unwound::Raised(error) => {
                self.shared.stop(error, false);
                End::Stopped
            }
            Unwound::Bad(why) => End::Bad(why.into()),
            Unwound::Failed(failure) => End::Failed(failure),
        }
    }

    /// An attempt at an event is over.
    fn end(&self, number: u64, end: End) {
        let (shared, state) = (&*self.shared, self.state());
        if !matches!(end, End::Well) {
            shared.change_held(number, |held| held.effects.clear());
        }
        let next = self.inside(number, || match end {
            End::Stopped => None,
            End::Well => Some(EventState::Done),
            End::Bad(bad) => {
                state.attempts.set(1);
                self.dispose_bad(&bad).then_some(EventState::Done)
            }
            End::Failed(failure) => self.after(&failure),
        });
        shared.change_held(number, |held| {
            held.deadline = None;
            if let Some(next) = next {
                held.state = next;
            }
        });
    }

    fn after(&self, failure: &Failure) -> Option<EventState> {
        let (shared, state) = (&*self.shared, self.state());
        shared
            .counters
            .failures
            .set(shared.counters.failures.get() + 1);
        let failed = state.attempts.get() + 1;
        state.attempts.set(failed);
        match failure.action() {
            Action::Fatal => {
                self.fatal(failure);
                None
            }
            Action::Retry if failed <= state.options.retries => {
                Some(EventState::Retry(self.retry_at(failed, failure)))
            }
            Action::Retry | Action::Reject => self
                .dispose(state.options.on_error, &failure.to_string())
                .then_some(EventState::Done),
        }
    }

    /// Says what the agent waits for.
    fn rest(&self, most: usize) {
        let shared = &*self.shared;
        let held = shared.dispatch.held.borrow();
        let wakes = held.iter().filter_map(|h| match h.state {
            EventState::Retry(at) => Some(at),
            EventState::Running => h.deadline,
            EventState::Queued | EventState::Done => None,
        });
        let holds = &self.state().holds;
        holds.alarm.set(wakes.min());
        holds.wants.set(
            shared.dispatch.current.get() == Current::InFlight(self.agent)
                && held.len() < most.saturating_mul(WINDOW),
        );
    }
}
