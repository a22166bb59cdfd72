//! The end of a transaction: decided and written down first, then told to its partitions and groups.

use super::{Effects, End, Producer, State, Transactions};
use crate::wire::Code;

impl Transactions {
    /// EndTxn.
    pub(crate) fn end(
        &mut self,
        id: &str,
        producer: Producer,
        commit: bool,
        effects: &impl Effects,
    ) -> Result<(), Code> {
        let wanted = if commit { End::Commit } else { End::Abort };
        let transaction = self.of(id, producer)?;
        match transaction.state {
            State::Ongoing => {}
            State::Complete(end) if end == wanted => return Ok(()),
            State::Prepared(end) if end == wanted => return Err(Code::ConcurrentTransactions),
            State::Empty | State::Complete(_) | State::Prepared(_) => {
                return Err(Code::InvalidTxnState);
            }
        }
        let mut next = transaction.clone();
        next.state = State::Prepared(wanted);
        self.put(id, next)?;
        // It has ended from here on; markers that cannot be written now follow when there is room.
        if let Err(code) = self.finish(id, effects) {
            tracing::warn!(
                transactional_id = id,
                ?code,
                "a transaction is decided, but its markers are not all written"
            );
        }
        Ok(())
    }

    /// Writes what is missing of a decided end.
    pub(super) fn finish(&mut self, id: &str, effects: &impl Effects) -> Result<(), Code> {
        let Some(transaction) = self.known.get(id) else {
            return Ok(());
        };
        let State::Prepared(end) = transaction.state else {
            return Ok(());
        };
        let mut next = transaction.clone();
        let told = effects
            .end_offsets(&next.groups, next.producer, end.into())
            .and_then(|()| {
                next.partitions
                    .iter()
                    .try_for_each(|place| effects.end(place, next.producer, end.into()))
            });
        if let Err(error) = told {
            tracing::debug!(transactional_id = id, %error, "a transaction's end is not told everywhere yet");
            return Err(Code::ConcurrentTransactions);
        }
        next.state = State::Complete(end);
        next.partitions.clear();
        next.groups.clear();
        self.put(id, next)?;
        self.shorten();
        Ok(())
    }

    /// Aborts transactions that have been open for too long, and finishes decided ones.
    pub(crate) fn tick(&mut self, effects: &impl Effects, now: i64) {
        let due = self.known.iter().filter(|(_, it)| match it.state {
            State::Prepared(_) => true,
            State::Ongoing => now - it.started > i64::from(it.timeout_ms),
            State::Empty | State::Complete(_) => false,
        });
        let due: Vec<(String, State)> = due.map(|(id, it)| (id.clone(), it.state)).collect();
        for (id, state) in due {
            let done = if state == State::Ongoing {
                tracing::info!(
                    transactional_id = id,
                    "a transaction was open longer than its timeout and is aborted"
                );
                self.fence(&id, effects)
            } else {
                self.finish(&id, effects)
            };
            if let Err(code) = done {
                tracing::debug!(transactional_id = id, ?code, "not ended yet");
            }
        }
    }
}
