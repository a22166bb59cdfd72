//! Timers and crontabs that run per partition: a tick is an event of its own.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::task::Poll;

use chrono::{DateTime, Utc};

use super::agent::{AgentCx, Status};
use super::inject::FromContext;
use super::input::Cx;
use super::parts::{Agent, AgentParts, edges_of};
use super::shared::{Current, Shared};
use crate::error::Failure;
use crate::record::date;
use crate::table::Hand;
use crate::topology::{AgentShape, Edge};

/// An agent that is called by the clock.
pub(crate) struct Timer {
    pub(crate) agent: usize,
    /// Milliseconds from one tick to the next.
    pub(crate) every: u64,
    /// Monotonic time of its next tick.
    pub(crate) next: Cell<u64>,
}

/// The time that a timer or a crontab was called for. It derefs to the time.
///
/// A late call, and one that is tried again, have the time at which they were due; in a test it is a time of the test's
/// clock. A task has the time at which it is called.
///
/// ```
/// use stream_runtime::prelude::*;
///
/// #[topic("midnight-reports", value = String)]
/// struct Reports;
///
/// #[crontab("0 0 * * *", timezone = "Europe/Paris", on_leader)]
/// async fn midnight(due: Due, reports: Producer<Reports>) -> Result<()> {
///     reports.send("daily", due.to_rfc3339()).await?;
///     Ok(())
/// }
///
/// #[agent(topic = Reports)]
/// async fn show(report: String) {
///     println!("{report}");
/// }
///
/// let mut app = TestApp::only((midnight, show));
/// app.advance_to(at("1970-01-02T12:00:00Z"));
/// let sent = app.sent::<String>("midnight-reports");
/// assert_eq!(*sent[0], "1970-01-01T23:00:00+00:00");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Due(
    /// The time.
    pub DateTime<Utc>,
);

impl Deref for Due {
    type Target = DateTime<Utc>;

    fn deref(&self) -> &DateTime<Utc> {
        &self.0
    }
}

/// Forms that are called by the clock.
#[diagnostic::on_unimplemented(
    message = "no clock has called this function",
    label = "stands in a timer, a crontab or a task only",
    note = "an event has a time of its own: `event.time()`"
)]
pub trait ByTheClock {}
impl ByTheClock for TickForm {}

impl<M: ByTheClock> FromContext<M> for Due {
    fn from_context(cx: &Cx<M>) -> Self {
        Due(date(cx.agent.shared.tick_due.get()))
    }
}

/// Marks timers and crontabs that are called once per tick, in each partition.
#[derive(Debug)]
pub struct TickForm;

impl Agent<(), TickForm> {
    /// The timer as its descriptor wants it. `edges` has an entry for each parameter: what it ties the timer to, and
    /// whether it is `mut` or `&mut`.
    pub fn on_tick<F, Fut>(self, edges: &[(Option<Edge>, bool)], call: F) -> AgentParts
    where
        F: FnMut(&Cx<TickForm>) -> Fut + 'static,
        Fut: Future<Output = Result<(), Failure>> + 'static,
    {
        AgentParts {
            shape: AgentShape {
                edges: edges_of(edges),
                ..AgentShape::default()
            },
            start: Box::new(|context| match AgentCx::of(context) {
                Some(agent) => Box::pin(drive(agent.clone(), call)),
                // As for every agent: the plan has refused it before.
                None => Box::pin(async {}),
            }),
            feeders: Vec::new(),
        }
    }
}

async fn drive<F, Fut>(agent: AgentCx, mut call: F)
where
    F: FnMut(&Cx<TickForm>) -> Fut,
    Fut: Future<Output = Result<(), Failure>>,
{
    let cx = Cx::new(&agent);
    while poll_fn(|_| agent.poll_tick()).await {
        if agent.is_condemned() {
            continue;
        }
        match call(&cx).await {
            Ok(()) => agent.acknowledge(),
            Err(failure) => agent.fail(failure),
        }
    }
}

impl Shared {
    /// Hands a tick to its timer: its time is the wall clock, which moves no stream time.
    pub(super) fn begin_tick(&self, agent: usize) {
        let clock = &self.clock;
        self.budget.set(self.budget.get().saturating_sub(1));
        clock.event_time.set(self.wall.get());
        clock.judge_time.set(clock.stream_time.get());
        clock.hand.set(Hand::One);
        self.counts.set(false);
        self.current.set(Current::Tick(agent));
        self.hand_out(&[agent]);
    }

    /// Begins a tick that is due, of a timer or else of a crontab. Of a timer the first comes one interval after the task's first turn. Ticks that were missed are
    /// not made up for.
    pub(crate) fn begin_due_tick(&self) -> bool {
        let now = self.mono.get();
        for timer in self.timers.iter().filter(|timer| timer.next.get() == 0) {
            timer.next.set(now.saturating_add(timer.every));
        }
        let due = self.timers.iter().find(|timer| timer.next.get() <= now);
        if let Some(timer) = due {
            let late = i64::try_from(now - timer.next.get()).unwrap_or(i64::MAX);
            self.tick_due.set(self.wall.get().saturating_sub(late));
            let next = timer.next.get().saturating_add(timer.every);
            let next = if next > now {
                next
            } else {
                now.saturating_add(timer.every)
            };
            timer.next.set(next);
            self.begin_tick(timer.agent);
        }
        let begun = due.is_some() || self.begin_due_call();
        let (call, clock) = self.next_call();
        let next = self.timers.iter().map(|timer| timer.next.get()).min();
        self.next_tick.set(next.unwrap_or(u64::MAX).min(call));
        self.next_call.set(clock);
        begun
    }
}

impl AgentCx {
    /// Whether there is a tick; `false` when the partition goes away.
    fn poll_tick(&self) -> Poll<bool> {
        let (shared, state) = (&*self.shared, self.state());
        if state.status.get() == Status::Waiting {
            state.status.set(Status::Busy);
            Poll::Ready(true)
        } else if shared.revoked.get() && shared.current.get() == Current::None {
            Poll::Ready(false)
        } else {
            Poll::Pending
        }
    }
}
