//! What `#[timer]`, `#[crontab]` and `#[task]` register.

use std::any::TypeId;
use std::future::Future;
use std::pin::Pin;

use super::BesideCx;
use crate::error::Failure;
use crate::topology::{Edge, Place, TopicDescriptor, registry};

/// A call on its way.
pub type BesideFuture = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// A function beside the streams.
pub struct BesideDescriptor {
    /// The function's name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// When it is called.
    pub when: When,
    /// Whether only the leader calls it.
    pub on_leader: bool,
    /// What its parameters tie it to, in order.
    pub edges: &'static [fn() -> Option<Edge>],
    /// Calls it.
    pub run: fn(BesideCx) -> BesideFuture,
    /// Identity of the function item, for `App::only`.
    pub item: fn() -> TypeId,
}

registry::collected!(BesideDescriptor);

impl BesideDescriptor {
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

    /// What a topic is to it.
    pub(crate) fn role(self) -> &'static str {
        match self {
            When::Every { .. } => "from timers",
            When::Crontab { .. } => "from crontabs",
            When::Start | When::Stop => "from tasks",
        }
    }
}
