//! InitProducerId: who a producer is, and fencing those it replaces.

use super::store::Entry;
use super::{BLOCK, Effects, End, LONGEST_TIMEOUT_MS, Producer, State, Transaction, Transactions};
use crate::wire::Code;

impl Transactions {
    /// A new producer id, for a producer without transactions.
    pub(crate) fn new_producer(&mut self) -> Result<Producer, Code> {
        if self.next_id >= self.block_end {
            let end = self.block_end + BLOCK;
            if let Err(error) = self.journal.append(&[Entry::Block(end).bytes()]) {
                tracing::warn!(%error, "cannot write the next producer ids to the data directory");
                return Err(Code::CoordinatorNotAvailable);
            }
            self.block_end = end;
        }
        self.next_id += 1;
        Ok(Producer {
            id: self.next_id - 1,
            epoch: 0,
        })
    }

    /// InitProducerId with a transactional id. `current` is what the client says it is, when it wants to go on after
    /// an error instead of starting again.
    pub(crate) fn init(
        &mut self,
        id: &str,
        timeout_ms: i32,
        current: Option<Producer>,
        effects: &impl Effects,
    ) -> Result<Producer, Code> {
        if id.is_empty() {
            return Err(Code::InvalidRequest);
        }
        if !(1..=LONGEST_TIMEOUT_MS).contains(&timeout_ms) {
            return Err(Code::InvalidTransactionTimeout);
        }
        let Some(known) = self.known.get(id) else {
            let producer = self.new_producer()?;
            return self.begin(id, producer, -1, timeout_ms);
        };
        if current.is_some_and(|it| it.id != known.producer.id) {
            return Err(Code::ProducerFenced);
        }
        match known.state {
            State::Prepared(_) => {
                self.finish(id, effects)?;
            }
            State::Ongoing => {
                if current.is_some_and(|it| it.epoch != known.producer.epoch) {
                    return Err(Code::ProducerFenced);
                }
                tracing::debug!(
                    transactional_id = id,
                    "a new producer aborts the transaction of the one before"
                );
                self.fence(id, effects)?;
                return self.raise(id, timeout_ms, None);
            }
            State::Empty | State::Complete(_) => {}
        }
        self.raise(id, timeout_ms, current)
    }

    /// Gives the id's producer the next epoch.
    fn raise(
        &mut self,
        id: &str,
        timeout_ms: i32,
        current: Option<Producer>,
    ) -> Result<Producer, Code> {
        let Some(known) = self.known.get(id) else {
            return Err(Code::InvalidProducerIdMapping);
        };
        let Producer {
            id: producer_id,
            epoch,
        } = known.producer;
        match current {
            Some(current) if current.epoch == epoch => {}
            // The answer to the same question was lost.
            Some(current) if current.epoch == known.last_epoch => return Ok(known.producer),
            Some(_) => return Err(Code::ProducerFenced),
            None => {}
        }
        let last_epoch = if current.is_some() { epoch } else { -1 };
        if epoch >= i16::MAX - 1 {
            let producer = self.new_producer()?;
            return self.begin(id, producer, -1, timeout_ms);
        }
        self.begin(
            id,
            Producer {
                id: producer_id,
                epoch: epoch + 1,
            },
            last_epoch,
            timeout_ms,
        )
    }

    fn begin(
        &mut self,
        id: &str,
        producer: Producer,
        last_epoch: i16,
        timeout_ms: i32,
    ) -> Result<Producer, Code> {
        let (partitions, groups) = Default::default();
        let transaction = Transaction {
            producer,
            last_epoch,
            timeout_ms,
            state: State::Empty,
            partitions,
            groups,
            started: 0,
        };
        self.put(id, transaction)?;
        Ok(producer)
    }

    /// Aborts an open transaction under the next epoch, so that its producer can add nothing more.
    pub(super) fn fence(&mut self, id: &str, effects: &impl Effects) -> Result<(), Code> {
        let Some(known) = self.known.get(id) else {
            return Ok(());
        };
        let mut next = known.clone();
        next.producer.epoch = next.producer.epoch.saturating_add(1);
        next.last_epoch = -1;
        next.state = State::Prepared(End::Abort);
        self.put(id, next)?;
        self.finish(id, effects)
    }
}
