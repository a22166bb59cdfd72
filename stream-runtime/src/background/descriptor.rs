//! What `#[timer]`, `#[crontab]` and `#[task]` register.

use std::any::TypeId;
use std::future::Future;
use std::pin::Pin;

use chrono::{DateTime, Utc};

use super::BackgroundContext;
use crate::error::{Action, Failure};
use crate::schedule::Schedule;
use crate::task::backoff;
use crate::topology::{Edge, SourceLocation, TopicDescriptor, registry};

/// A call on its way.
pub type JobFuture = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// A function beside the streams.
pub struct JobDescriptor {
    /// The function's name.
    pub name: &'static str,
    /// Where it stands.
    pub place: SourceLocation,
    /// When it is called.
    pub when: When,
    /// Whether only the leader calls it.
    pub on_leader: bool,
    /// How often a call of a crontab that failed is tried again.
    pub retries: u32,
    /// Wait before the second attempt in ms; it doubles with each.
    pub backoff_ms: u64,
    /// What its parameters tie it to, in order.
    pub edges: &'static [fn() -> Option<Edge>],
    /// Calls it.
    pub run: fn(BackgroundContext) -> JobFuture,
    /// Identity of the function item, for `App::only`.
    pub item: fn() -> TypeId,
}

registry::collected!(JobDescriptor);

/// What comes after a call that failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The worker ends.
    Fatal,
    /// It is called again after so many ms.
    Again(u64),
    /// Nothing until its next time.
    GivenUp,
}

impl JobDescriptor {
    /// Decides what comes after the attempt number `failed`, the first of which is 1. `left` are the ms until its next
    /// time, which no attempt outlives; `None` when there is none.
    pub(crate) fn then(&self, failure: &Failure, failed: u32, left: Option<i64>) -> Then {
        match failure.action() {
            Action::Fatal => Then::Fatal,
            Action::Retry if failed <= self.retries => {
                let wait = backoff(self.backoff_ms, failed);
                let fits = left.is_none_or(|left| i64::try_from(wait).is_ok_and(|w| w < left));
                if fits {
                    Then::Again(wait)
                } else {
                    Then::GivenUp
                }
            }
            Action::Retry | Action::Reject => Then::GivenUp,
        }
    }

    /// The topics that it sends to.
    pub(crate) fn sends(&self) -> impl Iterator<Item = &'static TopicDescriptor> {
        let edges = self.edges.iter().filter_map(|edge| edge());
        edges.filter_map(|edge| match edge {
            Edge::Sends(topic) => Some(topic),
            _ => None,
        })
    }
}

/// When a function beside the streams is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Again and again.
    Every {
        /// Milliseconds from one call to the next, more than 0.
        ms: u64,
    },
    /// By the calendar.
    Crontab {
        /// Minute, hour, day of month, month, day of week.
        expression: &'static str,
        /// Name of the time zone that the expression is meant in.
        timezone: &'static str,
    },
    /// Once, after recovery.
    Start,
    /// Once, when the worker ends in order.
    Stop,
}

impl When {
    /// What such a function is called.
    pub(crate) fn what(self) -> &'static str {
        match self {
            When::Every { .. } => "timer",
            When::Crontab { .. } => "crontab",
            When::Start | When::Stop => "task",
        }
    }

    /// When it is called next; `None` where no calendar says so.
    pub(crate) fn next(self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            When::Crontab {
                expression,
                timezone,
            } => Schedule::new(expression, timezone).ok()?.next(from),
            When::Every { .. } | When::Start | When::Stop => None,
        }
    }

    /// What a topic is to it.
    pub(crate) fn role(self) -> &'static str {
        match self {
            When::Every { .. } => "from timers",
            When::Crontab { .. } => "from crontabs",
            When::Start | When::Stop => "from tasks",
        }
    }
}
