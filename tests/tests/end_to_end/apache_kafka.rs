//! The harness itself: Apache Kafka starts, keeps its data over a SIGKILL, and lets users in by TLS and SASL.

use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::Duration;
use tests::apache::{ApacheKafka, Options};
use tests::broker::Broker;
use tests::client::{self, Isolation, Sender};
use tests::{cache, sasl, skip};

#[test]
fn keeps_its_records_over_a_kill() {
    let Some(mut broker) = Broker::apache() else {
        return;
    };
    let bootstrap = broker.bootstrap();
    client::create_topic(&bootstrap, "kept", 2, &[]).unwrap();
    let sender = Sender::new(&bootstrap).unwrap();
    for n in 0..100 {
        sender
            .send(
                "kept",
                Some(b"key"),
                Some(format!("{n}").as_bytes()),
                Some(n % 2),
            )
            .unwrap();
    }
    sender.finish().unwrap();
    broker.kill();
    broker.restart();
    let records = client::read_all(&bootstrap, "kept", Isolation::Committed).unwrap();
    assert_eq!(records.len(), 100);
    assert_eq!(
        client::end_offsets(&bootstrap, "kept", Isolation::Uncommitted).unwrap(),
        [50, 50]
    );
}

#[test]
fn lets_users_in_by_tls_and_sasl_only_with_the_password() {
    if let Some(reason) = cache::java_missing() {
        return skip::skip_or_fail(reason);
    }
    let kafka = ApacheKafka::start_with(&Options {
        secure: true,
        ..Options::default()
    })
    .unwrap();
    client::create_topic(&kafka.bootstrap(), "seen", 1, &[]).unwrap();
    let (bootstrap, certificate) = kafka.secure();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        for (password, let_in) in [(sasl::PASSWORD, true), ("wrong", false)] {
            let mut config = client::config(&bootstrap);
            config
                .set("security.protocol", "SASL_SSL")
                .set("ssl.ca.location", certificate.to_str().unwrap());
            config
                .set("sasl.mechanism", mechanism)
                .set("sasl.username", sasl::USER)
                .set("sasl.password", password);
            let consumer: BaseConsumer = config.create().unwrap();
            let within = Duration::from_secs(if let_in { 20 } else { 2 });
            let seen = consumer.fetch_metadata(Some("seen"), within);
            assert_eq!(
                seen.is_ok(),
                let_in,
                "{mechanism} with {password:?}: {:?}",
                seen.err()
            );
        }
    }
}
