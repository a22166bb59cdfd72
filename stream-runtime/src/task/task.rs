//! One partition of one sub-topology, driven from outside: records in, effects out, time passed in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use super::agent::Status;
use super::dispatch::Current;
use super::inbox::Inbox;
use super::poll_probe::Pulse;
use super::state::{AgentCx, TaskFailure, TaskState};
use crate::error::{Error, Failure};
use crate::table::{Description, Hand, LogPlace, Mark};
use crate::topology::{AgentFuture, SubTopology};

/// The times of one turn.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Wall clock, epoch ms.
    pub wall: i64,
    /// A clock that never goes back, ms.
    pub mono: u64,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn {
    /// Events acknowledged.
    pub events: u64,
    /// A commit should come before the next turn.
    pub commit_due: bool,
    /// There is more to do at once.
    pub more: bool,
}

/// Events of one turn at most, so that commits come in time.
const TURN: u32 = 4096;

/// One partition of one sub-topology.
pub struct Task {
    pub(crate) topology: Arc<SubTopology>,
    pub(crate) shared: Rc<TaskState>,
    pub(crate) futures: Vec<Option<AgentFuture>>,
    pub(crate) wakers: Vec<Waker>,
    pub(crate) marks: Vec<Option<Mark>>,
    /// Where the tables' rows are on the broker.
    pub(crate) logs: Vec<Rc<LogPlace>>,
    /// What each table is, and the same as its marks hold it.
    pub(crate) described: Vec<(Description, Arc<[u8]>)>,
    pub(crate) prepared: super::prepared::Prepared,
    pub(crate) pulse: Arc<Pulse>,
}

impl Task {
    pub(crate) fn make(&self, agent: usize) -> AgentFuture {
        self.shared.agents[agent].wakeup.poke.set(true);
        (self.topology.agents[agent].descriptor.start)(&AgentCx {
            shared: self.shared.clone(),
            agent,
        })
    }

    /// Its partition.
    pub fn partition(&self) -> i32 {
        self.shared.partition
    }

    /// Its sub-topology.
    pub fn topology(&self) -> &Arc<SubTopology> {
        &self.topology
    }

    /// The waiting records of an input, to push to.
    pub fn inbox(&self, input: usize) -> std::cell::RefMut<'_, Inbox> {
        self.shared.inputs.inboxes[input].borrow_mut()
    }

    /// Dispatches events until there is nothing to do, an agent waits for something, or a commit is due.
    ///
    /// # Errors
    /// The task cannot go on.
    pub fn run(&mut self, now: Now) -> Result<Turn, TaskFailure> {
        let shared = self.shared.clone();
        shared.times.wall.set(now.wall);
        shared.times.mono.set(now.mono);
        shared.dispatch.budget.set(TURN);
        if shared.calls.next_call.get() <= now.wall {
            shared
                .calls
                .next_tick
                .set(shared.calls.next_tick.get().min(now.mono));
        }
        let before = shared.counters.processed.get();
        self.expire_deadlines();
        if let Current::InFlight(_) = shared.dispatch.current.get() {
            // What one commit was not to hold together goes on after it.
            shared.release();
        }
        loop {
            if shared.revoked.get() && shared.dispatch.current.get() == Current::None {
                // Those that waited for another agent's event see now that there is no next one.
                for (agent, future) in shared.agents.iter().zip(&self.futures) {
                    agent
                        .wakeup
                        .poke
                        .set(agent.wakeup.poke.get() || future.is_some());
                }
            }
            let seen = (shared.effects.acked.get(), shared.dispatch.current.get());
            if shared.dispatch.current.get() == Current::None
                && !shared.revoked.get()
                && shared.dispatch.budget.get() > 0
                && !shared.commit_due()
            {
                self.begin_next()?;
            }
            if let Current::InFlight(agent) = shared.dispatch.current.get() {
                shared.offer_more(agent);
            }
            self.poll_agents();
            if let Some(failure) = shared.failure.borrow_mut().take() {
                return Err(failure);
            }
            if shared.dispatch.budget.get() == 0
                || shared.commit_due()
                || seen == (shared.effects.acked.get(), shared.dispatch.current.get())
            {
                break;
            }
        }
        let events = shared.counters.processed.get() - before;
        let commit_due = shared.commit_due();
        // Rows that expire go some at a time.
        let expiring = shared.dispatch.current.get() == Current::None
            && shared.clock.is_due()
            && !shared.revoked.get()
            && !commit_due;
        Ok(Turn {
            events,
            commit_due,
            more: shared.dispatch.budget.get() == 0 || expiring,
        })
    }

    fn begin_next(&self) -> Result<(), TaskFailure> {
        let shared = &self.shared;
        if shared.calls.next_tick.get() <= shared.times.mono.get() && shared.begin_due_tick() {
            return Ok(());
        }
        shared.hear();
        if shared.clock.is_due()
            && self.begin_due().map_err(|error| TaskFailure {
                error,
                fatal: false,
            })?
        {
            return Ok(());
        }
        let again = shared.waiting_again();
        if let Some(input) = again.or_else(|| shared.oldest_input()) {
            shared.begin_input(input);
        }
        Ok(())
    }

    /// Dispatches the next due row: by `end + grace`, then feeder before fed, then name.
    fn begin_due(&self) -> Result<bool, Error> {
        let shared = &self.shared;
        let now = shared.clock.stream_time.get();
        loop {
            let due = (0..shared.tables.len())
                .map(|t| (shared.tables[t].due_at(), t))
                .filter(|(at, _)| *at != i64::MAX)
                .min_by(|a, b| a.0.cmp(&b.0).then_with(|| self.closing_order(a.1, b.1)));
            let Some((at, table)) = due.filter(|(at, _)| *at <= now) else {
                let mut next = due.map_or(i64::MAX, |(at, _)| at);
                for table in &shared.tables {
                    table.expire(now)?;
                    next = next.min(table.expires_at());
                }
                shared.clock.next_due.set(next);
                return Ok(false);
            };
            let grace = shared.tables[table].descriptor().grace;
            if shared.tables[table].has_due(now)? {
                if shared.tables[table].due_at() == at {
                    shared.begin_closed(table, at.saturating_sub(grace));
                    return Ok(true);
                }
                // The window had no rows left; look again which table is first.
                continue;
            }
            if shared.tables[table].due_at() <= at {
                return Err(Error::table(format!(
                    "table `{}`, partition {}: a window is due at {at} and none of its rows closes; this is a bug",
                    self.topology.tables[table].descriptor.name, shared.partition
                )));
            }
        }
    }

    /// Which of two tables closes first when both are due at one time.
    fn closing_order(&self, a: usize, b: usize) -> std::cmp::Ordering {
        let (tables, plans) = (&self.shared.tables, &self.topology.tables);
        let by_rank = plans[a].rank.cmp(&plans[b].rank);
        by_rank
            .then_with(|| tables[a].closes_beside().cmp(&tables[b].closes_beside()))
            .then_with(|| plans[a].descriptor.name.cmp(plans[b].descriptor.name))
    }

    fn poll_agents(&mut self) {
        for agent in 0..self.futures.len() {
            let state = &self.shared.agents[agent];
            if let Status::Retry(at) = state.status.get()
                && at <= self.shared.times.mono.get()
            {
                state.status.set(self.shared.turn_of(agent));
                state.wakeup.poke.set(true);
            }
            let poked = state.wakeup.poke.replace(false);
            let woken = state.wakeup.waker.woken.swap(false, Ordering::Acquire);
            if !poked && !woken {
                continue;
            }
            let Some(future) = self.futures[agent].as_mut() else {
                continue;
            };
            self.pulse.enter(self.topology.agents[agent].number);
            let polled = catch_unwind(AssertUnwindSafe(|| {
                future
                    .as_mut()
                    .poll(&mut Context::from_waker(&self.wakers[agent]))
            }));
            self.pulse.leave();
            match polled {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(())) => self.futures[agent] = None,
                Err(payload) => {
                    self.futures[agent] = None;
                    AgentCx {
                        shared: self.shared.clone(),
                        agent,
                    }
                    .unwound(payload);
                    if !self.shared.revoked.get() {
                        self.futures[agent] = Some(self.make(agent));
                    }
                }
            }
            if self.shared.failure.borrow().is_some() {
                return;
            }
        }
    }

    /// Drops the futures of handlers whose time is up.
    fn expire_deadlines(&mut self) {
        let now = self.shared.times.mono.get();
        for agent in 0..self.futures.len() {
            let state = &self.shared.agents[agent];
            if state.holds.alarm.get().is_some_and(|at| at <= now) {
                state.holds.alarm.set(None);
                state.wakeup.poke.set(true);
            }
            if state.deadline.get().is_some_and(|at| at <= now)
                && state.status.get() == Status::Busy
            {
                self.futures[agent] = None;
                let timeout = state.options.timeout_ms.unwrap_or_default();
                AgentCx {
                    shared: self.shared.clone(),
                    agent,
                }
                .fail(Failure::from(format!(
                    "took longer than its timeout of {timeout} ms"
                )));
                self.futures[agent] = Some(self.make(agent));
            }
        }
    }

    /// All inputs have been quiet for [`Task::idle_after`] and are at their ends: stream time rises to the end of the
    /// last window that is over by the wall clock. Returns whether something became due.
    pub fn idle(&mut self, wall: i64) -> bool {
        let shared = &self.shared;
        let idle = shared
            .tables
            .iter()
            .filter(|t| t.descriptor().idle.is_some());
        let Some(target) = idle.filter_map(|t| t.idle_target(wall)).max() else {
            return false;
        };
        if target <= shared.clock.stream_time.get() || self.awaits_windows() {
            return false;
        }
        shared.clock.stream_time.set(target);
        shared.clock.is_due()
    }

    /// Stream time rises to `time`, as if a record of that time had been acknowledged.
    pub fn raise_to(&mut self, time: i64) {
        let clock = &self.shared.clock;
        clock.stream_time.set(clock.stream_time.get().max(time));
    }

    /// Crontabs of the partition make no call for a time up to this one, epoch ms.
    pub fn leave_out_calls(&mut self, until: i64) {
        self.shared.leave_out_calls(until);
    }

    /// The partition is going away in order: agents that wait for an event get `None` with their next turn.
    pub fn revoke(&mut self) {
        self.shared.revoked.set(true);
        for agent in &self.shared.agents {
            agent.wakeup.poke.set(true);
        }
    }

    /// Drops every agent; what they had in flight is requeued.
    pub fn drop_agents(&mut self) {
        for future in &mut self.futures {
            *future = None;
        }
        self.requeue();
    }

    pub(crate) fn requeue(&self) {
        let shared = &self.shared;
        for agent in 0..shared.agents.len() {
            shared.rollback(agent);
            let state = &shared.agents[agent];
            state.status.set(Status::Idle);
            state.deadline.set(None);
            state.holds.reset();
            state.holds.again.set(0);
            state.holds.alone.set(0);
        }
        shared.requeue_held();
        shared.dispatch.current.set(Current::None);
        shared.dispatch.open.set(0);
        shared.clock.hand.set(Hand::Empty);
    }

    pub(crate) fn remake_agents(&mut self) {
        for agent in 0..self.futures.len() {
            self.futures[agent] = None;
        }
        self.requeue();
        for agent in 0..self.futures.len() {
            self.futures[agent] = Some(self.make(agent));
        }
    }
}

impl TaskState {
    /// A stream-form function came to its end after its partition went away: what it did after its loop counts.
    pub(crate) fn leave(&self, agent: usize, out: Result<(), Failure>) {
        let state = &self.agents[agent];
        // The event of a row that cannot be kept is not acknowledged: it comes again.
        let out = out.and_then(|()| self.check_rows(agent));
        if state.holds.noack.get() && self.dispatch.current.get() == Current::InFlight(agent) {
            // What it did not acknowledge waits for the next owner, with all that it sent since.
            state.staging.borrow_mut().clear();
            return;
        }
        if state.status.get() == Status::Busy && out.is_ok() {
            self.done(agent);
            return;
        }
        match out {
            Ok(()) => {
                self.effects
                    .batch
                    .borrow_mut()
                    .append(&mut state.staging.borrow_mut());
                for &table in &state.writes {
                    self.tables[table].settle();
                }
            }
            Err(failure) => {
                self.rollback(agent);
                tracing::warn!(
                    agent = state.name,
                    partition = self.partition,
                    "failed after its loop: {failure}"
                );
            }
        }
    }
}
