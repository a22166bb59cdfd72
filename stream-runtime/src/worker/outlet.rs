//! What a stream thread commits through: transactions, or sends and offsets in a safe order.

use crate::kafka::{Fault, OutHeaders, Outgoing, Properties, Sender, TransactionalProducer};
use crate::task;

/// A stream thread's producer.
pub(super) enum Outlet {
    /// Exactly-once.
    Exact(Box<TransactionalProducer>),
    /// At-least-once.
    Least(Sender),
}

impl Outlet {
    /// Makes the producer; for exactly-once it fences the one that had the id and ends its
    /// transaction, which may take until that times out.
    pub(super) fn new(
        properties: &Properties,
        exactly_once: bool,
        id: &str,
    ) -> Result<Self, Fault> {
        if !exactly_once {
            return Ok(Self::Least(Sender::new(properties)?));
        }
        let producer = TransactionalProducer::new(properties, id)?;
        producer.init()?;
        Ok(Self::Exact(Box::new(producer)))
    }

    pub(super) fn send(&self, record: Outgoing<'_>) -> Result<(), Fault> {
        match self {
            Self::Exact(producer) => producer.send(record),
            Self::Least(sender) => sender.send(record),
        }
    }

    /// An output of a task.
    pub(super) fn send_output(
        &self,
        topic: &str,
        out: &task::Outgoing<'_>,
        wall: i64,
    ) -> Result<(), Fault> {
        let headers = out.headers.map(|headers| {
            OutHeaders::new(
                headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), Some(value.as_slice()))),
            )
        });
        self.send(Outgoing {
            topic,
            partition: None,
            key: out.key,
            value: out.value,
            timestamp: Some(stamp(out.timestamp, wall)),
            headers,
            slot: 0,
        })
    }

    /// A changelog row or mark: stamped with the wall clock, because retention and compaction
    /// compare stamps with it.
    pub(super) fn send_change(
        &self,
        changelog: &str,
        partition: i32,
        key: &[u8],
        value: Option<&[u8]>,
        slot: usize,
    ) -> Result<(), Fault> {
        self.send(Outgoing {
            topic: changelog,
            partition: Some(partition),
            key: Some(key),
            value,
            timestamp: None,
            headers: None,
            slot,
        })
    }
}

/// Kafka takes stamps up to an hour ahead of its clock, and none before 1.
fn stamp(time: i64, wall: i64) -> i64 {
    const AHEAD: i64 = 3_600_000;
    time.clamp(1, wall.saturating_add(AHEAD).max(1))
}

#[cfg(test)]
mod tests {
    #[test]
    fn stamps_stay_within_what_kafka_takes() {
        let wall = 1_700_000_000_000;
        assert_eq!(super::stamp(-5, wall), 1);
        assert_eq!(super::stamp(0, wall), 1);
        assert_eq!(super::stamp(1_166_289_840_000, wall), 1_166_289_840_000);
        assert_eq!(super::stamp(wall + 7_200_000, wall), wall + 3_600_000);
    }
}
