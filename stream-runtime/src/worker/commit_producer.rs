//! What a stream thread commits through: transactions, or sends and offsets in a safe order.

use std::time::Duration;

use crate::clock::stamp;
use crate::kafka::{
    Fault, OutHeaders, Outgoing, Properties, Sender, TransactionalProducer, again_saying,
};
use crate::task;

/// Timeout of the first attempt to add offsets to a transaction. A coordinator answers within milliseconds, unless
/// librdkafka asks a broker that has stopped: told the old coordinator once, it looks for another one only when some
/// connection changes. A new producer looks it up again.
pub(super) const SEND_OFFSETS_TIMEOUT: Duration = Duration::from_secs(4);

/// How long transactions may take to start before that is said, and how often it is.
const QUIET_START: Duration = Duration::from_secs(5);
const SAY_INTERVAL: Duration = Duration::from_secs(15);

/// A stream thread's producer.
pub(super) enum Outlet {
    /// Exactly-once.
    Exact(Box<TransactionalProducer>),
    /// At-least-once.
    Least(Sender),
}

impl Outlet {
    /// Makes the producer; for exactly-once it fences the one that had the id and ends its
    /// transaction, which may take until that times out: as long as `patient` says yes.
    pub(super) fn new(
        properties: &Properties,
        exactly_once: bool,
        id: &str,
        patient: impl Fn(Duration) -> bool,
        say: impl Fn(&Fault, Duration),
    ) -> Result<Self, Fault> {
        if !exactly_once {
            return Ok(Self::Least(Sender::new(properties)?));
        }
        let producer = TransactionalProducer::new(properties, id)?;
        // A moment of it is usual: the coordinator is looked for, and an earlier transaction ended.
        again_saying(patient, (QUIET_START, SAY_INTERVAL), say, || {
            producer.init()
        })?;
        Ok(Self::Exact(Box::new(producer)))
    }

    pub(super) fn send(&self, record: Outgoing<'_>) -> Result<(), Fault> {
        match self {
            Self::Exact(producer) => producer.send(record),
            Self::Least(sender) => sender.send(record),
        }
    }

    /// An output of a task, to a partition or to that of its key. A value that makes the message larger than `limit` is
    /// cut, and a header says so.
    pub(super) fn send_output(
        &self,
        (topic, partition): (&str, Option<i32>),
        out: &task::Outgoing<'_>,
        limit: Option<usize>,
        (wall, slot): (i64, usize),
    ) -> Result<(), Fault> {
        let cut = limit.and_then(|limit| cut(out, limit));
        let length = out.value.map_or(0, <[u8]>::len).to_string();
        let note = cut.map(|_| (task::dead_letter::CUT_FROM, Some(length.as_bytes())));
        let own = task::decode_headers(out.headers);
        let headers =
            (!out.headers.is_empty() || note.is_some()).then(|| OutHeaders::new(own.chain(note)));
        self.send(Outgoing {
            topic,
            partition,
            key: out.key,
            value: cut.or(out.value),
            timestamp: Some(stamp(out.timestamp, wall)),
            headers,
            slot,
        })
    }

    /// A watermark: headers alone.
    pub(super) fn send_watermark(
        &self,
        (topic, partition): (&str, i32),
        headers: &[u8],
        timestamp: i64,
        wall: i64,
    ) -> Result<(), Fault> {
        self.send(Outgoing {
            topic,
            partition: Some(partition),
            key: None,
            value: None,
            timestamp: Some(stamp(timestamp, wall)),
            headers: Some(OutHeaders::new(task::decode_headers(headers))),
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

/// What of the value fits, when not all of it does.
fn cut<'a>(out: &task::Outgoing<'a>, limit: usize) -> Option<&'a [u8]> {
    // What a batch and its only record add, with room for the note.
    const FRAME: usize = 512;
    let headers: usize = task::decode_headers(out.headers)
        .map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len) + 10)
        .sum();
    let room = limit.saturating_sub(FRAME + headers + out.key.map_or(0, <[u8]>::len));
    out.value
        .filter(|value| value.len() > room)
        .map(|value| &value[..room])
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_what_does_not_fit_is_cut() {
        let value = [7; 1000];
        let out = |key| crate::task::Outgoing {
            topic: 0,
            key,
            value: Some(&value[..]),
            timestamp: 1,
            headers: &[],
            origin: crate::task::Origin::NONE,
        };
        assert_eq!(super::cut(&out(None), 1512), None);
        assert_eq!(super::cut(&out(None), 1511).map(<[u8]>::len), Some(999));
        assert_eq!(
            super::cut(&out(Some(&b"key"[..])), 1512).map(<[u8]>::len),
            Some(997)
        );
        assert_eq!(super::cut(&out(None), 100).map(<[u8]>::len), Some(0));
    }
}
