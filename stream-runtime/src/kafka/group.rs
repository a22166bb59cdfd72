//! A member of the consumer group.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::client_config::Role;
use super::client_log::Reporter;
use super::ffi::{self, EventQueue};
use super::{
    Fault, FaultKind, GroupToken, PartitionQueue, Properties, TopicPartition, TopicPartitionOffset,
    Wake,
};
use crate::mutants::{self, Mutant};
use crate::sync::Mutex;

/// What the group asks of its member.
#[derive(Debug)]
pub(crate) enum GroupEvent {
    /// These are the member's partitions now: answer with `assign`.
    Assigned(Vec<TopicPartition>),
    /// These go away: commit, then answer with `unassign`. `lost` means that others may own them
    /// already: abort instead.
    Revoked {
        partitions: Vec<TopicPartition>,
        lost: bool,
    },
    /// Another member took this one's instance id: it is finished, make a new one.
    Fenced(Fault),
    /// An error of the member as a whole.
    Failed(Fault),
}

/// A committed offset with the text committed beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// Next offset to read; `None` when the group never committed one.
    pub(crate) offset: Option<i64>,
    pub(crate) metadata: String,
}

/// One member of the group. All methods but those of [`lookup`](Self::lookup) are for its stream
/// thread; drop its partition queues before it.
pub(crate) struct GroupConsumer {
    // Field order is drop order: the event queue before the client.
    events: EventQueue<Wake>,
    consumer: Arc<BaseConsumer<GroupContext>>,
    wake: Wake,
    bootstrap: String,
}

/// Asks whether the member is one still; may be used from another thread, because a broker in trouble lets the call
/// wait.
pub(crate) struct Lookup {
    consumer: Arc<BaseConsumer<GroupContext>>,
}

struct GroupContext {
    events: Mutex<Vec<GroupEvent>>,
    closing: AtomicBool,
    reporter: Reporter,
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.reporter.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reporter.error(&error, reason);
    }
}

impl ConsumerContext for GroupContext {
    /// Records the event only: librdkafka waits for `assign` or `unassign`, which the stream thread
    /// calls when its tasks are ready for it.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        if self.closing.load(Ordering::Acquire) {
            // Dropping the client polls until it is closed, and waits for this answer.
            if let Err(error) = consumer.unassign() {
                tracing::warn!("could not give up the partitions while closing: {error}");
            }
            return;
        }
        let partitions = list
            .elements()
            .iter()
            .map(|e| (Arc::from(e.topic()), e.partition()))
            .collect();
        self.push(match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                GroupEvent::Assigned(partitions)
            }
            _ => GroupEvent::Revoked {
                partitions,
                lost: consumer.assignment_lost(),
            },
        });
    }
}

impl GroupContext {
    fn push(&self, event: GroupEvent) {
        self.events.lock().push(event);
    }
}

impl GroupConsumer {
    /// A member of `group`; `instance` makes it a static one, and its client id ends with `name`. Joins with
    /// `subscribe`.
    pub(crate) fn new(
        properties: &Properties,
        group: &str,
        instance: Option<&str>,
        name: Option<&str>,
        wake: &Wake,
    ) -> Result<Self, Fault> {
        let context = GroupContext {
            events: Mutex::default(),
            closing: AtomicBool::new(false),
            reporter: Reporter::default(),
        };
        let consumer: BaseConsumer<GroupContext> = Role::Member {
            group,
            instance,
            name,
        }
        .config(properties)
        .create_with_context(context)
        .map_err(|error| {
            let doing = format!("make a consumer of group `{group}`");
            properties.explain(Fault::of(doing, &error))
        })?;
        let consumer = Arc::new(consumer);
        let events = EventQueue::of_consumer(&consumer, wake).ok_or_else(|| {
            Fault::new(FaultKind::Fatal, "make a consumer", "it has no event queue")
        })?;
        Ok(Self {
            events,
            consumer,
            wake: wake.clone(),
            bootstrap: properties.bootstrap().unwrap_or_default().to_owned(),
        })
    }

    /// Joins the group for these topics.
    pub(crate) fn subscribe(&self, topics: &[&str]) -> Result<(), Fault> {
        self.consumer
            .subscribe(topics)
            .map_err(|error| Fault::of(format!("subscribe to {topics:?}"), &error))
    }

    /// Leaves the group; a `Revoked` follows when partitions were assigned.
    pub(crate) fn unsubscribe(&self) {
        self.consumer.unsubscribe();
    }

    /// Serves librdkafka's events without waiting and appends what the group wants.
    pub(crate) fn events(&self, out: &mut Vec<GroupEvent>) {
        let reporter = &self.consumer.context().reporter;
        reporter.revive(self.consumer.client(), &self.bootstrap);
        // One poll serves one event. Always at least one: it also tells librdkafka that we are alive.
        for _ in 0..1000 {
            match self.consumer.poll(Duration::ZERO) {
                None => {}
                Some(Ok(message)) => {
                    use rdkafka::Message;
                    // Cannot be: every partition has its queue before it is assigned.
                    self.consumer.context().push(GroupEvent::Failed(Fault::new(
                        FaultKind::Fatal,
                        format!(
                            "read {}-{} offset {}",
                            message.topic(),
                            message.partition(),
                            message.offset()
                        ),
                        "a record came past its partition's queue",
                    )));
                }
                Some(Err(error)) => {
                    let fault = Fault::of("take part in the group", &error);
                    let event = match self.consumer.client().fatal_error() {
                        Some((RDKafkaErrorCode::FencedInstanceId, reason)) => {
                            GroupEvent::Fenced(fault.because(&reason))
                        }
                        Some((_, reason)) => {
                            GroupEvent::Failed(fault.with_kind(FaultKind::Fatal).because(&reason))
                        }
                        // librdkafka goes on by itself, and says the same at every attempt to reach a broker that is
                        // away.
                        None if fault.kind() == FaultKind::Retriable => {
                            self.consumer
                                .context()
                                .reporter
                                .error(&error, &fault.to_string());
                            continue;
                        }
                        None => GroupEvent::Failed(fault),
                    };
                    self.consumer.context().push(event);
                }
            }
            if !self.events.has_events() {
                break;
            }
        }
        out.append(&mut self.consumer.context().events.lock());
    }

    /// Takes the partitions from the offsets given. The queues come in the order of `places`.
    pub(crate) fn assign(
        &self,
        places: &[TopicPartitionOffset],
    ) -> Result<Vec<PartitionQueue>, Fault> {
        let doing = || "assign the partitions".to_owned();
        let queues = queues(&self.consumer, places, &self.wake, &doing())?;
        let list = list_of(places).map_err(|error| Fault::of(doing(), &error))?;
        self.consumer
            .assign(&list)
            .map_err(|error| Fault::of(doing(), &error))?;
        Ok(queues)
    }

    /// Gives up all partitions.
    pub(crate) fn unassign(&self) -> Result<(), Fault> {
        self.consumer
            .unassign()
            .map_err(|error| Fault::of("give up the partitions", &error))
    }

    /// Reads on from other offsets; what was prefetched is thrown away.
    pub(crate) fn seek(&self, places: &[TopicPartitionOffset]) -> Result<(), Fault> {
        if places.is_empty() {
            return Ok(());
        }
        let doing = || "seek".to_owned();
        let list = list_of(places).map_err(|error| Fault::of(doing(), &error))?;
        let list = self
            .consumer
            .seek_partitions(list, Duration::from_secs(10))
            .map_err(|error| Fault::of(doing(), &error))?;
        for element in list.elements() {
            element.error().map_err(|error| {
                Fault::of(
                    format!("seek in {}-{}", element.topic(), element.partition()),
                    &error,
                )
            })?;
        }
        Ok(())
    }

    /// Commits offsets outside a transaction, each with a text beside it, and waits as long as `patient` says yes.
    pub(crate) fn commit(
        &self,
        offsets: &[(TopicPartitionOffset, String)],
        patient: impl Fn() -> bool,
    ) -> Result<(), Fault> {
        let list = list_with(offsets).map_err(|error| Fault::of("commit offsets", &error))?;
        ffi::commit(&self.consumer, &list, patient)
            .map_err(|error| Fault::of("commit offsets", &error))
    }

    /// Returns whether others may own the partitions already: the group has not heard of this member for its session.
    pub(crate) fn is_lost(&self) -> bool {
        // Of that mutant a zombie's commit is to be seen.
        self.consumer.assignment_lost() && !mutants::is(Mutant::Offsets)
    }

    /// Who this member is now.
    pub(crate) fn token(&self) -> Option<GroupToken> {
        ffi::group_token(&self.consumer)
    }

    pub(super) fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }

    /// For asking the broker from another thread.
    pub(crate) fn lookup(&self) -> Lookup {
        Lookup {
            consumer: Arc::clone(&self.consumer),
        }
    }
}

impl Lookup {
    /// Who the member is now.
    pub(crate) fn token(&self) -> Option<GroupToken> {
        ffi::group_token(&self.consumer)
    }

    /// Commits an offset that nobody reads from: the group takes it from its members of this generation only. Waits
    /// for so long.
    pub(crate) fn prove(
        &self,
        place: &TopicPartitionOffset,
        timeout: Duration,
    ) -> Result<(), Fault> {
        let doing = "ask the group whether this worker is a member";
        let list = list_of(std::slice::from_ref(place)).map_err(|e| Fault::of(doing, &e))?;
        let began = Instant::now();
        ffi::commit(&self.consumer, &list, || began.elapsed() < timeout)
            .map_err(|error| Fault::of(doing, &error))
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.consumer
            .context()
            .closing
            .store(true, Ordering::Release);
        // A rebalance that waits for its answer would keep the client from closing.
        let _ = self.consumer.unassign();
    }
}

/// Committed offsets through any consumer with a group.
pub(super) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Committed>, Fault> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    let doing = "read the group's committed offsets";
    let list = consumer
        .committed_offsets(list, timeout)
        .map_err(|error| Fault::of(doing, &error))?;
    let mut found = Vec::with_capacity(partitions.len());
    for element in list.elements() {
        element.error().map_err(|error| {
            Fault::of(
                format!("{doing} of {}-{}", element.topic(), element.partition()),
                &error,
            )
        })?;
        found.push(Committed {
            topic: Arc::from(element.topic()),
            partition: element.partition(),
            offset: match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            },
            metadata: element.metadata().to_owned(),
        });
    }
    Ok(found)
}

/// The queues of partitions that are about to be assigned, in their order.
pub(super) fn queues<C: ConsumerContext + 'static>(
    consumer: &Arc<BaseConsumer<C>>,
    places: &[TopicPartitionOffset],
    wake: &Wake,
    doing: &str,
) -> Result<Vec<PartitionQueue>, Fault> {
    let queue = |place: &TopicPartitionOffset| {
        PartitionQueue::new(consumer, &place.topic, place.partition, wake).ok_or_else(|| {
            let text = format!("no queue for {}", place.topic);
            Fault::new(FaultKind::Other, doing, text)
        })
    };
    places.iter().map(queue).collect()
}

pub(super) fn list_of(places: &[TopicPartitionOffset]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for place in places {
        list.add_partition_offset(&place.topic, place.partition, Offset::Offset(place.offset))?;
    }
    Ok(list)
}

/// A list with a text beside each offset.
pub(super) fn list_with(
    offsets: &[(TopicPartitionOffset, String)],
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (place, metadata) in offsets {
        let mut element = list.add_partition(&place.topic, place.partition);
        element.set_offset(Offset::Offset(place.offset))?;
        if !metadata.is_empty() {
            element.set_metadata(metadata.as_str());
        }
    }
    Ok(list)
}
