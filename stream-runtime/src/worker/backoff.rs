//! Waiting longer after each failure.

use std::time::{Duration, Instant};

use crate::clock;

/// First and longest wait.
const RANGE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// 100 ms after the first failure, doubling, at most 10 s; a success starts again.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// One more failure at `now`; returns the wait.
    pub(super) fn fail(&mut self, now: Instant) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let wait = clock::backoff(RANGE.0, self.failures, RANGE.1);
        self.until = Some(now + wait);
        wait
    }

    pub(super) fn succeed(&mut self) {
        *self = Self::default();
    }

    /// When the next attempt may be made, if that is later than `now`.
    pub(super) fn waits(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_seconds_and_start_again() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        assert_eq!(backoff.waits(now), None);
        let waits: Vec<u128> = (0..9).map(|_| backoff.fail(now).as_millis()).collect();
        assert_eq!(
            waits,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        assert_eq!(backoff.waits(now), Some(now + Duration::from_secs(10)));
        backoff.succeed();
        assert_eq!(backoff.waits(now), None);
        assert_eq!(backoff.fail(now).as_millis(), 100);
    }
}
