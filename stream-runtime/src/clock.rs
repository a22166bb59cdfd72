//! The wall clock, and how waits grow.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far ahead of its own clock a broker takes the timestamp of a record, in ms: `message.timestamp.after.max.ms` of
/// a topic whose settings say nothing.
pub(crate) const STAMP_AHEAD_MS: i64 = 3_600_000;

/// Returns the wall clock, epoch ms; 0 before 1970.
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the timestamp that a broker takes for an event time: at least 1, because the client turns 0 into "now", and
/// at most [`STAMP_AHEAD_MS`] ahead of the wall clock.
pub(crate) fn stamp(time: i64, wall: i64) -> i64 {
    time.clamp(1, wall.saturating_add(STAMP_AHEAD_MS).max(1))
}

/// Returns the wait after so many failures in a row, 1 or more: `first`, doubled with each further one, at most
/// `longest`.
pub(crate) fn backoff(first: Duration, failures: u32, longest: Duration) -> Duration {
    // A factor of 2^31 is beyond any two waits that there are.
    let doublings = failures.saturating_sub(1).min(31);
    first.saturating_mul(1 << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_with_each_failure_up_to_the_longest() {
        let wait = |failures| {
            backoff(
                Duration::from_millis(100),
                failures,
                Duration::from_secs(10),
            )
        };
        let waits = [0, 1, 2, 3, 7, 8, u32::MAX].map(|failures| wait(failures).as_millis());
        assert_eq!(waits, [100, 100, 200, 400, 6_400, 10_000, 10_000]);
        assert_eq!(backoff(Duration::ZERO, 9, Duration::MAX), Duration::ZERO);
    }

    #[test]
    fn a_stamp_is_one_that_brokers_take() {
        let wall = 1_700_000_000_000;
        assert_eq!(
            stamp(wall + 2 * STAMP_AHEAD_MS, wall),
            wall + STAMP_AHEAD_MS
        );
        assert_eq!(
            [stamp(0, wall), stamp(i64::MIN, wall), stamp(5, wall)],
            [1, 1, 5]
        );
        assert_eq!(stamp(7, -STAMP_AHEAD_MS), 1);
    }
}
