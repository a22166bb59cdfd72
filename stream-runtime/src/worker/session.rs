//! Session timeout of the worker's members.

use std::time::Duration;

use crate::error::{Error, Kind};
use crate::kafka::{Properties, SESSION, SessionLimits, longest_turn};

/// Name of the setting.
const NAME: &str = "session.timeout.ms";
/// A broker's session where it is not told: Apache Kafka's own.
const BROKER_SESSION: Duration = Duration::from_secs(9);
/// Time to have another coordinator, besides the time until its broker is missed. Where that broker was the active
/// controller too, another one is elected first; then the group's log is loaded, and the clients look the coordinator
/// up: 7 to 8 s on three nodes of Apache Kafka, and some to spare.
const MOVE: Duration = Duration::from_secs(11);

/// Sets the session, unless the user has: as short as can be, so that a worker that is gone is missed soon, and on
/// several brokers long enough for another one to coordinate the group. A shorter one ends for all members at once when
/// the coordinator's broker goes, and librdkafka forgets who the member was: the group then waits for each twice.
///
/// # Errors
/// The setting is not taken.
pub(super) fn fit(properties: &mut Properties, limits: &SessionLimits) -> Result<(), Error> {
    if properties.get(NAME).is_some() {
        return Ok(());
    }
    let (session, why) = wanted(limits);
    let most = longest_turn(properties);
    let session = session.min(limits.most.unwrap_or(most)).min(most);
    if session == SESSION {
        return Ok(());
    }
    tracing::info!("sessions of {} s: {why}", session.as_secs_f64());
    let set = properties.set(NAME, &session.as_millis().to_string());
    set.map(drop)
        .map_err(|text| Error::new(Kind::Configuration, text))
}

fn wanted(limits: &SessionLimits) -> (Duration, &'static str) {
    let least = limits.least.unwrap_or(SESSION).max(SESSION);
    let outlast = limits.of_brokers.unwrap_or(BROKER_SESSION) + MOVE;
    if limits.brokers > 1 && outlast > least {
        let why = "so long it may take until another broker coordinates the group (`broker.session.timeout.ms` and 11 s)";
        return (outlast, why);
    }
    let why = "the broker's `group.min.session.timeout.ms` wants no shorter ones";
    (least, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(set: &[(&str, &str)], limits: &SessionLimits) -> Option<String> {
        let mut properties = Properties::broker("127.0.0.1:9");
        for (name, value) in set {
            properties.set(name, value).unwrap();
        }
        fit(&mut properties, limits).unwrap();
        properties.get(NAME).map(str::to_owned)
    }

    fn on(brokers: usize, [least, most, of_brokers]: [Option<u64>; 3]) -> SessionLimits {
        SessionLimits {
            brokers,
            least: least.map(Duration::from_secs),
            most: most.map(Duration::from_secs),
            of_brokers: of_brokers.map(Duration::from_secs),
        }
    }

    #[test]
    fn one_broker_has_short_sessions_and_several_have_such_as_outlast_one_of_them() {
        let session = |limits| fitted(&[], &limits);
        assert_eq!(session(SessionLimits::default()), None);
        assert_eq!(session(on(1, [Some(6), Some(1_800), Some(9)])), None);
        let least = session(on(1, [Some(10), Some(1_800), Some(9)]));
        assert_eq!(least.as_deref(), Some("10000"));
        for (limits, wanted) in [
            ([Some(6), Some(1_800), Some(9)], "20000"),
            ([Some(6), Some(1_800), Some(4)], "15000"),
            // Not told: careful.
            ([None, None, None], "20000"),
            // The broker's limits come first.
            ([Some(30), Some(1_800), Some(9)], "30000"),
            ([Some(6), Some(15), Some(9)], "15000"),
        ] {
            assert_eq!(session(on(3, limits)).as_deref(), Some(wanted));
        }
    }

    #[test]
    fn what_the_user_sets_stays_and_a_turn_is_no_shorter_than_a_session() {
        let three = on(3, [Some(6), Some(1_800), Some(9)]);
        let set = fitted(&[(NAME, "7000")], &three);
        assert_eq!(set.as_deref(), Some("7000"));
        let turn = fitted(&[("max.poll.interval.ms", "10000")], &three);
        assert_eq!(turn.as_deref(), Some("10000"));
    }
}
