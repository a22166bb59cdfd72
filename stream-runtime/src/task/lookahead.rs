//! The records at the heads of a task's topics, decoded once: for choosing among them, then for the handler.

use std::any::Any;

use super::inbox::RawRecord;
use crate::record::{DecodeError, Payload, Record};

/// Decoded heads of the inputs that an agent is the first reader of.
pub trait PeekTime {
    /// Event time of the record at the head of an input: `None` when the record does not say, or does not decode.
    fn time(&mut self, input: usize, raw: &RawRecord<'_>) -> Option<i64>;
    /// The [`Heads`] of an input, for [`Heads::take`].
    fn as_any(&mut self, input: usize) -> &mut dyn Any;
}

/// What the heads are of one type. Made once for an agent, so that a record costs no allocation.
pub(crate) struct Heads<T>(Vec<Option<Head<T>>>);

struct Head<T> {
    offset: i64,
    time: Option<i64>,
    value: Option<Result<T, DecodeError>>,
}

impl<T: Payload> Heads<T> {
    pub(crate) fn new() -> Self {
        Heads(Vec::new())
    }

    /// The record of this offset, if it was decoded to choose it.
    pub(crate) fn take(&mut self, input: usize, offset: i64) -> Option<Result<T, DecodeError>> {
        let head = self.0.get_mut(input)?.as_mut();
        head.filter(|head| head.offset == offset)?.value.take()
    }
}

impl<T: Payload> PeekTime for Heads<T> {
    fn time(&mut self, input: usize, raw: &RawRecord<'_>) -> Option<i64> {
        if !T::Record::HAS_TIMESTAMP {
            return Some(raw.timestamp);
        }
        if self.0.len() <= input {
            self.0.resize_with(input + 1, || None);
        }
        match &self.0[input] {
            Some(head) if head.offset == raw.offset => head.time,
            _ => {
                let value = T::decode(raw.value);
                let time = match &value {
                    // A `timestamp` field that is `None` leaves the record with the time of its message.
                    Ok(value) if value.record().is_some() => {
                        Some(value.timestamp().unwrap_or(raw.timestamp))
                    }
                    _ => None,
                };
                self.0[input] = Some(Head {
                    offset: raw.offset,
                    time,
                    value: Some(value),
                });
                time
            }
        }
    }

    fn as_any(&mut self, _: usize) -> &mut dyn Any {
        self
    }
}
