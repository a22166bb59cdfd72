//! Floor 3: producer ids and transactions.
//!
//! No socket and no clock in here either. What a transaction does to partitions and groups goes through [`Effects`].

mod end;
mod init;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::groups::Place;
use crate::log::{Journal, Outcome};
use crate::wire::Code;
use store::Entry;

/// Producer ids are taken in blocks, so that only every thousandth is written down.
const BLOCK: i64 = 1000;
/// The longest `transaction.timeout.ms`.
const LONGEST_TIMEOUT_MS: i32 = 15 * 60 * 1000;

/// A producer as it is told who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// What a transaction does elsewhere.
pub(crate) trait Effects {
    /// Whether there is this partition.
    fn exists(&self, place: &Place) -> bool;
    /// Lets the producer's transactional batches into the partition.
    fn admit(&self, place: &Place, producer: Producer);
    /// Ends the producer's transaction in the partition; nothing to do when it is gone.
    fn end(&self, place: &Place, producer: Producer, outcome: Outcome) -> io::Result<()>;
    /// Lets the offsets the producer sent hold, or drops them.
    fn end_offsets(
        &self,
        groups: &BTreeSet<String>,
        producer: Producer,
        outcome: Outcome,
    ) -> io::Result<()>;
}

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    Empty,
    Ongoing,
    /// The end is decided and written down; markers may be missing.
    Prepared(End),
    Complete(End),
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    Commit,
    Abort,
}

impl From<End> for Outcome {
    fn from(end: End) -> Self {
        match end {
            End::Commit => Self::Commit,
            End::Abort => Self::Abort,
        }
    }
}

/// A transactional id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transaction {
    producer: Producer,
    /// The epoch before, of a client that raised it itself and may ask again.
    last_epoch: i16,
    timeout_ms: i32,
    state: State,
    partitions: BTreeSet<Place>,
    groups: BTreeSet<String>,
    /// When the transaction began, milliseconds since the epoch.
    started: i64,
}

/// All transactional ids.
#[derive(Debug)]
pub(crate) struct Transactions {
    known: BTreeMap<String, Transaction>,
    journal: Journal,
    next_id: i64,
    /// Ids below this are written down as taken.
    block_end: i64,
}

impl Transactions {
    /// Opens the transactions under this directory. Those whose end was decided are ended now; open ones stay open.
    pub(crate) fn open(directory: &Path, effects: &impl Effects, now: i64) -> io::Result<Self> {
        let (mut known, mut block_end) = (BTreeMap::new(), 0);
        let journal = Journal::open(&directory.join("transactions.journal"), |bytes| {
            store::apply(&mut known, &mut block_end, bytes)
        })?;
        let mut all = Self {
            known,
            journal,
            next_id: block_end,
            block_end,
        };
        for transaction in all.known.values() {
            if transaction.state == State::Ongoing {
                transaction
                    .partitions
                    .iter()
                    .for_each(|place| effects.admit(place, transaction.producer));
            }
        }
        all.tick(effects, now);
        Ok(all)
    }

    /// Producers with a transaction that has not ended everywhere.
    pub(crate) fn unfinished(&self) -> BTreeSet<i64> {
        let open = |it: &&Transaction| matches!(it.state, State::Ongoing | State::Prepared(_));
        self.known
            .values()
            .filter(open)
            .map(|it| it.producer.id)
            .collect()
    }

    /// AddPartitionsToTxn.
    pub(crate) fn add_partitions(
        &mut self,
        id: &str,
        producer: Producer,
        places: Vec<Place>,
        effects: &impl Effects,
        now: i64,
    ) -> Result<(), Code> {
        self.check_open(id, producer)?;
        self.extend(id, &places, None, now)?;
        places
            .iter()
            .for_each(|place| effects.admit(place, producer));
        Ok(())
    }

    /// AddOffsetsToTxn.
    pub(crate) fn add_group(
        &mut self,
        id: &str,
        producer: Producer,
        group: &str,
        now: i64,
    ) -> Result<(), Code> {
        self.check_open(id, producer)?;
        self.extend(id, &[], Some(group), now)
    }

    /// Checks that offsets for this group may be sent within the transaction.
    pub(crate) fn check_offsets(
        &self,
        id: &str,
        producer: Producer,
        group: &str,
    ) -> Result<(), Code> {
        let transaction = self.of(id, producer).map_err(|code| match code {
            Code::ProducerFenced => Code::InvalidProducerEpoch,
            code => code,
        })?;
        if transaction.state == State::Ongoing && transaction.groups.contains(group) {
            Ok(())
        } else {
            Err(Code::InvalidTxnState)
        }
    }

    /// The transaction of this id, if the producer is its current one.
    fn of(&self, id: &str, producer: Producer) -> Result<&Transaction, Code> {
        if id.is_empty() {
            return Err(Code::InvalidRequest);
        }
        let transaction = self.known.get(id).ok_or(Code::InvalidProducerIdMapping)?;
        if transaction.producer.id != producer.id {
            return Err(Code::InvalidProducerIdMapping);
        }
        if transaction.producer.epoch != producer.epoch {
            return Err(Code::ProducerFenced);
        }
        Ok(transaction)
    }

    /// Checks that the producer may add to its transaction, or begin one.
    fn check_open(&self, id: &str, producer: Producer) -> Result<(), Code> {
        match self.of(id, producer)?.state {
            State::Prepared(_) => Err(Code::ConcurrentTransactions),
            State::Empty | State::Ongoing | State::Complete(_) => Ok(()),
        }
    }

    fn extend(
        &mut self,
        id: &str,
        places: &[Place],
        group: Option<&str>,
        now: i64,
    ) -> Result<(), Code> {
        let Some(transaction) = self.known.get(id) else {
            return Err(Code::InvalidProducerIdMapping);
        };
        let mut next = transaction.clone();
        if next.state != State::Ongoing {
            next.state = State::Ongoing;
            next.started = now;
            next.partitions.clear();
            next.groups.clear();
        }
        next.partitions.extend(places.iter().cloned());
        next.groups.extend(group.map(str::to_owned));
        if next == *transaction {
            Ok(())
        } else {
            self.put(id, next)
        }
    }

    /// Writes a transaction down, then takes it as it is.
    fn put(&mut self, id: &str, transaction: Transaction) -> Result<(), Code> {
        let entry = Entry::Transaction {
            id: id.to_owned(),
            transaction,
        };
        if let Err(error) = self.journal.append(&[entry.bytes()]) {
            tracing::warn!(transactional_id = id, %error, "cannot write a transaction's state to the data directory");
            return Err(Code::NotCoordinator);
        }
        if let Entry::Transaction { id, transaction } = entry {
            self.known.insert(id, transaction);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
