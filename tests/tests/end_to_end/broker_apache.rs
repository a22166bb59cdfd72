//! The checks that the embedded broker is held to, on Apache Kafka: where they differ, Kafka is right.

use tests::broker::Broker;
use tests::broker_suite;

#[test]
fn apache_kafka_passes_the_checks_of_the_embedded_broker() {
    let Some(broker) = Broker::apache() else {
        return;
    };
    let bootstrap = broker.bootstrap();
    // Each check has topics and groups of its own, and most of them wait: at once.
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let started: Vec<_> = broker_suite::ALL
            .iter()
            .map(|(name, check)| (*name, scope.spawn(|| check(&bootstrap))))
            .collect();
        started
            .into_iter()
            .filter_map(|(name, check)| check.join().is_err().then_some(name))
            .collect()
    });
    assert!(failed.is_empty(), "failed on Apache Kafka: {failed:?}");
}
