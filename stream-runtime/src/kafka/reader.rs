//! Partitions read from given offsets, outside any group: recovery, `tail`.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;

use super::client_config::Role;
use super::client_log::Reporter;
use super::group::{list_of, queues};
use super::{Fault, Isolation, PartitionQueue, Properties, TopicPartitionOffset, Wake};

/// Reads the partitions it is given. With every change of them librdkafka reads the others again from
/// where they were added: add all at once, and drop the reader when all are done.
pub(crate) struct Reader {
    pub(super) consumer: Arc<BaseConsumer<ReaderContext>>,
    wake: Wake,
    bootstrap: String,
}

pub(super) struct ReaderContext(Reporter);

impl ClientContext for ReaderContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.0.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }
}

impl ConsumerContext for ReaderContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        _: RDKafkaRespErr,
        _: &mut TopicPartitionList,
    ) {
        // Never a member; while closing librdkafka may still ask for this answer.
        let _ = consumer.unassign();
    }
}

impl Reader {
    /// `group` names whose rights are used: the reader neither joins it nor commits.
    pub(crate) fn new(
        properties: &Properties,
        group: &str,
        isolation: Isolation,
        wake: &Wake,
    ) -> Result<Self, Fault> {
        let consumer = Role::Reader { group, isolation }
            .config(properties)
            .create_with_context(ReaderContext(Reporter::default()))
            .map_err(|error| properties.explain(Fault::of("make a reader", &error)))?;
        Ok(Self {
            consumer: Arc::new(consumer),
            wake: wake.clone(),
            bootstrap: properties.bootstrap().unwrap_or_default().to_owned(),
        })
    }

    /// Starts to read these; the queues come in the order of `places`.
    pub(crate) fn add(
        &self,
        places: &[TopicPartitionOffset],
    ) -> Result<Vec<PartitionQueue>, Fault> {
        let doing = || "start reading".to_owned();
        let queues = queues(&self.consumer, places, &self.wake, &doing())?;
        let list = list_of(places).map_err(|error| Fault::of(doing(), &error))?;
        self.consumer
            .incremental_assign(&list)
            .map_err(|error| Fault::of(doing(), &error))?;
        Ok(queues)
    }

    /// Serves librdkafka's events; call it now and then.
    pub(crate) fn serve(&self) -> Result<(), Fault> {
        let reporter = &self.consumer.context().0;
        reporter.revive(self.consumer.client(), &self.bootstrap);
        match self.consumer.poll(Duration::ZERO) {
            Some(Err(error)) => Err(Fault::of("read", &error)),
            _ => Ok(()),
        }
    }

    /// Why the broker cannot be reached, when that was said lately.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.consumer
            .context()
            .0
            .trouble()
            .map(|(_, reason)| reason)
    }
}
