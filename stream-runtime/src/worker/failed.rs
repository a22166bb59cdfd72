//! Tasks that failed: since when, how often, and when they begin again.

use super::partition::Input;
use super::status::TaskName;
use crate::clock;
use crate::error::Error;
use crate::kafka::TopicPartitionOffset;
use std::time::{Duration, Instant};

use crate::task::watermark::SourceState;

/// First and longest wait before a task starts again; it doubles in between.
pub(super) const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A task that ran this long before it failed waits as after its first failure.
pub(super) const STEADY_RUN: Duration = Duration::from_secs(60);

/// A task that failed. Its inputs stay assigned, and are not read.
pub(super) struct Down {
    pub(super) name: TaskName,
    pub(super) inputs: Vec<Input>,
    /// When it starts again; `None`: not by itself.
    pub(super) until: Option<Instant>,
    /// What it needs has been asked for and not come.
    pub(super) asked: bool,
}

impl Down {
    /// When there is something to do about it.
    pub(super) fn due(&self) -> Option<Instant> {
        self.until.filter(|_| !self.asked)
    }
}

/// Failures of a task in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failures {
    pub(super) count: u32,
    pub(super) last: Instant,
}

/// Whether a task that failed with this may do better later without anybody's doing.
pub(super) fn comes_back(error: &Error) -> bool {
    !(error.is_fatal() || error.is_record())
}

pub(super) fn wait(failures: u32) -> Duration {
    clock::backoff(WAITS.0, failures, WAITS.1)
}

/// A task that has failed, and has got no further since.
#[derive(Debug)]
pub(super) struct Stalled {
    pub(super) since: Instant,
    /// The state that its readers have been told.
    pub(super) told: Option<SourceState>,
    /// Its times in the topics that it fills, as of its last commit.
    pub(super) times: Vec<i64>,
    /// The offsets of its last commit.
    pub(super) offsets: Vec<(TopicPartitionOffset, String)>,
    /// Time at which telling is tried again.
    pub(super) again: Option<Instant>,
}

impl Stalled {
    /// Returns the state that its readers are to know by now.
    pub(super) fn stands(&self, hold: Option<Duration>) -> SourceState {
        match hold {
            Some(hold) if self.since.elapsed() >= hold => SourceState::LeftOut,
            _ => SourceState::Stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn waits_double_from_a_second_to_a_minute() {
        let waits: Vec<u64> = (1..9).map(|n| wait(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn what_a_person_must_repair_does_not_come_back_by_itself() {
        for kind in [Kind::Broker, Kind::Store, Kind::Handler, Kind::Fenced] {
            assert!(comes_back(&Error::new(kind, "")), "{kind:?}");
        }
        for kind in [Kind::Refused, Kind::Topology, Kind::Record] {
            assert!(!comes_back(&Error::new(kind, "")), "{kind:?}");
        }
    }
}
