//! What each kind of client adds to the user's settings.

use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use super::properties::{SESSION, TRANSACTION};
use super::{Properties, config_names};

/// What a reader sees of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Only what is committed, up to the first open transaction.
    Committed,
    /// Everything in the log.
    Uncommitted,
}

impl Isolation {
    fn name(self) -> &'static str {
        match self {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        }
    }
}

/// A kind of client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role<'a> {
    /// A member of the app's group.
    Member {
        group: &'a str,
        instance: Option<&'a str>,
        /// End of its client id.
        name: Option<&'a str>,
    },
    /// Reads given partitions; the group names whose rights it uses, it never joins or commits.
    Reader {
        group: &'a str,
        isolation: Isolation,
    },
    /// Transactions of one stream thread.
    Transactional { id: &'a str },
    /// Sends on its own, and may send twice what was on its way when a leader moved: outputs at-least-once.
    Idempotent,
    /// Sends on its own, each record once.
    Single,
    /// Metadata and offsets; sees everything in the log.
    Admin,
}

/// Longest time between two polls of a member, librdkafka's own: after that the group gives its partitions to others.
const TURN: Duration = Duration::from_secs(300);
/// Heartbeats at most so far apart, in ms: a member hears of a rebalance with its next one.
const HEARTBEAT: u64 = 500;

/// Returns the longest time between two polls of a member with these settings.
pub(crate) fn longest_turn(properties: &Properties) -> Duration {
    let set = properties.get("max.poll.interval.ms");
    let set = set.and_then(|ms| ms.parse().ok());
    set.map_or(TURN, Duration::from_millis)
}

impl Role<'_> {
    fn is_consumer(self) -> bool {
        matches!(
            self,
            Role::Member { .. } | Role::Reader { .. } | Role::Admin
        )
    }

    /// Defaults, then the user's settings, then what the guarantees rest on.
    pub(super) fn config(self, properties: &Properties) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        config.set("client.id", "stream-runtime");
        // A broker that comes back is found within a second, not ten.
        config.set("reconnect.backoff.max.ms", "1000");
        self.defaults(properties, &mut config);
        let foreign = if self.is_consumer() {
            config_names::PRODUCER
        } else {
            config_names::CONSUMER
        };
        // Only a member has a session; the worker gives each of its threads an instance id of its own.
        let is_other_s = |name: &str| match self {
            Role::Member { .. } => name == "group.instance.id",
            _ => config_names::MEMBER.contains(&name),
        };
        for (name, value) in properties.iter() {
            if !foreign.contains(&name) && !is_other_s(name) {
                config.set(name, value);
            }
        }
        if self.is_consumer() && properties.get("fetch.max.bytes").is_none() {
            // A full answer has to come within `socket.timeout.ms`: 17 Mbit/s, instead of 52 for librdkafka's 50 MiB. A
            // message has to fit.
            let message = properties.number("message.max.bytes").unwrap_or(0);
            config.set("fetch.max.bytes", message.max(16 << 20).to_string());
        }
        if matches!(self, Role::Transactional { .. }) {
            // What is not delivered when the transaction is over is aborted with it: librdkafka refuses more, Java's
            // usual two minutes too.
            let open = properties.number("transaction.timeout.ms");
            let open = open.unwrap_or(TRANSACTION.as_millis() as i64);
            if properties.number("message.timeout.ms") > Some(open)
                || properties.number("message.timeout.ms") == Some(0)
            {
                config.set("message.timeout.ms", open.to_string());
            }
        }
        self.fixed(&mut config);
        config
    }

    fn defaults(self, properties: &Properties, config: &mut ClientConfig) {
        if self.is_consumer() {
            // An end of partition is known when a fetch comes back empty: readers wait for it. And a consumer has one
            // fetch on its way: one that holds out for a quiet partition keeps a busy one, that was full for a moment,
            // from its next.
            let wait = if matches!(self, Role::Reader { .. }) {
                "10"
            } else {
                "20"
            };
            config.set("fetch.wait.max.ms", wait);
            // A minute by default. A broker that is stopped keeps its connections, and librdkafka asks the broker that
            // it heard of last where leaders and coordinators are: without this it finds none as long as that one
            // answers nothing. A member asks nothing that may have to wait on its connection behind a join.
            config.set("socket.timeout.ms", "8000");
            // 1000 by default, which stalls a fast reader tenfold.
            config.set("fetch.queue.backoff.ms", "5");
            // Enough to hide a fetch and the next slice of another thread's time; a worker of many partitions sets
            // less.
            config.set("queued.min.messages", "10000");
            config.set("fetch.message.max.bytes", "262144");
            config.set("queued.max.messages.kbytes", "16384");
        } else {
            // `linger.ms`, by the name that `Properties` keeps. A commit sends all it has at once, so that batches are
            // full anyway, and then waits this much longer than it must.
            config.set("queue.buffering.max.ms", "1");
            config.set("queue.buffering.max.messages", "1000000");
            config.set("queue.buffering.max.kbytes", "262144");
        }
        if matches!(self, Role::Single) {
            // One request at a time: when one of several comes out of order, as behind a leader that has moved,
            // librdkafka numbers all that waits again (its issue 4953), and what was written and not acknowledged is
            // written twice.
            config.set("max.in.flight.requests.per.connection", "1");
        }
        match self {
            Role::Member { .. } => {
                let session = properties
                    .get("session.timeout.ms")
                    .and_then(|ms| ms.parse().ok())
                    .unwrap_or(SESSION.as_millis() as u64);
                config.set("session.timeout.ms", session.to_string());
                config.set(
                    "heartbeat.interval.ms",
                    (session / 3).clamp(1, HEARTBEAT).to_string(),
                );
                // Ten minutes by default: of a coordinator that answers nothing, and is not missed by its connections,
                // nobody would hear that it is another one's turn before the session is over.
                config.set("coordinator.query.interval.ms", "1000");
            }
            Role::Transactional { .. } => {
                config.set(
                    "transaction.timeout.ms",
                    TRANSACTION.as_millis().to_string(),
                );
            }
            _ => {}
        }
    }

    fn fixed(self, config: &mut ClientConfig) {
        match self {
            Role::Member {
                group,
                instance,
                name,
            } => {
                config.set("group.id", group);
                config.set("group.protocol", "classic");
                config.set("partition.assignment.strategy", "range");
                config.set("isolation.level", Isolation::Committed.name());
                if let Some(instance) = instance {
                    config.set("group.instance.id", instance);
                }
                if let Some(name) = name {
                    let before = config.get("client.id").unwrap_or_default();
                    let whole = format!("{before}-{name}");
                    config.set("client.id", whole);
                }
            }
            Role::Reader { group, isolation } => {
                config.set("group.id", group);
                config.set("isolation.level", isolation.name());
            }
            Role::Admin => {
                config.set("isolation.level", Isolation::Uncommitted.name());
            }
            Role::Transactional { id } => {
                config.set("transactional.id", id);
            }
            Role::Idempotent | Role::Single => {}
        }
        if self.is_consumer() {
            config.set("enable.auto.commit", "false");
            config.set("enable.auto.offset.store", "false");
            config.set("auto.offset.reset", "error");
            config.set("enable.partition.eof", "true");
            config.set("allow.auto.create.topics", "false");
        } else {
            config.set("enable.idempotence", "true");
            config.set("partitioner", "murmur2_random");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(entries: &[(&str, &str)]) -> Properties {
        let mut properties = Properties::broker("h:1");
        for (name, value) in entries {
            properties.set(name, value).unwrap();
        }
        properties
    }

    #[test]
    fn every_role_s_settings_are_known_to_librdkafka() {
        let all = properties(&[
            ("linger.ms", "7"),
            ("fetch.wait.max.ms", "9"),
            ("session.timeout.ms", "2000"),
        ]);
        for role in [
            Role::Member {
                group: "g",
                instance: Some("i"),
                name: None,
            },
            Role::Reader {
                group: "g",
                isolation: Isolation::Committed,
            },
            Role::Transactional { id: "t" },
            Role::Idempotent,
            Role::Single,
            Role::Admin,
        ] {
            role.config(&all)
                .create_native_config()
                .unwrap_or_else(|e| panic!("{role:?}: {e}"));
        }
    }

    #[test]
    fn a_user_s_setting_wins_over_a_default_and_stays_with_its_kind() {
        let all = properties(&[("linger.ms", "7"), ("fetch.queue.backoff.ms", "9")]);
        let producer = Role::Idempotent.config(&all);
        assert_eq!(producer.get("queue.buffering.max.ms"), Some("7"));
        assert_eq!(producer.get("fetch.queue.backoff.ms"), None);
        let member = Role::Member {
            group: "g",
            instance: None,
            name: None,
        }
        .config(&all);
        assert_eq!(member.get("fetch.queue.backoff.ms"), Some("9"));
        assert_eq!(member.get("queue.buffering.max.ms"), None);
    }

    #[test]
    fn what_is_to_be_sent_once_has_one_request_on_its_way_unless_the_user_says_otherwise() {
        let name = "max.in.flight.requests.per.connection";
        let plain = properties(&[]);
        assert_eq!(Role::Single.config(&plain).get(name), Some("1"));
        assert_eq!(Role::Idempotent.config(&plain).get(name), None);
        let own = Role::Single.config(&properties(&[(name, "5")]));
        assert_eq!(own.get(name), Some("5"));
    }

    #[test]
    fn heartbeats_follow_the_session() {
        let beat = |entries: &[(&str, &str)]| {
            let config = Role::Member {
                group: "g",
                instance: None,
                name: None,
            }
            .config(&properties(entries));
            (
                config.get("session.timeout.ms").unwrap().to_owned(),
                config.get("heartbeat.interval.ms").unwrap().to_owned(),
            )
        };
        assert_eq!(beat(&[]), ("6000".into(), "500".into()));
        assert_eq!(
            beat(&[("session.timeout.ms", "1200")]),
            ("1200".into(), "400".into())
        );
        assert_eq!(
            beat(&[
                ("session.timeout.ms", "2000"),
                ("heartbeat.interval.ms", "500")
            ]),
            ("2000".into(), "500".into())
        );
        assert_eq!(beat(&[("session.timeout.ms", "45000")]).1, "500");
    }

    /// Java's defaults, as people copy them into their files: none of them keeps a client from being made.
    #[test]
    fn java_s_default_properties_run() {
        let all = properties(&[
            ("delivery.timeout.ms", "120000"),
            ("request.timeout.ms", "30000"),
            ("transaction.timeout.ms", "60000"),
            ("max.poll.interval.ms", "300000"),
            ("session.timeout.ms", "45000"),
            ("heartbeat.interval.ms", "3000"),
            ("max.in.flight.requests.per.connection", "5"),
            ("linger.ms", "5"),
            ("batch.size", "16384"),
            ("retries", "2147483647"),
            ("acks", "all"),
            ("fetch.max.bytes", "52428800"),
            ("max.partition.fetch.bytes", "1048576"),
            ("fetch.max.wait.ms", "500"),
            ("metadata.max.age.ms", "300000"),
            ("connections.max.idle.ms", "540000"),
            ("reconnect.backoff.ms", "50"),
            ("reconnect.backoff.max.ms", "1000"),
            ("retry.backoff.ms", "100"),
        ]);
        made_by_every_role(&all);
        // A member's turns shorter than librdkafka's usual session of 45 s, which other consumers keep.
        made_by_every_role(&properties(&[("max.poll.interval.ms", "7000")]));
        // The usual transaction is shorter than Java's usual delivery.
        made_by_every_role(&properties(&[("delivery.timeout.ms", "120000")]));
        made_by_every_role(&properties(&[("delivery.timeout.ms", "0")]));
        // Messages larger than a fetch is by our default.
        made_by_every_role(&properties(&[("message.max.bytes", "30000000")]));
        made_by_every_role(&properties(&[("fetch.max.wait.ms", "10000")]));
        made_by_every_role(&properties(&[("group.instance.id", "i1")]));
    }

    /// Makes the clients themselves: librdkafka looks at settings together only then.
    fn made_by_every_role(all: &Properties) {
        use rdkafka::consumer::{BaseConsumer, DefaultConsumerContext};
        use rdkafka::producer::{BaseProducer, DefaultProducerContext};
        let (group, id) = ("g", "t");
        for role in [
            Role::Member {
                group,
                instance: None,
                name: None,
            },
            Role::Reader {
                group,
                isolation: Isolation::Committed,
            },
            Role::Admin,
        ] {
            let config = role.config(all);
            assert_eq!(config.get("group.instance.id"), None);
            let made: Result<BaseConsumer, _> = config.create_with_context(DefaultConsumerContext);
            made.unwrap_or_else(|error| panic!("{role:?}: {error}"));
        }
        for role in [Role::Transactional { id }, Role::Idempotent, Role::Single] {
            let made: Result<BaseProducer, _> =
                role.config(all).create_with_context(DefaultProducerContext);
            made.unwrap_or_else(|error| panic!("{role:?}: {error}"));
        }
    }
}
