//! Event time: which fields can carry it.

use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};

/// A field that `#[record(timestamp = field)]` may name.
///
/// Implemented for `DateTime` of any zone, `NaiveDateTime` (taken as UTC), `i64` and `u64` (milliseconds since the
/// epoch), and `Option` of them: `None` leaves the record with the time of its Kafka message.
///
/// ```
/// use chrono::DateTime;
/// use stream_runtime::fields::EventTime;
///
/// assert_eq!(DateTime::from_timestamp_millis(7).millis(), Some(7));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an event time",
    label = "not a time",
    note = "use `DateTime<Utc>`, or an `i64` of milliseconds since the epoch"
)]
pub trait EventTime {
    /// Milliseconds since the epoch, rounded down.
    fn millis(&self) -> Option<i64>;
}

impl<Z: TimeZone> EventTime for DateTime<Z> {
    #[inline]
    fn millis(&self) -> Option<i64> {
        Some(self.timestamp_millis())
    }
}

impl EventTime for NaiveDateTime {
    fn millis(&self) -> Option<i64> {
        Some(self.and_utc().timestamp_millis())
    }
}

impl EventTime for i64 {
    fn millis(&self) -> Option<i64> {
        Some(*self)
    }
}

impl EventTime for u64 {
    fn millis(&self) -> Option<i64> {
        // Past the end of time is as late as time gets; `max_ahead` makes a bad record of it.
        Some(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

impl<T: EventTime> EventTime for Option<T> {
    fn millis(&self) -> Option<i64> {
        self.as_ref().and_then(EventTime::millis)
    }
}

/// A date for epoch milliseconds, clamped to what chrono can say.
pub(crate) fn date(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or(if ms < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;

    #[test]
    fn times_are_rounded_down_to_milliseconds() {
        assert_eq!(
            DateTime::<Utc>::from_timestamp(1, 999_999_999)
                .unwrap()
                .millis(),
            Some(1_999)
        );
        assert_eq!(
            DateTime::<Utc>::from_timestamp(-1, 999_999_999)
                .unwrap()
                .millis(),
            Some(-1)
        );
        assert_eq!(DateTime::<Utc>::UNIX_EPOCH.naive_utc().millis(), Some(0));
        assert_eq!(
            (
                None::<i64>.millis(),
                Some(7_i64).millis(),
                u64::MAX.millis()
            ),
            (None, Some(7), Some(i64::MAX))
        );
    }
}
