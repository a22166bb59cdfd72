//! Setting names: which are the worker's own, which belong to one kind of client, which are Java's.

/// Set by the worker because its guarantees rest on them.
pub(super) const OWNED: &[&str] = &[
    "group.id",
    "group.protocol",
    "group.remote.assignor",
    "partition.assignment.strategy",
    "enable.auto.commit",
    "auto.commit.enable",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "isolation.level",
    "enable.partition.eof",
    "allow.auto.create.topics",
    "transactional.id",
    "enable.idempotence",
    "partitioner",
    "delivery.report.only.error",
    "produce.offset.report",
];

/// Understood by consumers only; librdkafka warns when a producer is given one.
pub(super) const CONSUMER: &[&str] = &[
    "group.instance.id",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "coordinator.query.interval.ms",
    "max.poll.interval.ms",
    "queued.min.messages",
    "queued.max.messages.kbytes",
    "fetch.wait.max.ms",
    "fetch.queue.backoff.ms",
    "fetch.message.max.bytes",
    "max.partition.fetch.bytes",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.error.backoff.ms",
    "check.crcs",
];

/// Meant for members of a group, though every consumer takes them.
pub(super) const MEMBER: &[&str] = &[
    "group.instance.id",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
];

/// Understood by producers only.
pub(super) const PRODUCER: &[&str] = &[
    "transaction.timeout.ms",
    "queue.buffering.max.messages",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.ms",
    "linger.ms",
    "message.send.max.retries",
    "retries",
    "queue.buffering.backpressure.threshold",
    "compression.codec",
    "compression.type",
    "compression.level",
    "batch.num.messages",
    "batch.size",
    "sticky.partitioning.linger.ms",
    "request.required.acks",
    "acks",
    "request.timeout.ms",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "queuing.strategy",
];

/// Java's clients or a schema registry use these; they mean nothing here.
pub(super) fn is_java_only(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["schema.registry.", "basic.auth.", "confluent."];
    const NAMES: [&str; 10] = [
        "key.serializer",
        "value.serializer",
        "key.deserializer",
        "value.deserializer",
        "max.poll.records",
        "max.block.ms",
        "buffer.memory",
        "default.api.timeout.ms",
        "interceptor.classes",
        "ssl.truststore.type",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

/// The one name under which a setting is kept: librdkafka's for a Java name, one of its aliases.
pub(super) fn translate(name: &str) -> &str {
    match name {
        "ssl.truststore.certificates" => "ssl.ca.pem",
        "ssl.keystore.key" => "ssl.key.pem",
        "ssl.keystore.certificate.chain" => "ssl.certificate.pem",
        "fetch.max.wait.ms" => "fetch.wait.max.ms",
        "send.buffer.bytes" => "socket.send.buffer.bytes",
        "receive.buffer.bytes" => "socket.receive.buffer.bytes",
        "max.request.size" => "message.max.bytes",
        "socket.connection.setup.timeout.max.ms" => "socket.connection.setup.timeout.ms",
        "sasl.mechanism" => "sasl.mechanisms",
        "linger.ms" => "queue.buffering.max.ms",
        "retries" => "message.send.max.retries",
        "acks" => "request.required.acks",
        "max.in.flight" => "max.in.flight.requests.per.connection",
        "compression.type" => "compression.codec",
        "max.partition.fetch.bytes" => "fetch.message.max.bytes",
        "delivery.timeout.ms" => "message.timeout.ms",
        "metadata.broker.list" => "bootstrap.servers",
        other => other,
    }
}

/// Values that no log and no `Debug` shows.
pub(super) fn is_secret(name: &str) -> bool {
    name.contains("password")
        || name.contains("secret")
        || name.contains("passphrase")
        || name.contains("jaas")
        || name.contains("assertion")
        || name == "ssl.key.pem"
        || name == "sasl.oauthbearer.config"
        || name == "basic.auth.user.info"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known() {
        for name in [
            "sasl.password",
            "ssl.key.password",
            "ssl.key.pem",
            "sasl.jaas.config",
            "sasl.oauthbearer.client.secret",
        ] {
            assert!(is_secret(name), "{name}");
        }
        assert!(!is_secret("sasl.username") && !is_secret("ssl.ca.location"));
    }
}
