//! Topics, their configuration, offsets: what is asked of the cluster beside the records' way.
//!
//! Every call blocks, at most for its timeout: use it from a thread that may wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset, TopicPartitionList};

use super::client_config::Role;
use super::client_log::Reporter;
use super::group::{self, Committed, list_of, list_with};
use super::{Fault, FaultKind, Isolation, Properties, TopicPartition, TopicPartitionOffset, ffi};
use crate::topology::pattern::is_kafka_s_own;

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicSettings {
    pub(crate) name: String,
    /// `None`: the broker's default.
    pub(crate) partitions: Option<i32>,
    /// `None`: the broker's default.
    pub(crate) replication: Option<i32>,
    /// Topic configuration, as `("cleanup.policy", "compact")`.
    pub(crate) config: Vec<(String, String)>,
}

/// A topic that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicView {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) replication: i32,
}

/// Settings of a cluster that bound the session of a member.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SessionLimits {
    pub(crate) brokers: usize,
    /// `group.min.session.timeout.ms`.
    pub(crate) least: Option<Duration>,
    /// `group.max.session.timeout.ms`.
    pub(crate) most: Option<Duration>,
    /// `broker.session.timeout.ms`: for how long a broker that says nothing is not missed.
    pub(crate) of_brokers: Option<Duration>,
}

/// Asks and tells the cluster. Made lazily connected: a broker that is away shows at the first call.
pub(crate) struct Admin {
    admin: AdminClient<AdminContext>,
    reader: BaseConsumer<AdminContext>,
    properties: Properties,
    timeout: Duration,
}

/// Has a group's name, and never joins it.
pub(crate) struct Visitor(BaseConsumer<AdminContext>);

impl Visitor {
    /// Returns the group's committed offsets. A visitor that reads what is committed waits for open transactions.
    ///
    /// # Errors
    /// There was no answer within `timeout`, or the group may not be read.
    pub(crate) fn committed(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<Committed>, Fault> {
        group::committed(&self.0, partitions, timeout)
    }

    pub(super) fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.0.group_metadata()
    }
}

struct AdminContext(Arc<Reporter>);

impl ClientContext for AdminContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.0.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }
}

impl ConsumerContext for AdminContext {}

impl Admin {
    /// Calls wait at most `timeout`.
    pub(crate) fn new(properties: &Properties, timeout: Duration) -> Result<Self, Fault> {
        let config = Role::Admin.config(properties);
        let reporter = Arc::new(Reporter::default());
        let make =
            |error: KafkaError| properties.explain(Fault::of("make an admin client", &error));
        Ok(Self {
            admin: config
                .create_with_context(AdminContext(Arc::clone(&reporter)))
                .map_err(make)?,
            reader: config
                .create_with_context(AdminContext(reporter))
                .map_err(make)?,
            properties: properties.clone(),
            timeout,
        })
    }

    /// All topics of the cluster by name, those of Kafka's own left out.
    pub(crate) fn topics(&self) -> Result<BTreeMap<String, TopicView>, Fault> {
        let metadata = self
            .metadata(None)
            .map_err(|error| self.explain(Fault::of("ask the broker for its topics", &error)))?;
        let views = metadata
            .topics()
            .iter()
            .filter(|topic| !is_kafka_s_own(topic.name()))
            .map(view);
        Ok(views.map(|view| (view.name.clone(), view)).collect())
    }

    /// Asks in growing slices of the time there is: a wrong password is said within the first, not at the end.
    fn metadata(&self, topic: Option<&str>) -> KafkaResult<Metadata> {
        let until = Instant::now() + self.timeout;
        let mut slice = Duration::from_millis(500);
        loop {
            self.revive();
            let left = until.saturating_duration_since(Instant::now());
            let asked = self.reader.fetch_metadata(topic, slice.min(left));
            for _ in 0..20 {
                let _ = self.reader.poll(Duration::ZERO);
            }
            let refused = matches!(
                self.reader.context().0.trouble(),
                Some((RDKafkaErrorCode::Authentication, _))
            );
            if asked.is_ok() || refused || slice >= left {
                return asked;
            }
            slice *= 2;
        }
    }

    /// One topic; `None` when it does not exist.
    pub(crate) fn topic(&self, name: &str) -> Result<Option<TopicView>, Fault> {
        self.found(name, self.metadata(Some(name)))
    }

    /// Looks for a topic in what the broker answered to a question about it.
    fn found(&self, name: &str, asked: KafkaResult<Metadata>) -> Result<Option<TopicView>, Fault> {
        let doing = || format!("ask the broker for topic `{name}`");
        let metadata = match asked {
            Ok(metadata) => metadata,
            Err(error) => {
                let fault = Fault::of(doing(), &error);
                return if fault.is_unknown_topic() {
                    Ok(None)
                } else {
                    Err(self.explain(fault))
                };
            }
        };
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
            return Ok(None);
        };
        if let Some(error) = topic.error() {
            let fault = Fault::of_code(doing(), error.into());
            return if fault.is_unknown_topic() {
                Ok(None)
            } else {
                Err(fault)
            };
        }
        Ok((!topic.partitions().is_empty()).then(|| view(topic)))
    }

    /// Returns the number of partitions of a topic, when the broker says so within this time.
    pub(crate) fn partitions_within(&self, topic: &str, within: Duration) -> Option<i32> {
        let metadata = self.reader.fetch_metadata(Some(topic), within).ok()?;
        let found = metadata.topics().iter().find(|one| one.name() == topic)?;
        i32::try_from(found.partitions().len()).ok()
    }

    /// Returns whether the broker says within this time that it does not have a topic. Without an answer it may have
    /// it.
    pub(crate) fn lacks(&self, topic: &str, within: Duration) -> bool {
        let asked = self.reader.fetch_metadata(Some(topic), within);
        matches!(self.found(topic, asked), Ok(None))
    }

    /// Creates topics. One that exists by now is not an error: another worker was faster.
    pub(crate) fn create(&self, topics: &[TopicSettings]) -> Result<(), Fault> {
        if topics.is_empty() {
            return Ok(());
        }
        let wanted: Vec<NewTopic<'_>> = topics
            .iter()
            .map(|topic| {
                let new = NewTopic::new(
                    &topic.name,
                    topic.partitions.unwrap_or(-1),
                    TopicReplication::Fixed(topic.replication.unwrap_or(-1)),
                );
                topic
                    .config
                    .iter()
                    .fold(new, |new, (name, value)| new.set(name, value))
            })
            .collect();
        let names = || {
            topics
                .iter()
                .map(|topic| format!("`{}`", topic.name))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let results = wait(self.admin.create_topics(&wanted, &self.options()))
            .map_err(|error| self.explain(Fault::of(format!("create {}", names()), &error)))?;
        for result in results {
            if let Err((name, code)) = result {
                let fault = Fault::of_code(format!("create topic `{name}`"), code);
                if !fault.is_topic_exists() {
                    return Err(self.explain(fault));
                }
            }
        }
        Ok(())
    }

    /// Gives a topic so many partitions.
    #[cfg(test)]
    pub(crate) fn add_partitions(&self, topic: &str, count: usize) -> Result<(), Fault> {
        let doing = || format!("give `{topic}` {count} partitions");
        let more = [rdkafka::admin::NewPartitions::new(topic, count)];
        let results = wait(self.admin.create_partitions(&more, &self.options()))
            .map_err(|error| Fault::of(doing(), &error))?;
        for result in results {
            result.map_err(|(_, code)| Fault::of_code(doing(), code))?;
        }
        Ok(())
    }

    /// Deletes topics; one that does not exist is not an error.
    pub(crate) fn delete(&self, names: &[&str]) -> Result<(), Fault> {
        if names.is_empty() {
            return Ok(());
        }
        let results = wait(self.admin.delete_topics(names, &self.options()))
            .map_err(|error| self.explain(Fault::of(format!("delete {names:?}"), &error)))?;
        for result in results {
            if let Err((name, code)) = result {
                let fault = Fault::of_code(format!("delete topic `{name}`"), code);
                if !fault.is_unknown_topic() {
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    /// Deletes the records before these offsets.
    pub(crate) fn delete_records(&self, before: &[TopicPartitionOffset]) -> Result<(), Fault> {
        let doing = || {
            let topics: std::collections::BTreeSet<&str> =
                before.iter().map(|place| &*place.topic).collect();
            let topics: Vec<&str> = topics.into_iter().collect();
            format!(
                "delete records that have been read of {}",
                topics.join(", ")
            )
        };
        let list = list_of(before).map_err(|error| Fault::of(doing(), &error))?;
        let results = wait(self.admin.delete_records(&list, &self.options()))
            .map_err(|error| self.explain(Fault::of(doing(), &error)))?;
        for element in results.elements() {
            element
                .error()
                .map_err(|error| Fault::of(doing(), &error))?;
        }
        Ok(())
    }

    /// Configuration of a topic; nothing where the broker does not tell.
    pub(crate) fn config(&self, name: &str) -> Result<BTreeMap<String, String>, Fault> {
        let mut configs = self.configs(&[name])?;
        Ok(configs.remove(name).unwrap_or_default())
    }

    /// Configurations of topics by their names, in one request; without those that the broker does not tell of.
    pub(crate) fn configs(
        &self,
        names: &[&str],
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>, Fault> {
        let mut found = BTreeMap::new();
        if names.is_empty() {
            return Ok(found);
        }
        // Where nobody answers the admin call connects again and again without a pause until its time is over.
        self.topic(names[0])?;
        let doing = |name: &str| format!("read the configuration of topic `{name}`");
        let topics: Vec<_> = names
            .iter()
            .copied()
            .map(ResourceSpecifier::Topic)
            .collect();
        let results = wait(self.admin.describe_configs(&topics, &self.options()))
            .map_err(|error| self.explain(Fault::of(doing(names[0]), &error)))?;
        // The answers are in the order of the questions.
        for (name, result) in names.iter().zip(results) {
            let resource = result.map_err(|code| Fault::of_code(doing(name), code))?;
            let entries = resource.entries.into_iter();
            let entries = entries.filter_map(|entry| Some((entry.name, entry.value?)));
            let entries: BTreeMap<String, String> = entries.collect();
            // Every topic has settings. The binding drops the error of a topic that may not be asked about, and shows
            // none.
            if !entries.is_empty() {
                found.insert((*name).to_owned(), entries);
            }
        }
        Ok(found)
    }

    /// Returns what decides how long a member's session must be. What is not known, as without the right to describe
    /// the cluster, is `None`.
    pub(crate) fn sessions(&self) -> SessionLimits {
        let Ok(metadata) = self.metadata(None) else {
            return SessionLimits::default();
        };
        let brokers = metadata.brokers();
        let asked = brokers.first().map(|it| ResourceSpecifier::Broker(it.id()));
        let results = wait(self.admin.describe_configs(&asked, &self.options()));
        let resource = results.ok().and_then(|all| all.into_iter().next()?.ok());
        let setting = |name: &str| {
            let mut entries = resource.iter().flat_map(|resource| &resource.entries);
            let value = entries.find(|entry| entry.name == name)?.value.as_ref()?;
            Some(Duration::from_millis(value.parse().ok()?))
        };
        SessionLimits {
            brokers: brokers.len(),
            least: setting("group.min.session.timeout.ms"),
            most: setting("group.max.session.timeout.ms"),
            of_brokers: setting("broker.session.timeout.ms"),
        }
    }

    /// Next offsets to be written, open transactions included, in the order asked.
    pub(crate) fn ends(&self, partitions: &[TopicPartition]) -> Result<Vec<i64>, Fault> {
        self.offsets(&self.reader, partitions, Offset::End)
    }

    /// Returns the end offset of each partition, or why it is not known: one without a leader hides no other.
    ///
    /// # Errors
    /// There was no answer at all within 3 s: who asks for many partitions that are shown to people cannot wait longer.
    pub(crate) fn each_end(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Result<i64, Fault>>, Fault> {
        let timeout = self.timeout.min(Duration::from_secs(3));
        each_offset(&self.reader, partitions, Offset::End, timeout)
            .map_err(|fault| self.explain(fault))
    }

    /// Oldest offsets still in the log, in the order asked.
    pub(crate) fn starts(&self, partitions: &[TopicPartition]) -> Result<Vec<i64>, Fault> {
        self.offsets(&self.reader, partitions, Offset::Beginning)
    }

    fn offsets(
        &self,
        reader: &BaseConsumer<AdminContext>,
        partitions: &[TopicPartition],
        which: Offset,
    ) -> Result<Vec<i64>, Fault> {
        offsets(reader, partitions, which, self.timeout).map_err(|fault| self.explain(fault))
    }

    /// End offsets as a reader with this isolation sees them: for `Committed` the last stable offset.
    pub(crate) fn ends_as(
        &self,
        isolation: Isolation,
        partitions: &[TopicPartition],
    ) -> Result<Vec<i64>, Fault> {
        match isolation {
            Isolation::Uncommitted => self.ends(partitions),
            Isolation::Committed => {
                let mut config = Role::Admin.config(&self.properties);
                config.set("isolation.level", "read_committed");
                let reader: BaseConsumer<AdminContext> = config
                    .create_with_context(AdminContext(Arc::clone(&self.reader.context().0)))
                    .map_err(|error| Fault::of("make a reader", &error))?;
                self.offsets(&reader, partitions, Offset::End)
            }
        }
    }

    /// Committed offsets of a group, stable ones: an open transaction is waited for.
    pub(crate) fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Committed>, Fault> {
        let committed = self.visitor(group)?.committed(partitions, self.timeout);
        committed.map_err(|fault| self.explain(fault))
    }

    /// Sets a group's offsets, each with a text beside it. The group must have no members.
    pub(crate) fn set_committed(
        &self,
        group: &str,
        offsets: &[(TopicPartitionOffset, String)],
    ) -> Result<(), Fault> {
        if offsets.is_empty() {
            return Ok(());
        }
        let doing = || format!("set the offsets of group `{group}`");
        let list = list_with(offsets).map_err(|error| Fault::of(doing(), &error))?;
        let visitor = self.visitor(group)?;
        let began = Instant::now();
        let committed = ffi::commit(&visitor.0, &list, || began.elapsed() < self.timeout);
        committed.map_err(|error| {
            let fault = Fault::of(doing(), &error);
            if fault.kind() == FaultKind::Lost {
                fault.because("a worker of the app is running: stop all of them first")
            } else {
                self.explain(fault)
            }
        })
    }

    /// The same, also while a transaction that would move them is open.
    pub(crate) fn committed_last(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Committed>, Fault> {
        let visitor = self.visitor_as(group, Isolation::Uncommitted)?;
        let committed = visitor.committed(partitions, self.timeout);
        committed.map_err(|fault| self.explain(fault))
    }

    /// How many members a group has now.
    pub(crate) fn members(&self, group: &str) -> Result<usize, Fault> {
        Ok(self.member_clients(group)?.len())
    }

    /// The client ids of a group's members.
    pub(crate) fn member_clients(&self, group: &str) -> Result<Vec<String>, Fault> {
        let list = self
            .reader
            .fetch_group_list(Some(group), self.timeout)
            .map_err(|error| {
                self.explain(Fault::of(
                    format!("ask for the members of group `{group}`"),
                    &error,
                ))
            })?;
        let members = list.groups().iter().flat_map(|group| group.members());
        Ok(members
            .map(|member| member.client_id().to_owned())
            .collect())
    }

    /// Both clients report to one place, and whichever has lost its brokers is given them again.
    fn revive(&self) {
        if self.reader.context().0.must_revive() {
            let bootstrap = self.properties.bootstrap().unwrap_or_default();
            ffi::add_brokers(self.reader.client(), bootstrap);
            ffi::add_brokers(self.admin.inner(), bootstrap);
        }
    }

    fn explain(&self, fault: Fault) -> Fault {
        self.revive();
        for _ in 0..20 {
            let _ = self.reader.poll(Duration::ZERO);
        }
        match self.reader.context().0.trouble() {
            Some((RDKafkaErrorCode::Authentication, reason)) => fault.unauthenticated(&reason),
            Some((_, reason)) => fault.because(&reason),
            None => fault,
        }
    }

    /// A consumer with the group's name that never joins it.
    pub(crate) fn visitor(&self, group: &str) -> Result<Visitor, Fault> {
        self.visitor_as(group, Isolation::Committed)
    }

    fn visitor_as(&self, group: &str, isolation: Isolation) -> Result<Visitor, Fault> {
        Role::Reader { group, isolation }
            .config(&self.properties)
            .create_with_context(AdminContext(Arc::clone(&self.reader.context().0)))
            .map_err(|error| Fault::of("make a consumer", &error))
            .map(Visitor)
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.timeout))
            .operation_timeout(Some(self.timeout))
    }
}

fn view(topic: &rdkafka::metadata::MetadataTopic) -> TopicView {
    let replicas = topic
        .partitions()
        .first()
        .map_or(0, |partition| partition.replicas().len());
    TopicView {
        name: topic.name().to_owned(),
        partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
        replication: i32::try_from(replicas).unwrap_or(i32::MAX),
    }
}

/// One ListOffsets request a leader: the logical offsets are its special timestamps.
fn offsets<C: ConsumerContext>(
    reader: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    which: Offset,
    timeout: Duration,
) -> Result<Vec<i64>, Fault> {
    let ask = || {
        let each = each_offset(reader, partitions, which, timeout)?;
        each.into_iter().collect::<Result<Vec<i64>, Fault>>()
    };
    match ask() {
        // The client answers from metadata that it does not renew by itself: a topic that was made, or grew, since then
        // is unknown to it for good, and a leader that has moved is asked where it was.
        Err(fault) if fault.is_unknown_topic() || fault.is_stale_leader() => {
            renew_metadata(reader, partitions, timeout)?;
            ask()
        }
        result => result,
    }
}

/// Asks the cluster itself for the topics of these partitions.
fn renew_metadata<C: ConsumerContext>(
    reader: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<(), Fault> {
    let mut topics: Vec<&str> = partitions.iter().map(|(topic, _)| &**topic).collect();
    topics.sort_unstable();
    topics.dedup();
    for topic in topics {
        let asked = reader.fetch_metadata(Some(topic), timeout);
        asked.map_err(|error| Fault::of(format!("ask the broker for topic `{topic}`"), &error))?;
    }
    Ok(())
}

fn each_offset<C: ConsumerContext>(
    reader: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    which: Offset,
    timeout: Duration,
) -> Result<Vec<Result<i64, Fault>>, Fault> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let what = if which == Offset::End {
        "end offsets"
    } else {
        "first offsets"
    };
    let doing = |topic: &str| format!("ask for the {what} of {topic}");
    let first = &*partitions[0].0;
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, which)
            .map_err(|error| Fault::of(doing(topic), &error))?;
    }
    let found = reader
        .offsets_for_times(list, timeout)
        .map_err(|error| Fault::of(doing(first), &error))?;
    let answer = |(topic, partition): &TopicPartition| {
        let element = found.find_partition(topic, *partition);
        let Some(element) = element else {
            let text = format!("no answer for {topic}-{partition}");
            return Err(Fault::new(FaultKind::Retriable, doing(topic), text));
        };
        element
            .error()
            .map_err(|error| Fault::of(format!("{} ({partition})", doing(topic)), &error))?;
        match element.offset() {
            Offset::Offset(offset) => Ok(offset),
            other => {
                let text = format!("{topic}-{partition}: {other:?}");
                Err(Fault::new(FaultKind::Retriable, doing(topic), text))
            }
        }
    };
    Ok(partitions.iter().map(answer).collect())
}

/// Waits for an answer of rdkafka's admin thread.
fn wait<T>(answer: impl Future<Output = T>) -> T {
    // Its own waker: callers may stand inside a runtime, where `block_on` is forbidden.
    struct Thread(std::thread::Thread);
    impl std::task::Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Thread(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut answer = std::pin::pin!(answer);
    loop {
        if let std::task::Poll::Ready(value) = answer.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}
