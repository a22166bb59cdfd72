//! Several events in hand: one agent's, the only one of their topics. Handed out in the task's order, and their effects
//! released in it, so that a commit is always a cut.

use super::agent::{AgentCx, Status};
use super::bad::Bad;
use super::failing::backoff;
use super::outbuf::OutBuf;
use super::shared::{Current, Shared};
use crate::error::{Action, Error, Failure, raise};
use crate::table::{Hand, NO_TIME};

/// An event among several in hand.
pub(crate) struct Held {
    /// Never used twice: an acknowledgement of an event that was put back finds none.
    pub(crate) number: u64,
    pub(crate) input: usize,
    /// Its record's place in the inbox.
    pub(crate) place: u64,
    /// Event time; [`NO_TIME`] for a record that does not move stream time.
    pub(crate) time: i64,
    /// Its time moves no stream time: see [`Shared::stays`].
    pub(crate) stays: bool,
    pub(crate) state: HeldState,
    /// What it sends once all before it are done.
    pub(crate) effects: OutBuf,
    pub(crate) attempts: u32,
    /// Monotonic time at which it times out.
    pub(crate) deadline: Option<u64>,
}

/// How an agent stands to an event that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldState {
    /// It has not begun: another event of its key is before it.
    Queued,
    /// The handler has it.
    Running,
    /// It failed and is begun again at this monotonic time in ms.
    Retry(u64),
    /// Finished; it waits for those before it.
    Done,
}

impl Shared {
    /// The input whose waiting record has the oldest event time; `None` while a topic may still bring an older one.
    pub(crate) fn oldest_input(&self) -> Option<usize> {
        if self.timely == 1 {
            return (self.inputs[0].borrow().waiting() > 0).then_some(0);
        }
        let mut oldest: Option<(i64, usize)> = None;
        let mut lacks = false;
        for (i, inbox) in self.inputs[..self.timely].iter().enumerate() {
            let inbox = inbox.borrow();
            match inbox.waiting_front() {
                Some(record) => {
                    let reader = self.readers[i].first();
                    let time = reader
                        .and_then(|&a| {
                            let mut heads = self.agents[a].heads.borrow_mut();
                            heads.as_mut()?.time(i, &record)
                        })
                        .unwrap_or(i64::MIN);
                    if oldest.is_none_or(|(t, _)| time < t) {
                        oldest = Some((time, i));
                    }
                }
                None if inbox.at_end() => lacks = true,
                None => return None,
            }
        }
        if !lacks || oldest.is_none() || self.settings.max_task_idle == 0 {
            self.lacking.set(None);
            return oldest.map(|(_, i)| i);
        }
        let since = self.lacking.get().unwrap_or(self.mono.get());
        self.lacking.set(Some(since));
        let over = self.mono.get() >= since + self.settings.max_task_idle;
        oldest.filter(|_| over).map(|(_, i)| i)
    }

    /// Monotonic time until which an empty input is waited for.
    pub(crate) fn lacking_until(&self) -> Option<u64> {
        let until = self.lacking.get()? + self.settings.max_task_idle;
        (until > self.mono.get()).then_some(until)
    }

    /// Whether the agent may have an event beside those in hand: they are its own.
    pub(crate) fn claim(&self, agent: usize) -> bool {
        match self.current.get() {
            Current::None => true,
            Current::Held(holder) => holder == agent,
            Current::Input(input)
                if self.agents[agent].status.get() == Status::Waiting
                    && self.readers[input] == [agent] =>
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
        (self.readers[input] == [agent]).then_some(input)
    }

    /// Whether another event may begin beside those in hand.
    pub(crate) fn may_hold_more(&self) -> bool {
        // Windows and ticks that are due wait until nothing is in hand.
        let others = self.clock.is_due() || self.next_tick.get() <= self.mono.get();
        let others = others || self.waiting_again().is_some();
        !(others || self.revoked.get() || self.is_stopped() || self.commit_due())
    }

    /// Has an agent polled that would take another event, when there is one.
    pub(super) fn offer_more(&self, agent: usize) {
        let a = &self.agents[agent];
        if a.holds.wants.get() && self.budget.get() > 0 && self.next_for(agent).is_some() {
            a.poke.set(true);
        }
    }

    /// Hands the waiting record of an input to an agent, beside what it holds.
    pub(crate) fn hold(&self, agent: usize, input: usize) -> u64 {
        self.arrives(input);
        let place = self.inputs[input].borrow_mut().hand_out();
        let number = self.next_held.get();
        self.next_held.set(number + 1);
        self.budget.set(self.budget.get().saturating_sub(1));
        self.current.set(Current::Held(agent));
        self.spot.set((input, place));
        self.clock.event_time.set(self.clock.stream_time.get());
        self.held.borrow_mut().push_back(Held {
            number,
            input,
            place,
            time: NO_TIME,
            stays: false,
            state: HeldState::Queued,
            effects: OutBuf::default(),
            attempts: 0,
            deadline: None,
        });
        number
    }

    /// Changes an event in hand; `None` when it is not in hand any more.
    pub(crate) fn change_held<R>(&self, number: u64, f: impl FnOnce(&mut Held) -> R) -> Option<R> {
        let mut held = self.held.borrow_mut();
        let at = number.checked_sub(held.front()?.number)?;
        held.get_mut(usize::try_from(at).ok()?).map(f)
    }

    /// Of several events in hand the one whose next attempt comes first, unless handlers are at work: agent, failed
    /// attempts, monotonic time.
    pub(super) fn held_retry(&self) -> Option<(usize, u32, u64)> {
        let Current::Held(agent) = self.current.get() else {
            return None;
        };
        let held = self.held.borrow();
        if held.iter().any(|h| h.state == HeldState::Running) {
            return None;
        }
        let waiting = held.iter().filter_map(|h| match h.state {
            HeldState::Retry(at) => Some((agent, h.attempts, at)),
            _ => None,
        });
        waiting.min_by_key(|(_, _, at)| *at)
    }

    /// All events in hand are acknowledged together.
    pub(super) fn settle_held(&self, agent: usize) {
        if self.blame.is_careful() {
            self.note_last();
        }
        let a = &self.agents[agent];
        let mut batch = self.batch.borrow_mut();
        let from = batch.len();
        batch.append(&mut a.staging.borrow_mut());
        for &table in &a.writes {
            if let Some(output) = self.late[table] {
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
        for held in self.held.borrow_mut().drain(..) {
            self.let_go(&held);
        }
        self.end_hold(agent);
    }

    /// Releases events that are done, up to the first that is not, or to what a commit may hold.
    pub(crate) fn release(&self) {
        let Current::Held(agent) = self.current.get() else {
            return;
        };
        let mut held = self.held.borrow_mut();
        let mut released = false;
        while held.front().is_some_and(|h| h.state == HeldState::Done)
            && self.acked.get() < self.blame.most()
        {
            let Some(mut first) = held.pop_front() else {
                break;
            };
            if self.blame.is_careful() {
                self.note_last_at(first.input, first.place);
            }
            if !first.effects.is_empty() {
                let mut batch = self.batch.borrow_mut();
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

    fn let_go(&self, held: &Held) {
        let mut inbox = self.inputs[held.input].borrow_mut();
        let said = self.sources.as_ref().and_then(|_| inbox.source_time());
        inbox.release();
        drop(inbox);
        let moves = !held.stays && held.time != NO_TIME;
        self.passed_held(held.input, said, moves.then_some(held.time));
        self.acked.set(self.acked.get() + 1);
        self.processed.set(self.processed.get() + 1);
    }

    /// Nothing is in hand any more.
    fn end_hold(&self, agent: usize) {
        let clock = &self.clock;
        clock.hand.set(Hand::Empty);
        clock.judge_time.set(clock.stream_time.get());
        clock.event_time.set(clock.stream_time.get());
        self.current.set(Current::None);
        let a = &self.agents[agent];
        a.status.set(Status::Idle);
        a.deadline.set(None);
    }

    /// The events in hand wait again; nothing of them is left.
    pub(super) fn put_held_back(&self) {
        self.held.borrow_mut().clear();
        for inbox in &self.inputs {
            inbox.borrow_mut().put_back();
        }
    }
}

impl AgentCx {
    /// Agents that hold several events are the only ones of their topics: effects are released in one order.
    pub(crate) fn require_alone(&self, how: &str) {
        let shared = &self.shared;
        for (input, readers) in shared.readers.iter().enumerate() {
            let Some(other) = readers.iter().find(|&&other| other != self.agent) else {
                continue;
            };
            if readers.contains(&self.agent) {
                raise(Error::agent(format!(
                    "agent `{}` holds several events (`{how}`), and agent `{}` reads topic `{}` too: an agent that holds several is the only one of its topics; give the other one a topic of its own",
                    self.state().name,
                    shared.agents[*other].name,
                    shared.input_names[input]
                )));
            }
        }
    }

    /// The record that was just handed out is no event for the handler; `false`: the task stops.
    pub(super) fn refuse_held(&self, bad: &Bad) -> bool {
        let agent = self.state();
        let attempts = agent.attempts.replace(1);
        let goes_on = self.dispose_bad(bad);
        agent.attempts.set(attempts);
        goes_on
    }

    /// A handler that has several events in hand failed: all of them wait for their next attempt together.
    pub(super) fn fail_held(&self, failure: &Failure) {
        let (shared, agent) = (&self.shared, self.state());
        shared.rollback(self.agent);
        agent.deadline.set(None);
        agent.holds.forgotten.set(None);
        let count = shared.held.borrow().len();
        let failed = agent.attempts.get() + 1;
        agent.attempts.set(failed);
        match failure.action() {
            Action::Fatal => self.fatal(failure),
            Action::Retry if failed <= agent.options.retries => {
                let wait = backoff(agent.options.backoff_ms, failed);
                tracing::warn!(
                    agent = agent.name,
                    at = shared.whereabouts(),
                    events = count,
                    attempt = failed,
                    of = agent.options.retries + 1,
                    retry_in_ms = wait,
                    "handler failed: {failure}"
                );
                shared.put_held_back();
                agent.holds.again.set(count);
                agent.status.set(Status::Retry(shared.mono.get() + wait));
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
                at = shared.whereabouts(),
                events = count,
                "failed together, and are handed out one by one now: {why}"
            );
            shared.put_held_back();
            agent.attempts.set(0);
            agent.holds.alone.set(count);
            agent.status.set(Status::Waiting);
            agent.poke.set(true);
        } else if self.dispose(agent.options.on_error, why) {
            shared.done(self.agent);
        }
    }

    /// Does with every event that is not acknowledged what `on_error` says.
    fn give_up_each(&self, why: &str) {
        let (shared, agent) = (&self.shared, self.state());
        let open: Vec<(u64, (usize, u64))> = shared
            .held
            .borrow()
            .iter()
            .filter(|h| h.state != HeldState::Done)
            .map(|h| (h.number, (h.input, h.place)))
            .collect();
        for (number, spot) in open {
            shared.spot.set(spot);
            if !self.dispose(agent.options.on_error, why) {
                return;
            }
            let staging = agent.staging.take();
            shared.change_held(number, |held| {
                held.effects = staging;
                held.state = HeldState::Done;
            });
        }
        agent.attempts.set(0);
        agent.status.set(Status::Idle);
        shared.release();
    }

    /// A handler found a record bad that it holds among others: which one is seen when they come one by one.
    pub(super) fn bad_among_held(&self, bad: &Bad) {
        let (shared, agent) = (&self.shared, self.state());
        if agent.holds.noack.get() || shared.held.borrow().len() > 1 {
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
