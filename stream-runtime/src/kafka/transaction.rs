//! The transactional producer of one stream thread.

use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::util::Timeout;

use super::group::{GroupConsumer, list_with};
use super::producer::{self, DeliveryContext};
use super::roles::Role;
use super::{Deliveries, Fault, FaultKind, Outgoing, Place, Properties};

/// Transactions, one after the other. Every call but [`begin`](Self::begin) and
/// [`send`](Self::send) may block, up to the transaction timeout: they belong to the stream thread.
pub(crate) struct TransactionalProducer {
    producer: BaseProducer<DeliveryContext>,
    id: String,
}

impl TransactionalProducer {
    /// `id` must be this thread's alone: a second producer with it fences this one.
    pub(crate) fn new(properties: &Properties, id: &str) -> Result<Self, Fault> {
        let producer = Role::Transactional { id }
            .config(properties)
            .create_with_context(DeliveryContext::new())
            .map_err(|error| Fault::of("make a transactional producer", &error))?;
        Ok(Self {
            producer,
            id: id.to_owned(),
        })
    }

    /// Once, before the first transaction: fences the producer that had the id, and has its open
    /// transaction ended.
    pub(crate) fn init(&self) -> Result<(), Fault> {
        self.producer
            .init_transactions(Timeout::Never)
            .map_err(|error| {
                self.explain(Fault::of(
                    format!("start transactions as `{}`", self.id),
                    &error,
                ))
            })
    }

    /// Begins a transaction; no request is sent.
    pub(crate) fn begin(&self) -> Result<(), Fault> {
        self.producer
            .begin_transaction()
            .map_err(|error| Fault::of("begin a transaction", &error))
    }

    /// Queues a record; waits only when the queue is full.
    pub(crate) fn send(&self, record: Outgoing<'_>) -> Result<(), Fault> {
        producer::send(&self.producer, record)
    }

    /// Waits until everything sent is delivered or failed, and says what became of it.
    pub(crate) fn settle(&self) -> Deliveries {
        producer::settle(&self.producer);
        self.producer.context().take()
    }

    /// Adds the offsets of all input partitions to the transaction, each with a text beside it. Refused when there are none, or
    /// when the consumer is not a member: such a transaction would not be fenced.
    pub(crate) fn send_offsets(
        &self,
        offsets: &[(Place, String)],
        member: &GroupConsumer,
    ) -> Result<(), Fault> {
        let doing = "add the input offsets to the transaction";
        if offsets.is_empty() {
            return Err(Fault::new(FaultKind::Abort, doing, "there are none"));
        }
        if !member.token().is_some_and(|token| token.is_member()) {
            return Err(Fault::new(
                FaultKind::Lost,
                doing,
                "this worker is not a member of the group any more",
            ));
        }
        let group = member
            .metadata()
            .ok_or_else(|| Fault::new(FaultKind::Lost, doing, "the consumer has no group"))?;
        let list = list_with(offsets).map_err(|error| Fault::of(doing, &error))?;
        self.producer
            .send_offsets_to_transaction(&list, &group, Timeout::Never)
            .map_err(|error| self.explain(Fault::of(doing, &error)))
    }

    /// Commits. Call [`settle`](Self::settle) before: the wait is shorter there.
    pub(crate) fn commit(&self) -> Result<(), Fault> {
        self.producer
            .commit_transaction(Timeout::Never)
            .map_err(|error| self.explain(Fault::of("commit the transaction", &error)))
    }

    /// Aborts: nothing of the transaction will be seen by `read_committed` readers.
    pub(crate) fn abort(&self) -> Result<(), Fault> {
        let result = self
            .producer
            .abort_transaction(Timeout::Never)
            .map_err(|error| self.explain(Fault::of("abort the transaction", &error)));
        // Reports of the purged records belong to the transaction that is gone.
        producer::settle(&self.producer);
        drop(self.producer.context().take());
        result
    }

    fn explain(&self, fault: Fault) -> Fault {
        match self.producer.context().reporter.trouble() {
            Some((_, reason)) if fault.kind() == FaultKind::Retriable => fault.because(&reason),
            _ => fault,
        }
    }
}
