//! The life of an event: it begins, its agents are given it, each acknowledges it or fails and is given it again, and
//! its effects are released into the next commit in the order in which events began.
//!
//! | step | function |
//! |---|---|
//! | choose the next one | [`oldest_input`](TaskState::oldest_input), in `choose` |
//! | begin | [`begin_input`](TaskState::begin_input), [`begin_closed`](TaskState::begin_closed) |
//! | dispatch | [`dispatch_to`](TaskState::dispatch_to); several at once: [`hold`](TaskState::hold), in `held` |
//! | acknowledge | [`done`](TaskState::done) |
//! | fail, retry | [`fail`](AgentCx::fail), [`rollback`](TaskState::rollback) |
//! | release | `settle`, and of several [`release`](TaskState::release) |

use super::agent::Status;
use super::dispatch::{Current, EventState, InFlight};
use super::state::{AgentCx, TaskState};
use crate::error::{Action, Error, Failure};
use crate::table::{Hand, NO_TIME};

impl TaskState {
    /// Hands the front record of an input to its agents.
    pub(crate) fn begin_input(&self, input: usize) {
        let clock = &self.clock;
        self.dispatch
            .budget
            .set(self.dispatch.budget.get().saturating_sub(1));
        clock.judge_time.set(clock.stream_time.get());
        clock.event_time.set(clock.stream_time.get());
        self.dispatch.counts.set(false);
        self.arrives(input);
        self.dispatch.current.set(Current::Input(input));
        self.dispatch_to(&self.inputs.readers[input]);
    }

    /// Hands the head of a table's closing to its agents.
    pub(crate) fn begin_closed(&self, table: usize, end: i64) {
        let clock = &self.clock;
        let grace = self.tables[table].descriptor().grace;
        self.dispatch
            .budget
            .set(self.dispatch.budget.get().saturating_sub(1));
        clock.event_time.set(end - 1);
        clock.judge_time.set(end.saturating_add(grace) - 1);
        self.dispatch.counts.set(false);
        self.dispatch.current.set(Current::Closed(table));
        self.dispatch_to(&self.dispatch.closers[table]);
    }

    /// Takes [`TaskState::begin_input`] back: the agent, the only one of the topic, does not take the event now.
    pub(crate) fn unbegin(&self, agent: usize) {
        self.dispatch.budget.set(self.dispatch.budget.get() + 1);
        self.clock.hand.set(Hand::Empty);
        self.clock.event_time.set(self.clock.stream_time.get());
        self.dispatch.current.set(Current::None);
        self.dispatch.open.set(0);
        self.agents[agent].status.set(Status::Idle);
    }

    #[inline]
    pub(crate) fn dispatch_to(&self, agents: &[usize]) {
        // The usual case: who is alone waits for nobody.
        if let &[agent] = agents {
            self.dispatch.open.set(1);
            self.agents[agent].receives(Status::Waiting);
        } else {
            self.dispatch_to_each(agents);
        }
    }

    fn dispatch_to_each(&self, agents: &[usize]) {
        self.dispatch.open.set(agents.len());
        for &agent in agents {
            let a = &self.agents[agent];
            let behind = !a.order.after.is_empty()
                && a.order.after.iter().any(|first| agents.contains(first));
            a.receives(match behind {
                true => Status::Behind,
                false => Status::Waiting,
            });
        }
        if agents.is_empty() {
            self.settle();
        }
    }

    /// Whether an agent that is to get the current event gets it now.
    pub(crate) fn turn_of(&self, agent: usize) -> Status {
        let busy = |&first: &usize| self.agents[first].status.get() != Status::Idle;
        match self.agents[agent].order.after.iter().any(busy) {
            true => Status::Behind,
            false => Status::Waiting,
        }
    }

    /// Hands the current event to those that waited for an agent to finish with it.
    fn let_follow(&self, agent: usize) {
        for &next in &self.agents[agent].order.before {
            let a = &self.agents[next];
            if a.status.get() == Status::Behind && self.turn_of(next) == Status::Waiting {
                a.status.set(Status::Waiting);
                a.wakeup.poke.set(true);
            }
        }
    }

    /// An agent has finished with the current event, one way or the other.
    #[inline]
    pub(crate) fn done(&self, agent: usize) {
        self.agents[agent].status.set(Status::Idle);
        let open = self.dispatch.open.get().saturating_sub(1);
        self.dispatch.open.set(open);
        if open == 0 {
            self.settle();
        } else {
            self.let_follow(agent);
        }
    }

    /// All agents have finished: the event is acknowledged, its effects join the batch.
    fn settle(&self) {
        let clock = &self.clock;
        let current = self.dispatch.current.get();
        let readers: &[usize] = match current {
            Current::None => return,
            Current::Input(input) => &self.inputs.readers[input],
            Current::Closed(table) => &self.dispatch.closers[table],
            Current::Tick(ref agent) => std::slice::from_ref(agent),
            Current::InFlight(agent) => return self.settle_held(agent),
        };
        if self.effects.blame.is_careful() {
            self.note_last();
        }
        let mut batch = self.effects.batch.borrow_mut();
        for &agent in readers {
            let a = &self.agents[agent];
            let from = batch.len();
            let mut staging = a.staging.borrow_mut();
            if !staging.is_empty() {
                batch.append(&mut staging);
            }
            for &table in &a.writes {
                if let Some(output) = self.outputs.late[table] {
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
                let mut inbox = self.inputs.inboxes[input].borrow_mut();
                let said = self
                    .times
                    .sources
                    .as_ref()
                    .and_then(|_| inbox.source_time());
                inbox.pop();
                drop(inbox);
                if self.dispatch.counts.get() {
                    self.passed(input, said, clock.event_time.get());
                }
            }
            Current::Closed(table) => self.tables[table].close_head(),
            Current::Tick(agent) => self.tick_is_over(agent),
            Current::None | Current::InFlight(_) => {}
        }
        self.dispatch.current.set(Current::None);
        clock.hand.set(Hand::Empty);
        clock.event_time.set(clock.stream_time.get());
        clock.judge_time.set(clock.stream_time.get());
        self.effects.acked.set(self.effects.acked.get() + 1);
        let ticked = matches!(current, Current::Tick(_));
        let count = if ticked {
            &self.counters.ticks
        } else {
            &self.counters.processed
        };
        count.set(count.get() + 1);
    }

    /// Looks at the rows that an agent has changed for the current event.
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

    /// Undoes what an agent did with the current event.
    pub(crate) fn rollback(&self, agent: usize) {
        let a = &self.agents[agent];
        a.staging.borrow_mut().clear();
        for &table in &a.writes {
            self.tables[table].rollback();
        }
    }

    /// All events in flight are acknowledged together.
    pub(crate) fn settle_held(&self, agent: usize) {
        if self.effects.blame.is_careful() {
            self.note_last();
        }
        let a = &self.agents[agent];
        let mut batch = self.effects.batch.borrow_mut();
        let from = batch.len();
        batch.append(&mut a.staging.borrow_mut());
        for &table in &a.writes {
            if let Some(output) = self.outputs.late[table] {
                self.send_late(table, output, &mut batch);
            }
            self.tables[table].settle();
        }
        if batch.len() > from {
            let origin = self.origin(agent);
            batch.sign(from, origin);
            self.note_together(origin);
        }
        drop(batch);
        self.clock.unproven.set(false);
        for held in self.dispatch.held.borrow_mut().drain(..) {
            self.let_go(&held);
        }
        self.end_hold(agent);
    }

    /// Releases events that are done, up to the first that is not, or to what a commit may hold.
    pub(crate) fn release(&self) {
        let Current::InFlight(agent) = self.dispatch.current.get() else {
            return;
        };
        let mut held = self.dispatch.held.borrow_mut();
        let mut released = false;
        while held.front().is_some_and(|h| h.state == EventState::Done)
            && self.effects.acked.get() < self.effects.blame.most()
        {
            let Some(mut first) = held.pop_front() else {
                break;
            };
            if self.effects.blame.is_careful() {
                self.note_last_at(first.input, first.place);
            }
            if !first.effects.is_empty() {
                let mut batch = self.effects.batch.borrow_mut();
                let from = batch.len();
                batch.append(&mut first.effects);
                batch.sign(from, self.origin_at(agent, first.input, first.place));
            }
            self.let_go(&first);
            released = true;
        }
        let empty = held.is_empty();
        drop(held);
        if released {
            self.agents[agent].attempts.set(0);
            if empty {
                self.end_hold(agent);
            }
        }
    }

    fn let_go(&self, held: &InFlight) {
        let mut inbox = self.inputs.inboxes[held.input].borrow_mut();
        let said = self
            .times
            .sources
            .as_ref()
            .and_then(|_| inbox.source_time());
        inbox.release();
        drop(inbox);
        let moves = !held.stays && held.time != NO_TIME;
        self.passed_held(held.input, said, moves.then_some(held.time));
        self.effects.acked.set(self.effects.acked.get() + 1);
        self.counters
            .processed
            .set(self.counters.processed.get() + 1);
    }

    /// Nothing is in flight any more.
    fn end_hold(&self, agent: usize) {
        let clock = &self.clock;
        clock.hand.set(Hand::Empty);
        clock.judge_time.set(clock.stream_time.get());
        clock.event_time.set(clock.stream_time.get());
        self.dispatch.current.set(Current::None);
        let a = &self.agents[agent];
        a.status.set(Status::Idle);
        a.deadline.set(None);
    }

    /// The events in flight wait again; nothing of them is left.
    pub(crate) fn requeue_held(&self) {
        self.dispatch.held.borrow_mut().clear();
        for inbox in &self.inputs.inboxes {
            inbox.borrow_mut().requeue();
        }
    }
}

impl AgentCx {
    /// The handler failed on the current event.
    pub(crate) fn fail(&self, failure: Failure) {
        let (shared, agent) = (&self.shared, self.state());
        shared
            .counters
            .failures
            .set(shared.counters.failures.get() + 1);
        if shared.dispatch.current.get() == Current::InFlight(self.agent) {
            return self.fail_held(&failure);
        }
        shared.rollback(self.agent);
        if shared.dispatch.current.get() == Current::None || agent.status.get() == Status::Idle {
            // No current event: nothing to retry, nothing to dead-letter.
            let error = Error::agent(format!(
                "agent `{}`, partition {}: failed with no current event: {failure}",
                agent.name, shared.partition
            ));
            shared.stop(error, failure.action() == Action::Fatal);
            return;
        }
        let failed = agent.attempts.get() + 1;
        agent.attempts.set(failed);
        agent.deadline.set(None);
        if shared.current_call().is_some() && failure.action() != Action::Fatal {
            return match self.calls_again(&failure) {
                true => shared.done(self.agent),
                false => self.give_up(agent.options.on_error, &failure.to_string()),
            };
        }
        match failure.action() {
            Action::Fatal => self.fatal(&failure),
            Action::Retry if failed <= agent.options.retries => {
                let due = self.retry_at(failed, &failure);
                agent.status.set(Status::Retry(due));
            }
            Action::Retry | Action::Reject => {
                self.give_up(agent.options.on_error, &failure.to_string())
            }
        }
    }

    /// The handler asked for the worker's end.
    pub(crate) fn fatal(&self, failure: &Failure) {
        let error = Error::agent(format!(
            "agent `{}`, {}: fatal: {failure}",
            self.state().name,
            self.shared.record_location()
        ));
        self.shared.stop(error, true);
    }
}
