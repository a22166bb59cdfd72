//! Several events in flight: one agent's, the only one of their topics. Dispatched in the task's order, and their
//! effects released in it, so that a commit is always a cut.

use super::agent::Status;
use super::bad::Bad;
use super::dispatch::{Current, EventState, InFlight};
use super::failure_policy::backoff;
use super::record_buffer::RecordBuffer;
use super::state::{AgentCx, TaskState};
use crate::error::{Action, Error, Failure, raise};
use crate::table::NO_TIME;

impl TaskState {
    /// Whether the agent may have an event beside those in flight: they are its own.
    pub(crate) fn claim(&self, agent: usize) -> bool {
        match self.dispatch.current.get() {
            Current::None => true,
            Current::InFlight(holder) => holder == agent,
            Current::Input(input)
                if self.agents[agent].status.get() == Status::Waiting
                    && self.inputs.readers[input] == [agent] =>
            {
                self.unbegin(agent);
                true
            }
            Current::Input(_) | Current::Closed(_) | Current::Tick(_) => false,
        }
    }

    /// The input whose record is the task's next event, if that is for this agent and may begin now.
    pub(crate) fn next_for(&self, agent: usize) -> Option<usize> {
        if !self.may_hold_more() {
            return None;
        }
        let input = self.oldest_input()?;
        (self.inputs.readers[input] == [agent]).then_some(input)
    }

    /// Whether another event may begin beside those in flight.
    pub(crate) fn may_hold_more(&self) -> bool {
        // Windows and ticks that are due wait until nothing is in flight.
        let others = self.clock.is_due() || self.calls.next_tick.get() <= self.times.mono.get();
        let others = others || self.waiting_again().is_some();
        !(others || self.revoked.get() || self.is_stopped() || self.commit_due())
    }

    /// Has an agent polled that would take another event, when there is one.
    pub(crate) fn offer_more(&self, agent: usize) {
        let a = &self.agents[agent];
        if a.holds.wants.get() && self.dispatch.budget.get() > 0 && self.next_for(agent).is_some() {
            a.wakeup.poke.set(true);
        }
    }

    /// Hands the waiting record of an input to an agent, beside what it holds.
    pub(crate) fn hold(&self, agent: usize, input: usize) -> u64 {
        self.arrives(input);
        let place = self.inputs.inboxes[input].borrow_mut().dispatch_to();
        let number = self.dispatch.next_held.get();
        self.dispatch.next_held.set(number + 1);
        self.dispatch
            .budget
            .set(self.dispatch.budget.get().saturating_sub(1));
        self.dispatch.current.set(Current::InFlight(agent));
        self.dispatch.spot.set((input, place));
        self.clock.event_time.set(self.clock.stream_time.get());
        self.dispatch.held.borrow_mut().push_back(InFlight {
            number,
            input,
            place,
            time: NO_TIME,
            stays: false,
            state: EventState::Queued,
            effects: RecordBuffer::default(),
            attempts: 0,
            deadline: None,
        });
        number
    }

    /// Changes a current event; `None` when it is not in flight any more.
    pub(crate) fn change_held<R>(
        &self,
        number: u64,
        f: impl FnOnce(&mut InFlight) -> R,
    ) -> Option<R> {
        let mut held = self.dispatch.held.borrow_mut();
        let at = number.checked_sub(held.front()?.number)?;
        held.get_mut(usize::try_from(at).ok()?).map(f)
    }

    /// Of several events in flight the one whose next attempt comes first, unless handlers are at work: agent, failed
    /// attempts, monotonic time.
    pub(crate) fn held_retry(&self) -> Option<(usize, u32, u64)> {
        let Current::InFlight(agent) = self.dispatch.current.get() else {
            return None;
        };
        let held = self.dispatch.held.borrow();
        if held.iter().any(|h| h.state == EventState::Running) {
            return None;
        }
        let waiting = held.iter().filter_map(|h| match h.state {
            EventState::Retry(at) => Some((agent, h.attempts, at)),
            _ => None,
        });
        waiting.min_by_key(|(_, _, at)| *at)
    }
}

impl AgentCx {
    /// Agents that hold several events are the only ones of their topics: effects are released in one order.
    pub(crate) fn require_alone(&self, how: &str) {
        let shared = &self.shared;
        for (input, readers) in shared.inputs.readers.iter().enumerate() {
            let Some(other) = readers.iter().find(|&&other| other != self.agent) else {
                continue;
            };
            if readers.contains(&self.agent) {
                raise(Error::agent(format!(
                    "agent `{}` holds several events (`{how}`), and agent `{}` reads topic `{}` too: an agent that holds several is the only one of its topics; give the other one a topic of its own",
                    self.state().name,
                    shared.agents[*other].name,
                    shared.inputs.names[input]
                )));
            }
        }
    }

    /// The record that was just dispatched is not an event for the handler; `false`: the task stops.
    pub(crate) fn refuse_held(&self, bad: &Bad) -> bool {
        let agent = self.state();
        let attempts = agent.attempts.replace(1);
        let goes_on = self.dispose_bad(bad);
        agent.attempts.set(attempts);
        goes_on
    }

    /// A handler that has several events in flight failed: all of them wait for their next attempt together.
    pub(crate) fn fail_held(&self, failure: &Failure) {
        let (shared, agent) = (&self.shared, self.state());
        shared.rollback(self.agent);
        agent.deadline.set(None);
        agent.holds.forgotten.set(None);
        let count = shared.dispatch.held.borrow().len();
        let failed = agent.attempts.get() + 1;
        agent.attempts.set(failed);
        match failure.action() {
            Action::Fatal => self.fatal(failure),
            Action::Retry if failed <= agent.options.retries => {
                let wait = backoff(agent.options.backoff_ms, failed);
                tracing::warn!(
                    agent = agent.name,
                    at = shared.record_location(),
                    events = count,
                    attempt = failed,
                    of = agent.options.retries + 1,
                    retry_in_ms = wait,
                    "handler failed: {failure}"
                );
                shared.requeue_held();
                agent.holds.again.set(count);
                agent
                    .status
                    .set(Status::Retry(shared.times.mono.get() + wait));
            }
            Action::Retry | Action::Reject => self.give_up_held(&failure.to_string(), count),
        }
    }

    fn give_up_held(&self, why: &str, count: usize) {
        let (shared, agent) = (&self.shared, self.state());
        if agent.holds.noack.get() {
            self.give_up_each(why);
        } else if count > 1 {
            tracing::warn!(
                agent = agent.name,
                at = shared.record_location(),
                events = count,
                "failed together, and are dispatched one by one now: {why}"
            );
            shared.requeue_held();
            agent.attempts.set(0);
            agent.holds.alone.set(count);
            agent.status.set(Status::Waiting);
            agent.wakeup.poke.set(true);
        } else if self.dispose(agent.options.on_error, why) {
            shared.done(self.agent);
        }
    }

    /// Does with every event that is not acknowledged what `on_error` says.
    fn give_up_each(&self, why: &str) {
        let (shared, agent) = (&self.shared, self.state());
        let open: Vec<(u64, (usize, u64))> = shared
            .dispatch
            .held
            .borrow()
            .iter()
            .filter(|h| h.state != EventState::Done)
            .map(|h| (h.number, (h.input, h.place)))
            .collect();
        for (number, spot) in open {
            shared.dispatch.spot.set(spot);
            if !self.dispose(agent.options.on_error, why) {
                return;
            }
            let staging = agent.staging.take();
            shared.change_held(number, |held| {
                held.effects = staging;
                held.state = EventState::Done;
            });
        }
        agent.attempts.set(0);
        agent.status.set(Status::Idle);
        shared.release();
    }

    /// A handler found a record bad that it holds among others: which one is seen when they come one by one.
    pub(crate) fn bad_among_held(&self, bad: &Bad) {
        let (shared, agent) = (&self.shared, self.state());
        if agent.holds.noack.get() || shared.dispatch.held.borrow().len() > 1 {
            return self.fail_held(&Failure::from(bad.why.clone()).rejected());
        }
        shared.rollback(self.agent);
        agent.attempts.set(1);
        agent.deadline.set(None);
        if self.dispose_bad(bad) {
            shared.done(self.agent);
        }
    }
}
