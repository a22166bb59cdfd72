//! The transactional producer of one stream thread.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::producer::Producer;
use rdkafka::util::Timeout;

use super::admin::Visitor;
use super::client_config::Role;
use super::group::{GroupConsumer, list_with};
use super::producer::{self, DeliveryContext, Line};
use super::{Deliveries, Fault, FaultKind, Outgoing, Properties, TopicPartitionOffset};
use crate::error::counted;
use crate::mutants::{self, Mutant};

/// How long one call waits for the coordinator.
const SLICE: Duration = Duration::from_millis(500);
/// How long other reports are waited for after a failure: what is on its way is answered soon.
const STRAGGLERS: Duration = Duration::from_millis(30);

/// Transactions, one after the other. Every call but [`begin`](Self::begin) and
/// [`send`](Self::send) may block: they belong to the stream thread. [`init`](Self::init), [`commit`](Self::commit) and
/// [`abort`](Self::abort) come back after [`SLICE`] or so with a fault that is retriable, to be made
/// [`again`](super::again): librdkafka itself would wait for a coordinator without end.
pub(crate) struct TransactionalProducer {
    line: Line,
    id: String,
}

impl TransactionalProducer {
    /// `id` must be this thread's alone: a second producer with it fences this one.
    pub(crate) fn new(properties: &Properties, id: &str) -> Result<Self, Fault> {
        let producer = Role::Transactional { id }
            .config(properties)
            .create_with_context(DeliveryContext::new(properties))
            .map_err(|error| {
                properties.explain(Fault::of("make a transactional producer", &error))
            })?;
        Ok(Self {
            line: Line::new(producer)?,
            id: id.to_owned(),
        })
    }

    /// Once, before the first transaction: fences the producer that had the id, and has its open
    /// transaction ended.
    pub(crate) fn init(&self) -> Result<(), Fault> {
        self.line
            .producer
            .init_transactions(Timeout::After(SLICE))
            .map_err(|error| {
                self.explain(Fault::of(
                    format!("start transactions as `{}`", self.id),
                    &error,
                ))
            })
    }

    /// Begins a transaction; no request is sent.
    pub(crate) fn begin(&self) -> Result<(), Fault> {
        self.line
            .producer
            .begin_transaction()
            .map_err(|error| Fault::of("begin a transaction", &error))
    }

    /// Queues a record; waits only when the queue is full.
    pub(crate) fn send(&self, record: Outgoing<'_>) -> Result<(), Fault> {
        producer::send(&self.line.producer, record)
    }

    /// Waits until everything sent is delivered, something has failed, or `patient` says no, and says what became of
    /// it. After a failure librdkafka sends nothing more in this transaction, and what waits would wait until its time
    /// is up: the rest of the reports comes with [`abort`](Self::abort).
    ///
    /// # Errors
    /// Some records are on their way still, and `patient` has said no.
    pub(crate) fn settle(&self, patient: impl Fn() -> bool) -> Result<Deliveries, Fault> {
        let (mut failed, mut gave_up) = (None, false);
        self.line.settle(|| {
            if failed.is_none() && self.line.has_failed() {
                failed = Some(Instant::now());
            }
            gave_up = failed.is_none() && !patient();
            !gave_up && failed.is_none_or(|at: Instant| at.elapsed() < STRAGGLERS)
        });
        if gave_up && !self.line.has_failed() && self.line.in_flight() > 0 {
            let fault = Fault::new(
                FaultKind::Retriable,
                "deliver what was sent",
                format!(
                    "{} on the way still",
                    counted(self.line.in_flight(), "record")
                ),
            );
            return Err(self.explain(fault));
        }
        Ok(self.line.producer.context().take())
    }

    /// Adds the offsets of all input partitions to the transaction, each with a text beside it. Refused when there are
    /// none, or when the consumer is not a member: such a transaction would not be fenced.
    ///
    /// While its coordinator is away librdkafka's call does not end, whatever timeout it is given: it has a thread of
    /// its own, which is left to itself when `patient` says no. The producer can only be dropped then.
    pub(crate) fn send_offsets(
        &self,
        offsets: &[(TopicPartitionOffset, String)],
        member: &GroupConsumer,
        patient: impl Fn() -> bool,
    ) -> Result<(), Fault> {
        let doing = "add the input offsets to the transaction";
        if offsets.is_empty() && mutants::is(Mutant::Offsets) {
            return Ok(());
        }
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
        self.add_offsets(doing, offsets, group, patient)
    }

    /// Adds offsets of a group that has no members: nobody is fenced by them. As long as `patient` says yes.
    pub(crate) fn send_offsets_of(
        &self,
        offsets: &[(TopicPartitionOffset, String)],
        group: &Visitor,
        patient: impl Fn() -> bool,
    ) -> Result<(), Fault> {
        let doing = "add offsets to the transaction";
        let group = group
            .metadata()
            .ok_or_else(|| Fault::new(FaultKind::Other, doing, "the consumer has no group"))?;
        self.add_offsets(doing, offsets, group, patient)
    }

    fn add_offsets(
        &self,
        doing: &str,
        offsets: &[(TopicPartitionOffset, String)],
        group: ConsumerGroupMetadata,
        patient: impl Fn() -> bool,
    ) -> Result<(), Fault> {
        let list = list_with(offsets).map_err(|error| Fault::of(doing, &error))?;
        let producer = Arc::clone(&self.line.producer);
        let (answer, answered) = channel();
        let call = move || {
            // Who asked may have given up.
            let _ =
                answer.send(producer.send_offsets_to_transaction(&list, &group, Timeout::Never));
        };
        std::thread::Builder::new()
            .name("offsets".to_owned())
            .spawn(call)
            .map_err(|error| Fault::new(FaultKind::Other, doing, error.to_string()))?;
        let result = loop {
            match answered.recv_timeout(SLICE) {
                Ok(result) => break result,
                Err(RecvTimeoutError::Timeout) if patient() => {}
                Err(_) => {
                    // Not to be made again: the first call is still inside.
                    let text = "no answer from the group's coordinator";
                    let fault = self.explain(Fault::new(FaultKind::Retriable, doing, text));
                    return Err(fault.with_kind(FaultKind::Other));
                }
            }
        };
        result.map_err(|error| self.explain(Fault::of(doing, &error)))
    }

    /// Commits. Call [`settle`](Self::settle) before: the wait is shorter there.
    pub(crate) fn commit(&self) -> Result<(), Fault> {
        self.line
            .producer
            .commit_transaction(Timeout::After(SLICE))
            .map_err(|error| self.explain(Fault::of("commit the transaction", &error)))
    }

    /// Aborts: nothing of the transaction will be seen by `read_committed` readers. Records may still be on their way.
    /// Returns what was reported since the last [`settle`](Self::settle): of each record that it did not tell of.
    pub(crate) fn abort(&self) -> Result<Deliveries, Fault> {
        let doing = "abort the transaction";
        let abort = || self.line.producer.abort_transaction(Timeout::After(SLICE));
        // librdkafka waits until the reports of all records have been taken, and does not take them itself.
        let result = self
            .line
            .while_served(abort)
            .map_err(|error| Fault::new(FaultKind::Other, doing, error.to_string()))?
            .map_err(|error| self.explain(Fault::of(doing, &error)));
        result.map(|()| {
            // Reports of the purged records belong to the transaction that is gone.
            let until = Instant::now() + SLICE;
            self.line.settle(|| Instant::now() < until);
            self.line.producer.context().take()
        })
    }

    fn explain(&self, fault: Fault) -> Fault {
        match self.line.producer.context().reporter.trouble() {
            Some((_, reason)) if fault.kind() == FaultKind::Retriable => fault.because(&reason),
            _ => fault,
        }
    }
}
