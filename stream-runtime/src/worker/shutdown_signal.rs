//! Asking a worker to end.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::error::{Error, Kind};
use crate::kafka::Wake;
use crate::sync::Mutex;

/// Asks a worker to end in order: stop reading, commit what is acknowledged, store, leave the group.
/// Clones ask the same worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShutdownSignal(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What this is a part of: asked with it.
    whole: Option<ShutdownSignal>,
    asked: OnceLock<Instant>,
    wakes: Mutex<Vec<Wake>>,
}

impl ShutdownSignal {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// One that is asked when this is, and can be asked alone.
    pub(super) fn part(&self) -> ShutdownSignal {
        ShutdownSignal(Arc::new(Inner {
            whole: Some(self.clone()),
            ..Inner::default()
        }))
    }

    /// Asks; more than once is the same.
    pub(crate) fn ask(&self) {
        self.0.asked.get_or_init(Instant::now);
        for wake in self.0.wakes.lock().iter() {
            wake.wake();
        }
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.asked.get().is_some() || self.0.whole.as_ref().is_some_and(ShutdownSignal::is_asked)
    }

    /// When the whole was first asked. A part that was asked alone does not end the worker, which starts again.
    pub(super) fn ends_since(&self) -> Option<Instant> {
        match &self.0.whole {
            Some(whole) => whole.ends_since(),
            None => self.0.asked.get().copied(),
        }
    }

    /// A broker that cannot be reached is not a failure of a worker that is to end anyway.
    pub(super) fn excuse(&self, error: Error) -> Error {
        if !self.is_asked() || !error.is_broker() || !error.is_retriable() {
            return error;
        }
        Error::new(
            Kind::Stopped,
            format!("stopped while waiting for the broker: {error}"),
        )
    }

    /// A thread to wake when asked.
    pub(super) fn wakes(&self, wake: &Wake) {
        self.0.wakes.lock().push(wake.clone());
        if let Some(whole) = &self.0.whole {
            whole.wakes(wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broker_out_of_reach_is_excused_and_only_at_the_end() {
        let stop = ShutdownSignal::new();
        let kinds = [Kind::Broker, Kind::Refused, Kind::Store];
        let stopped = |stop: &ShutdownSignal| {
            kinds.map(|kind| stop.excuse(Error::new(kind, "why")).is_stopped())
        };
        assert_eq!(stopped(&stop), [false, false, false]);
        stop.ask();
        assert_eq!(stopped(&stop), [true, false, false]);
    }

    #[test]
    fn a_part_is_asked_with_the_whole_and_alone() {
        let whole = ShutdownSignal::new();
        let (first, second) = (whole.part(), whole.part());
        first.ask();
        assert!(first.is_asked() && !second.is_asked() && !whole.is_asked());
        assert_eq!(first.ends_since(), None, "the worker starts again");
        whole.ask();
        assert!(second.is_asked());
        assert_eq!(first.ends_since(), whole.ends_since());
        assert!(first.ends_since().is_some());
    }
}
