//! Timers and crontabs as functions that are called by the clock.

use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::task::Poll;

use chrono::{DateTime, Utc};

use super::agent_builder::{Agent, AgentParts, edges_of};
use super::context::Cx;
use super::extract::FromContext;
use crate::error::Failure;
use crate::record::date;
use crate::task::agent::Status;
use crate::task::dispatch::Current;
use crate::task::state::AgentCx;
use crate::topology::{AgentShape, Edge};

/// The time that a timer or a crontab was called for. It derefs to the time.
///
/// A late call, and one that is tried again, have the time at which they were due; in a test it is a time of the test's
/// clock. A task has the time at which it is called.
///
/// ```
/// use stream_runtime::prelude::*;
/// use stream_runtime::testing::{TestApp, at};
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
        Due(date(cx.agent.shared.calls.tick_due.get()))
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

impl AgentCx {
    /// Whether there is a tick; `false` when the partition goes away.
    fn poll_tick(&self) -> Poll<bool> {
        let (shared, state) = (&*self.shared, self.state());
        if state.status.get() == Status::Waiting {
            state.status.set(Status::Busy);
            Poll::Ready(true)
        } else if shared.revoked.get() && shared.dispatch.current.get() == Current::None {
            Poll::Ready(false)
        } else {
            Poll::Pending
        }
    }
}
