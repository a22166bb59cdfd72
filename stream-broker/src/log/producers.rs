//! What a partition knows of its producers: sequence numbers, open transactions, aborted ones.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::LogError;
use super::batch::{Header, Outcome};

/// Duplicates are recognised among this many last batches of a producer, as many as a client keeps in flight.
const REMEMBERED: usize = 5;
/// A producer that has been silent for a day is forgotten.
const EXPIRY_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Batch {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
    timestamp: i64,
}

/// The start of a transaction that has no marker yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) first_offset: i64,
    /// Base offset of the segment it starts in, and the byte there.
    pub(crate) segment: i64,
    pub(crate) position: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Producer {
    epoch: i16,
    /// Oldest first.
    batches: Vec<Batch>,
    open: Option<Open>,
    last_seen: i64,
}

/// An aborted transaction, as Fetch tells read_committed clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// The offset of its marker.
    pub(crate) last_offset: i64,
}

/// What is to be done with a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is in the log already, from this offset on.
    Duplicate {
        base_offset: i64,
        timestamp: i64,
    },
}

/// The producers of one partition.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Producers {
    known: HashMap<i64, Producer>,
    /// By marker, oldest first.
    aborted: Vec<Aborted>,
    /// Open transactions by first offset: the first one is what read_committed waits for.
    #[serde(skip)]
    open: BTreeSet<(i64, i64)>,
    /// Producers whose current transaction includes this partition; the coordinator says so.
    #[serde(skip)]
    admitted: HashMap<i64, i16>,
}

impl Producers {
    /// Rebuilds what is not stored.
    pub(crate) fn restored(mut self) -> Self {
        self.open = self
            .known
            .iter()
            .filter_map(|(id, producer)| Some((producer.open?.first_offset, *id)))
            .collect();
        self
    }

    /// The partition is part of this producer's transaction from now on.
    pub(crate) fn admit(&mut self, producer_id: i64, epoch: i16) {
        self.admitted.insert(producer_id, epoch);
    }

    /// Whether the producer has a transaction here that has no marker yet.
    pub(crate) fn takes_part(&self, producer_id: i64) -> bool {
        self.admitted.contains_key(&producer_id)
            || self
                .known
                .get(&producer_id)
                .is_some_and(|it| it.open.is_some())
    }

    /// Judges a client's batch.
    pub(crate) fn check(&self, batch: &Header) -> Result<Verdict, LogError> {
        if !batch.is_idempotent() {
            return if batch.is_transactional() {
                Err(LogError::InvalidRecord)
            } else {
                Ok(Verdict::Append)
            };
        }
        let known = self.known.get(&batch.producer_id);
        if let Some(known) = known {
            if batch.producer_epoch < known.epoch {
                return Err(LogError::InvalidProducerEpoch);
            }
            if batch.producer_epoch == known.epoch
                && let Some(twin) = known.batches.iter().find(|it| {
                    it.first_sequence == batch.base_sequence
                        && it.last_sequence == batch.last_sequence()
                })
            {
                return Ok(Verdict::Duplicate {
                    base_offset: twin.base_offset,
                    timestamp: twin.timestamp,
                });
            }
            let last = known.batches.last().map_or(-1, |last| last.last_sequence);
            let expected = if batch.producer_epoch > known.epoch || last == i32::MAX {
                0
            } else {
                last + 1
            };
            if batch.base_sequence != expected {
                return Err(LogError::OutOfOrderSequence);
            }
        }
        if batch.is_transactional() {
            match self.admitted.get(&batch.producer_id) {
                Some(epoch) if *epoch == batch.producer_epoch => {}
                Some(_) => return Err(LogError::InvalidProducerEpoch),
                None => return Err(LogError::InvalidTxnState),
            }
        } else if known.is_some_and(|known| known.open.is_some()) {
            return Err(LogError::InvalidTxnState);
        }
        Ok(Verdict::Append)
    }

    /// Remembers a client's batch that has been written.
    pub(crate) fn appended(&mut self, batch: &Header, segment: i64, position: u64, now: i64) {
        if !batch.is_idempotent() {
            return;
        }
        let known = self
            .known
            .entry(batch.producer_id)
            .or_insert_with(|| Producer {
                epoch: batch.producer_epoch,
                batches: Vec::with_capacity(REMEMBERED),
                open: None,
                last_seen: now,
            });
        if known.epoch != batch.producer_epoch {
            known.epoch = batch.producer_epoch;
            known.batches.clear();
        }
        if known.batches.len() == REMEMBERED {
            known.batches.remove(0);
        }
        known.batches.push(Batch {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
            timestamp: batch.max_timestamp,
        });
        known.last_seen = now;
        if batch.is_transactional() && known.open.is_none() {
            known.open = Some(Open {
                first_offset: batch.base_offset,
                segment,
                position,
            });
            self.open.insert((batch.base_offset, batch.producer_id));
        }
    }

    /// Remembers a marker that has been written.
    pub(crate) fn ended(&mut self, marker: &Header, outcome: Outcome, now: i64) {
        self.admitted.remove(&marker.producer_id);
        let known = self
            .known
            .entry(marker.producer_id)
            .or_insert_with(|| Producer {
                epoch: marker.producer_epoch,
                batches: Vec::new(),
                open: None,
                last_seen: now,
            });
        if marker.producer_epoch > known.epoch {
            known.epoch = marker.producer_epoch;
            known.batches.clear();
        }
        known.last_seen = now;
        if let Some(open) = known.open.take() {
            self.open.remove(&(open.first_offset, marker.producer_id));
            if outcome == Outcome::Abort {
                self.aborted.push(Aborted {
                    producer_id: marker.producer_id,
                    first_offset: open.first_offset,
                    last_offset: marker.base_offset,
                });
            }
        }
    }

    /// The oldest transaction that has no marker yet.
    pub(crate) fn oldest_open(&self) -> Option<Open> {
        let (_, id) = self.open.first()?;
        self.known.get(id)?.open
    }

    /// Producers with a transaction that has no marker yet.
    pub(crate) fn open_producers(&self) -> Vec<i64> {
        self.open.iter().map(|(_, id)| *id).collect()
    }

    /// Forgets an open transaction that its coordinator does not know.
    pub(crate) fn disown(&mut self, producer_id: i64) {
        if let Some(open) = self
            .known
            .get_mut(&producer_id)
            .and_then(|known| known.open.take())
        {
            self.open.remove(&(open.first_offset, producer_id));
        }
    }

    /// The aborted transactions with records from `from` on, before `to`.
    pub(crate) fn aborted(&self, from: i64, to: i64) -> Vec<Aborted> {
        let start = self.aborted.partition_point(|it| it.last_offset < from);
        self.aborted[start..]
            .iter()
            .filter(|it| it.first_offset < to)
            .copied()
            .collect()
    }

    /// Whether a record of this producer was aborted.
    pub(crate) fn is_aborted(&self, producer_id: i64, offset: i64) -> bool {
        let start = self.aborted.partition_point(|it| it.last_offset < offset);
        self.aborted[start..]
            .iter()
            .any(|it| it.producer_id == producer_id && it.first_offset <= offset)
    }

    /// Forgets aborted transactions that lie before this offset.
    pub(crate) fn forget_aborted_before(&mut self, offset: i64) {
        self.aborted.retain(|it| it.last_offset >= offset);
    }

    /// Forgets producers that have been silent for a day.
    pub(crate) fn expire(&mut self, now: i64) {
        let admitted = &self.admitted;
        self.known.retain(|id, it| {
            it.open.is_some() || admitted.contains_key(id) || now - it.last_seen < EXPIRY_MS
        });
    }
}
