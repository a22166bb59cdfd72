//! What a handler returns, and where it goes.

use std::marker::PhantomData;

use crate::error::Failure;
use crate::key::StreamKey;
use crate::record::Record;
use crate::task::headers::encode_headers;
use crate::task::inbox::put_event_time;
use crate::task::state::AgentCx;
use crate::topology::RecordInfo;

/// Writes a key and says whether there is one.
pub(crate) type PutKey<'a> = &'a mut dyn FnMut(&mut Vec<u8>) -> bool;

/// The [`PutKey`] of a typed key.
pub(crate) fn put_key<K: StreamKey>(key: &K, out: &mut Vec<u8>) -> bool {
    key.encode(out);
    !key.is_absent()
}

/// Takes the records that a handler returns.
pub struct Emitter<'a> {
    cx: &'a AgentCx,
}

impl<'a> Emitter<'a> {
    pub(crate) fn new(cx: &'a AgentCx) -> Self {
        Emitter { cx }
    }

    fn emit<T: Record>(&mut self, key: Option<PutKey<'_>>, value: &T) -> Result<(), Failure> {
        let Some(sink) = self.cx.state().outputs.sink else {
            return Ok(());
        };
        stage(self.cx, sink, key, value, None, None)
    }
}

/// Stages a record for the current event. Without a key it has the record's, else the event's; without a time the
/// record's, else the event's.
pub(crate) fn stage<T: Record>(
    cx: &AgentCx,
    topic: usize,
    key: Option<PutKey<'_>>,
    value: &T,
    timestamp: Option<i64>,
    headers: Option<Vec<(String, Vec<u8>)>>,
) -> Result<(), Failure> {
    let shared = &*cx.shared;
    let time = timestamp
        .or_else(|| value.timestamp())
        .unwrap_or_else(|| shared.event_stamp());
    let stamp = shared.stamp(time);
    let write_key = |out: &mut Vec<u8>| -> Result<bool, Failure> {
        if let Some(key) = key {
            return Ok(key(out));
        }
        if T::HAS_KEY
            && let Some(key) = value.key()
        {
            key.encode(out);
            return Ok(true);
        }
        Ok(shared.event_key(|bytes| {
            out.extend_from_slice(bytes.unwrap_or_default());
            bytes.is_some()
        }))
    };
    let put_value = |out: &mut Vec<u8>| {
        value
            .encode(out)
            .map_err(|error| Failure::from(error).rejected())
    };
    let tells = shared.tells_times(cx.agent, topic);
    let put_headers = |out: &mut Vec<u8>| {
        if tells {
            shared.put_times((cx.agent, topic), time, None, out);
        }
        let own = headers.iter().flatten();
        encode_headers(own.map(|(n, v)| (n.as_str(), Some(v.as_slice()))), out);
        // A time that does not fit Kafka's stamp.
        if stamp != time && !tells {
            put_event_time(time, out);
        }
    };
    let mut staging = cx.state().staging.borrow_mut();
    let size = staging.push(topic, stamp, put_headers, write_key, put_value)?;
    shared.outputs.admit(&mut staging, T::NAME, topic, size)
}

/// What a handler may return: `()`, a record, `Option`, `Vec`, `(key, record)`, nested, or a `Result` of these.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned by an agent",
    label = "neither a record nor made of records",
    note = "return `()`, `T`, `Option<T>`, `Vec<T>`, `(key, T)`, nested, or a `Result` of these; a record needs `#[record]`"
)]
pub trait Outputs {
    /// The record that goes to the sink; `()` when none does.
    type Value;
    /// What the plan shows; `None` when nothing goes to the sink.
    fn info() -> Option<RecordInfo>;
    /// Hands every record over.
    fn each(self, to: &mut Emitter<'_>) -> Result<(), Failure>;
}

impl Outputs for () {
    type Value = ();

    fn info() -> Option<RecordInfo> {
        None
    }

    fn each(self, _: &mut Emitter<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

impl<T: Record> Outputs for T {
    type Value = T;

    fn info() -> Option<RecordInfo> {
        Some(match T::HAS_KEY {
            true => RecordInfo::of::<T, T::Key>(),
            false => RecordInfo::keyless::<T>(),
        })
    }

    fn each(self, to: &mut Emitter<'_>) -> Result<(), Failure> {
        to.emit(None, &self)
    }
}

impl<T: Outputs> Outputs for Option<T> {
    type Value = T::Value;

    fn info() -> Option<RecordInfo> {
        T::info()
    }

    fn each(self, to: &mut Emitter<'_>) -> Result<(), Failure> {
        self.map_or(Ok(()), |t| t.each(to))
    }
}

impl<T: Outputs> Outputs for Vec<T> {
    type Value = T::Value;

    fn info() -> Option<RecordInfo> {
        T::info()
    }

    fn each(self, to: &mut Emitter<'_>) -> Result<(), Failure> {
        self.into_iter().try_for_each(|t| t.each(to))
    }
}

impl<K: StreamKey, T: Record> Outputs for (K, T) {
    type Value = T;

    fn info() -> Option<RecordInfo> {
        Some(RecordInfo::of::<T, K>())
    }

    fn each(self, to: &mut Emitter<'_>) -> Result<(), Failure> {
        let (key, value) = self;
        to.emit(Some(&mut |out| put_key(&key, out)), &value)
    }
}

impl<T: Outputs, E: Into<Failure>> Outputs for Result<T, E> {
    type Value = T::Value;

    fn info() -> Option<RecordInfo> {
        T::info()
    }

    fn each(self, to: &mut Emitter<'_>) -> Result<(), Failure> {
        self.map_err(Into::into)?.each(to)
    }
}

/// What a function returns, and the record `V` in it.
pub struct Returns<R, V> {
    info: fn() -> Option<RecordInfo>,
    each: fn(R, &mut Emitter<'_>) -> Result<(), Failure>,
    _value: PhantomData<fn() -> V>,
}

impl<R, V> Clone for Returns<R, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, V> Copy for Returns<R, V> {}

impl<R: Outputs> Returns<R, R::Value> {
    pub(super) fn new() -> Self {
        Returns {
            info: R::info,
            each: R::each,
            _value: PhantomData,
        }
    }
}

impl<R, V> Returns<R, V> {
    /// The record, for the plan.
    pub fn info(self) -> Option<RecordInfo> {
        (self.info)()
    }

    /// Checks that a topic of `T`s takes the record.
    pub fn sink<T>(self)
    where
        V: SameRecord<T>,
    {
    }

    /// A value that was returned.
    pub fn of(self, value: R) -> Returned<R> {
        Returned {
            value,
            each: self.each,
        }
    }
}

/// A value that a handler returned.
pub struct Returned<R> {
    value: R,
    each: fn(R, &mut Emitter<'_>) -> Result<(), Failure>,
}

impl<R> Returned<R> {
    /// Hands every record in it over.
    pub(crate) fn each(self, to: &mut Emitter<'_>) -> Result<(), Failure> {
        (self.each)(self.value, to)
    }
}

/// The record that a sink takes, for the check of `sink = Topic`.
#[diagnostic::on_unimplemented(
    message = "the sink takes `{T}`, this function returns `{Self}`",
    label = "a topic of `{T}`",
    note = "return `{T}`, `Option`, `Vec` or `Result` of it, or `(key, {T})`"
)]
pub trait SameRecord<T> {}

impl<T> SameRecord<T> for T {}
