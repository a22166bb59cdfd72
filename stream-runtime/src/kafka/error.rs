//! What an error of the Kafka client means for the caller.

use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::{Properties, config_names};
use crate::error::{Error, Kind};

/// What to do about a [`Fault`], in the order in which it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// This client is finished (fenced, or its epoch is gone): make a new one.
    Fatal,
    /// The group no longer knows this member: abort, drop the partitions, join again.
    Lost,
    /// The broker will never accept this as it is: password, rights, settings. The user must act.
    Refused,
    /// A record will never be taken for what it is: too large, without a key, stamped out of the topic's bounds.
    Record,
    /// The transaction must be aborted; the work can be done again.
    Abort,
    /// The same call may be made again.
    Retriable,
    /// Anything else.
    Other,
}

/// An error of the Kafka client: what was being done, what it means, what was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    kind: FaultKind,
    /// What was being done, as "commit the transaction".
    doing: String,
    detail: String,
    code: Option<Code>,
}

impl Fault {
    /// A fault found by the runtime itself.
    pub(crate) fn new(
        kind: FaultKind,
        doing: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            doing: doing.into(),
            detail: detail.into(),
            code: None,
        }
    }

    /// Classifies an error of rdkafka met while `doing`.
    pub(crate) fn of(doing: impl Into<String>, error: &KafkaError) -> Self {
        let code = match error {
            // The binding keeps this one to itself.
            KafkaError::AdminOp(code) => Some(*code),
            other => other.rdkafka_error_code(),
        };
        let (kind, detail) = match error {
            KafkaError::Transaction(inner) => (
                classify(
                    inner.code(),
                    Signs {
                        fatal: inner.is_fatal(),
                        abort: inner.txn_requires_abort(),
                        retriable: inner.is_retriable(),
                    },
                ),
                inner.string(),
            ),
            KafkaError::MessageConsumptionFatal(code) => (
                classify(
                    *code,
                    Signs {
                        fatal: true,
                        ..Signs::default()
                    },
                ),
                code.to_string(),
            ),
            KafkaError::ClientConfig(_, description, name, _) => {
                // Not the value: it may be a secret.
                (FaultKind::Refused, format!("{description}: `{name}`"))
            }
            KafkaError::ClientCreation(text) => (FaultKind::Refused, text.clone()),
            other => match code {
                Some(code) => (classify(code, Signs::default()), code.to_string()),
                None => (FaultKind::Other, other.to_string()),
            },
        };
        Self {
            kind,
            doing: doing.into(),
            detail,
            code,
        }
    }

    /// Classifies a code met while `doing`.
    pub(crate) fn of_code(doing: impl Into<String>, code: Code) -> Self {
        Self {
            kind: classify(code, Signs::default()),
            doing: doing.into(),
            detail: code.to_string(),
            code: Some(code),
        }
    }

    pub(crate) fn kind(&self) -> FaultKind {
        self.kind
    }

    /// Adds what is known beside the error itself, such as the last connection error.
    pub(crate) fn because(mut self, reason: &str) -> Self {
        if !self.detail.contains(reason) {
            self.detail = format!("{} ({reason})", self.detail);
        }
        self
    }

    pub(crate) fn with_kind(mut self, kind: FaultKind) -> Self {
        self.kind = kind;
        self
    }

    /// The broker did not let the client in, which the error itself does not say.
    pub(super) fn unauthenticated(mut self, reason: &str) -> Self {
        self.kind = FaultKind::Refused;
        self.code = Some(Code::Authentication);
        self.because(reason)
    }

    /// Returns `true` if the broker did not let the client in: a wrong user, password or mechanism.
    pub(crate) fn is_authentication(&self) -> bool {
        matches!(
            self.code,
            Some(
                Code::Authentication
                    | Code::SaslAuthenticationFailed
                    | Code::UnsupportedSASLMechanism
            )
        )
    }

    /// The topic or partition does not exist (yet).
    pub(crate) fn is_unknown_topic(&self) -> bool {
        matches!(
            self.code,
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
        )
    }

    /// The question went to a node that does not lead the partition, or not any more: what the client knows is old.
    pub(crate) fn is_stale_leader(&self) -> bool {
        matches!(
            self.code,
            Some(
                Code::FencedLeaderEpoch
                    | Code::UnknownLeaderEpoch
                    | Code::NotLeaderForPartition
                    | Code::LeaderNotAvailable
            )
        )
    }

    /// A client that reads goes on by itself after this: a node went, or a leader moved. A topic that is gone does not
    /// come back by itself.
    pub(crate) fn passes(&self) -> bool {
        (self.kind == FaultKind::Retriable || self.is_stale_leader()) && !self.is_unknown_topic()
    }

    /// The topic was there already.
    pub(crate) fn is_topic_exists(&self) -> bool {
        self.code == Some(Code::TopicAlreadyExists)
    }

    /// A record is larger than its topic or the client takes.
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(
            self.code,
            Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge)
        )
    }

    /// The record lay in one batch with one that was refused.
    pub(crate) fn is_of_another_record(&self) -> bool {
        self.code == Some(Code::InvalidDifferentRecord)
    }

    /// It only follows from another failure when there is one: what was purged, or ran out of time or order beside it.
    pub(crate) fn is_consequence(&self) -> bool {
        matches!(
            self.code,
            Some(
                Code::PurgeQueue
                    | Code::PurgeInflight
                    | Code::MessageTimedOut
                    | Code::OutOfOrderSequenceNumber
                    | Code::InvalidDifferentRecord
            )
        )
    }

    /// What a record was refused for, by the settings of its topic, and what may be done about it.
    pub(super) fn record_hint(&self, has_key: bool) -> Option<&'static str> {
        match self.code? {
            Code::InvalidRecord if !has_key => Some(
                "a compacted topic needs a key: give the record one, or make the topic without `cleanup.policy=compact`",
            ),
            // librdkafka says no more when several records of a batch are refused.
            Code::InvalidRecord => Some(
                "its time is out of the topic's bounds (`message.timestamp.before.max.ms`, `message.timestamp.after.max.ms`), or the broker checks what this topic takes in a way of its own",
            ),
            Code::InvalidTimestamp => Some(
                "its time is out of the topic's bounds: `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms` say how old and how early a record may be",
            ),
            Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => {
                Some(
                    "the topic's `max.message.bytes` and the client's `message.max.bytes` say how large a record may be",
                )
            }
            _ => None,
        }
    }

    /// No right to do this on this topic, group or transactional id.
    pub(crate) fn is_unauthorized(&self) -> bool {
        matches!(
            self.code,
            Some(
                Code::TopicAuthorizationFailed
                    | Code::GroupAuthorizationFailed
                    | Code::ClusterAuthorizationFailed
                    | Code::TransactionalIdAuthorizationFailed
            )
        )
    }

    /// The broker cannot do what was asked at all.
    pub(crate) fn is_unsupported(&self) -> bool {
        self.code == Some(Code::UnsupportedFeature)
    }

    /// Says what to do about a refusal whose text does not.
    pub(crate) fn with_cure(self, properties: &Properties) -> Self {
        let cure = match self.code {
            Some(Code::InvalidTransactionTimeout) => format!(
                "the broker's `transaction.max.timeout.ms` allows less than {}",
                properties.told("transaction.timeout.ms")
            ),
            Some(Code::InvalidSessionTimeout) => format!(
                "{} is outside of the broker's `group.min.session.timeout.ms` and `group.max.session.timeout.ms`; `--kafka session.timeout.ms=10000` sets another",
                match properties.get("session.timeout.ms") {
                    Some(_) => properties.told("session.timeout.ms"),
                    None => format!("the session of {} ms", super::SESSION.as_millis()),
                }
            ),
            Some(Code::InconsistentGroupProtocol) =>
                "other programs are in the group with another protocol: `kafka-consumer-groups --describe --members` names them; an app needs a name of its own"
                    .to_owned(),
            Some(Code::GroupMaxSizeReached) =>
                "the broker's `group.max.size` allows no more stream threads in one group".to_owned(),
            _ => return self,
        };
        self.because(&cure)
    }

    /// The offset asked for is not in the log (any more).
    pub(crate) fn is_out_of_range(&self) -> bool {
        matches!(
            self.code,
            Some(Code::OffsetOutOfRange | Code::AutoOffsetReset)
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}: {}", self.doing, self.detail)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let kind = match fault.kind() {
            FaultKind::Refused => Kind::Refused,
            FaultKind::Fatal => Kind::Fenced,
            FaultKind::Record => Kind::Record,
            _ => Kind::Broker,
        };
        Error::new(kind, fault.to_string())
    }
}

/// What librdkafka says about an error beside its code.
#[derive(Debug, Clone, Copy, Default)]
struct Signs {
    fatal: bool,
    abort: bool,
    retriable: bool,
}

/// Fatal, then lost, then abort, then retriable: a stale generation also "requires abort", and a
/// fenced producer may call itself abortable.
fn classify(code: Code, signs: Signs) -> FaultKind {
    match code {
        Code::Fenced
        | Code::ProducerFenced
        | Code::InvalidProducerEpoch
        | Code::InvalidProducerIdMapping
        | Code::OutOfOrderSequenceNumber
        | Code::UnknownProducerId
            if signs.fatal =>
        {
            FaultKind::Fatal
        }
        Code::Fenced | Code::ProducerFenced => FaultKind::Fatal,
        Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::FencedInstanceId
        | Code::AssignmentLost
        | Code::PollExceeded => FaultKind::Lost,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::SSL
        | Code::InvalidConfig
        | Code::InvalidTransactionTimeout
        | Code::InvalidSessionTimeout
        | Code::InvalidGroupId
        | Code::InconsistentGroupProtocol
        | Code::GroupMaxSizeReached
        | Code::UnsupportedFeature => FaultKind::Refused,
        Code::MessageSizeTooLarge
        | Code::InvalidMessageSize
        | Code::MessageBatchTooLarge
        | Code::InvalidRecord
        | Code::InvalidTimestamp => FaultKind::Record,
        _ if signs.fatal => FaultKind::Fatal,
        _ if signs.abort => FaultKind::Abort,
        _ if signs.retriable => FaultKind::Retriable,
        Code::RequestTimedOut
        | Code::OperationTimedOut
        | Code::MessageTimedOut
        | Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::NetworkException
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::BrokerNotAvailable
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::RebalanceInProgress
        | Code::UnstableOffsetCommit
        | Code::ConcurrentTransactions
        | Code::KafkaStorageError
        | Code::WaitingForCoordinator
        | Code::QueueFull
        | Code::Retry
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition => FaultKind::Retriable,
        _ => FaultKind::Other,
    }
}

/// Pause before the same call is made again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How often it is said that a call is still made.
const SAY_INTERVAL: Duration = Duration::from_secs(5);

/// Makes a call, and again as long as it fails in a way that may pass by itself and `patient`, which is told how long
/// that has been going on, says yes.
pub(crate) fn again<T>(
    patient: impl Fn(Duration) -> bool,
    call: impl FnMut() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let say = |fault: &Fault, _| tracing::warn!("{fault}; trying again");
    again_saying(patient, (Duration::ZERO, SAY_INTERVAL), say, call)
}

/// The same, silent for the first of two times; then `say` is called, and again after the second.
pub(crate) fn again_saying<T>(
    patient: impl Fn(Duration) -> bool,
    (silent, often): (Duration, Duration),
    say: impl Fn(&Fault, Duration),
    mut call: impl FnMut() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let (start, mut next) = (Instant::now(), silent);
    loop {
        match call() {
            Err(fault) if fault.kind() == FaultKind::Retriable && patient(start.elapsed()) => {
                if start.elapsed() >= next {
                    say(&fault, start.elapsed());
                    next = start.elapsed() + often;
                }
                std::thread::sleep(RETRY_PAUSE);
            }
            result => return result,
        }
    }
}

impl Properties {
    /// Names the user's own settings behind librdkafka's in an error of a client that could not be made.
    pub(super) fn explain(&self, fault: Fault) -> Fault {
        let text = fault.to_string();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
        let mut named: Vec<String> = text
            .split(|c: char| !is_part(c))
            .map(|word| config_names::translate(word.trim_matches('.')))
            .filter(|name| self.has_said(name))
            .map(|name| self.told(name))
            .collect();
        named.dedup();
        match named.is_empty() {
            true => fault,
            false => fault.because(&format!("you set {}", named.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_goes_is_no_end_of_reading() {
        let of = |code| Fault::of_code("read in-0", code);
        for code in [
            Code::BrokerTransportFailure,
            Code::OperationTimedOut,
            Code::UnknownLeaderEpoch,
            Code::FencedLeaderEpoch,
            Code::NotLeaderForPartition,
        ] {
            assert!(of(code).passes(), "{code:?}");
        }
        for code in [
            Code::UnknownTopicOrPartition,
            Code::TopicAuthorizationFailed,
            Code::OffsetOutOfRange,
        ] {
            assert!(!of(code).passes(), "{code:?}");
        }
    }

    const NONE: Signs = Signs {
        fatal: false,
        abort: false,
        retriable: false,
    };

    #[test]
    fn what_is_waited_for_as_usual_is_not_told_of() {
        let said = std::cell::Cell::new(0);
        let mut calls = 0;
        let result = again_saying(
            |_| true,
            (Duration::from_millis(120), Duration::from_secs(9)),
            |_, _| said.set(said.get() + 1),
            || {
                calls += 1;
                match calls {
                    1..=5 => Err(Fault::new(FaultKind::Retriable, "begin", "not yet")),
                    _ => Ok(said.get()),
                }
            },
        );
        // Pauses of 50 ms: the fourth call is the first after 120.
        assert_eq!(result, Ok(1));
    }

    #[test]
    fn what_a_group_refuses_says_what_to_do() {
        let properties = Properties::default();
        let told = |code| {
            let fault = Fault::of_code("join the group", code);
            fault.with_cure(&properties).to_string()
        };
        for (code, cure) in [
            (
                Code::InconsistentGroupProtocol,
                "`kafka-consumer-groups --describe --members`",
            ),
            (Code::GroupMaxSizeReached, "`group.max.size`"),
            (
                Code::InvalidSessionTimeout,
                "`group.min.session.timeout.ms`",
            ),
            (
                Code::InvalidTransactionTimeout,
                "`transaction.max.timeout.ms`",
            ),
        ] {
            let text = told(code);
            assert!(text.starts_with("could not join the group"), "{text}");
            assert!(text.contains(cure), "{text}");
        }
        assert_eq!(
            told(Code::NotCoordinator),
            Fault::of_code("join the group", Code::NotCoordinator).to_string()
        );
    }

    #[test]
    fn a_leader_that_has_moved_is_looked_for_again_and_a_coordinator_is_not() {
        let of = |code| Fault::of("ask", &KafkaError::OffsetFetch(code)).is_stale_leader();
        for code in [
            Code::FencedLeaderEpoch,
            Code::UnknownLeaderEpoch,
            Code::NotLeaderForPartition,
            Code::LeaderNotAvailable,
        ] {
            assert!(of(code), "{code:?}");
        }
        assert!(!of(Code::NotCoordinator));
    }

    #[test]
    fn a_broker_that_goes_amid_a_question_of_the_admin_may_be_asked_again() {
        let of = |code| Fault::of("ask", &KafkaError::AdminOp(code)).kind();
        assert_eq!(of(Code::BrokerTransportFailure), FaultKind::Retriable);
        assert_eq!(of(Code::TopicAuthorizationFailed), FaultKind::Refused);
    }

    #[test]
    fn a_stale_generation_is_lost_even_when_it_asks_for_an_abort() {
        for code in [
            Code::IllegalGeneration,
            Code::UnknownMemberId,
            Code::FencedInstanceId,
        ] {
            assert_eq!(
                classify(
                    code,
                    Signs {
                        abort: true,
                        ..NONE
                    }
                ),
                FaultKind::Lost
            );
        }
    }

    #[test]
    fn fenced_is_fatal_before_anything_else() {
        assert_eq!(
            classify(
                Code::Fenced,
                Signs {
                    abort: true,
                    ..NONE
                }
            ),
            FaultKind::Fatal
        );
        assert_eq!(
            classify(
                Code::InvalidProducerEpoch,
                Signs {
                    fatal: true,
                    ..NONE
                }
            ),
            FaultKind::Fatal
        );
        // An epoch bumped by the broker for a transaction it timed out: the producer lives on.
        assert_eq!(
            classify(
                Code::InvalidProducerEpoch,
                Signs {
                    abort: true,
                    ..NONE
                }
            ),
            FaultKind::Abort
        );
    }

    #[test]
    fn abort_comes_before_retriable() {
        let both = Signs {
            abort: true,
            retriable: true,
            ..NONE
        };
        assert_eq!(classify(Code::RequestTimedOut, both), FaultKind::Abort);
        assert_eq!(classify(Code::RequestTimedOut, NONE), FaultKind::Retriable);
    }

    #[test]
    fn a_wrong_password_is_for_the_user() {
        let fault = Fault::of("connect", &KafkaError::Global(Code::Authentication));
        assert_eq!(fault.kind(), FaultKind::Refused);
        assert!(fault.is_authentication());
        assert!(
            fault.to_string().starts_with("could not connect: "),
            "{fault}"
        );
    }

    #[test]
    fn what_a_record_is_refused_for_is_the_record_s_own() {
        for code in [
            Code::MessageSizeTooLarge,
            Code::InvalidRecord,
            Code::InvalidTimestamp,
        ] {
            let abort = Signs {
                abort: true,
                ..NONE
            };
            assert_eq!(classify(code, abort), FaultKind::Record, "{code}");
            assert!(Fault::of_code("send", code).record_hint(false).is_some());
        }
        for code in [
            Code::PurgeQueue,
            Code::MessageTimedOut,
            Code::InvalidDifferentRecord,
        ] {
            let fault = Fault::of_code("send", code);
            assert_ne!(fault.kind(), FaultKind::Record, "{code}");
            assert!(fault.is_consequence());
        }
    }

    #[test]
    fn a_setting_error_never_shows_the_value() {
        let error = KafkaError::ClientConfig(
            rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "Invalid value".into(),
            "sasl.password".into(),
            "hunter2".into(),
        );
        let text = Fault::of("read the settings", &error).to_string();
        assert!(
            text.contains("sasl.password") && !text.contains("hunter2"),
            "{text}"
        );
    }

    #[test]
    fn an_error_of_librdkafka_names_what_the_user_wrote() {
        let mut properties = Properties::default();
        let text = "delivery.timeout.ms=5\nsasl.password=geheim\n";
        properties.read(text, "c").unwrap();
        let fault = |text: &str| {
            let fault = Fault::new(FaultKind::Refused, "make a producer", text);
            properties.explain(fault).to_string()
        };
        assert_eq!(
            fault("`message.timeout.ms` is wrong."),
            "could not make a producer: `message.timeout.ms` is wrong. (you set `delivery.timeout.ms` = 5 (c:1))"
        );
        assert!(!fault("`sasl.password`").contains("geheim"));
        assert_eq!(fault("no name"), "could not make a producer: no name");
    }
}
