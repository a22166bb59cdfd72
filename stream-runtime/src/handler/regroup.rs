//! `group_by` of an agent `on_close`: windows that are over get another key on their way to it, through a repartition
//! topic.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use super::agent_builder::{AgentParts, IsClosed};
use super::closed::Closed;
use super::context::{AnyKey, ClosedForm, Cx};
use super::event::Event;
use super::extract::PerEvent;
use super::form::{Input, heads, per_event};
use super::outputs::Returned;
use super::outputs::put_key;
use super::repartition::Feeder;
use crate::codec::rows;
use crate::error::Failure;
use crate::key::StreamKey;
use crate::record::{DecodeError, EncodeError, Record};
use crate::table::{HeadRow, TableSpec};
use crate::task::lookahead::PeekTime;
use crate::task::state::AgentCx;
use crate::topology::{AgentShape, Edge, RecordInfo};

/// Marks agents called once per closed window, under a key that `group_by` gives it.
#[derive(Debug)]
pub struct RegroupedForm;

impl PerEvent for RegroupedForm {}

/// A closed window as a repartition topic carries it: MessagePack, with the row as tables keep it.
pub struct ClosedRecord<S>(Closed<S>);

impl<S> fmt::Debug for ClosedRecord<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClosedRecord")
    }
}

/// What is written of a window.
#[derive(Serialize)]
struct Written<'a, V> {
    #[serde(serialize_with = "as_bytes")]
    key: &'a [u8],
    start: i64,
    end: i64,
    row: &'a V,
}

fn as_bytes<W: Serializer>(bytes: &[u8], to: W) -> Result<W::Ok, W::Error> {
    to.serialize_bytes(bytes)
}

/// The same, read.
#[derive(Deserialize)]
#[serde(bound = "V: DeserializeOwned")]
struct Read<V> {
    key: Bytes,
    start: i64,
    end: i64,
    row: V,
}

/// Appends a window.
fn write<S: TableSpec>(
    window: &Closed<S>,
    out: &mut Vec<u8>,
) -> Result<(), rmp_serde::encode::Error> {
    let mut key = Vec::new();
    window.key().encode(&mut key);
    let (start, end) = window.span();
    let written = Written {
        key: &key,
        start,
        end,
        row: &**window,
    };
    rows::encode(&written, out)
}

impl<S: TableSpec> Record for ClosedRecord<S> {
    type Key = S::Key;

    const NAME: &'static str = S::DESCRIPTOR.name;
    const HAS_TIMESTAMP: bool = true;
    const CODEC: &'static str = "msgpack";

    fn decode(value: Option<&[u8]>) -> Result<Self, DecodeError> {
        let bytes = value.ok_or_else(|| DecodeError::tombstone(Self::NAME))?;
        let odd = |field, why| DecodeError::form(Self::NAME, field, why, Some(bytes));
        let Read {
            key,
            start,
            end,
            row,
        } = rows::decode::<Read<S::Value>>(bytes).map_err(|problem| {
            let unreadable = rows::explain::<Read<S::Value>>(bytes, problem);
            let why = format!("{}; {}", unreadable.why, unreadable.cure);
            odd(unreadable.field, why)
        })?;
        let key = S::Key::decode(Some(&key))
            .map_err(|error| odd(Some("key".to_owned()), error.to_string()))?;
        Ok(ClosedRecord(Closed::of(HeadRow {
            key,
            start,
            end,
            value: row,
        })))
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
        let start = out.len();
        write(&self.0, out).map(|()| true).map_err(|problem| {
            out.truncate(start);
            EncodeError::of(Self::NAME, "MessagePack", &problem)
        })
    }

    fn timestamp(&self) -> Option<i64> {
        let (_, end) = self.0.span();
        Some(end.saturating_sub(1))
    }
}

impl<S: TableSpec> ClosedRecord<S> {
    /// Returns what the plan shows of it, under keys of type `K`.
    fn info<K: StreamKey>() -> RecordInfo {
        Self::shown(RecordInfo::of::<Self, K>())
    }

    /// Its shape is that of the rows.
    fn shown(info: RecordInfo) -> RecordInfo {
        RecordInfo {
            shape: (S::DESCRIPTOR.row)(),
            ..info
        }
    }
}

/// A window that came under another key. `Closed<S>` itself has one form: with two the compiler would not know which is
/// meant.
struct Regrouped<S>(Closed<S>);

impl<S: TableSpec> Input<RegroupedForm> for Regrouped<S> {
    fn record() -> Option<RecordInfo> {
        let info = RecordInfo::keyless::<ClosedRecord<S>>();
        Some(ClosedRecord::<S>::shown(info))
    }

    fn heads() -> Option<Box<dyn PeekTime>> {
        heads::<ClosedRecord<S>>()
    }

    fn drive<F, Fut, R>(agent: AgentCx, call: F) -> impl Future<Output = ()>
    where
        F: FnMut(Self, &Cx<RegroupedForm>) -> Fut,
        Fut: Future<Output = Returned<R>>,
    {
        per_event(agent, call, |event: Event<ClosedRecord<S>, AnyKey>| {
            Regrouped(event.record.0)
        })
    }
}

impl<I> super::agent_builder::Agent<I, RegroupedForm> {
    /// The agent as its descriptor wants it, for `on_close = S` with `group_by = |window: &Closed<S>| ..`.
    pub fn on_close_by<S, K, F, Fut, R>(
        self,
        edges: &[(Option<Edge>, bool)],
        output: Option<RecordInfo>,
        call: F,
        key: fn(&Closed<S>) -> K,
    ) -> AgentParts
    where
        I: IsClosed<S> + 'static,
        S: TableSpec,
        K: StreamKey,
        F: FnMut(I, &Cx<RegroupedForm>) -> Fut + 'static,
        Fut: Future<Output = Returned<R>> + 'static,
        R: 'static,
    {
        let feeder = Feeder::of_windows::<S, K>(move |window, out| put_key(&key(window), out));
        AgentParts::new(edges, output, regrouped(call)).fed_by(feeder)
    }

    /// The same with `group_by = field`: a field of the row.
    pub fn on_close_by_field<S, K, F, Fut, R>(
        self,
        edges: &[(Option<Edge>, bool)],
        output: Option<RecordInfo>,
        call: F,
        field: for<'a> fn(&'a Closed<S>) -> &'a K,
    ) -> AgentParts
    where
        I: IsClosed<S> + 'static,
        S: TableSpec,
        K: StreamKey,
        F: FnMut(I, &Cx<RegroupedForm>) -> Fut + 'static,
        Fut: Future<Output = Returned<R>> + 'static,
        R: 'static,
    {
        let feeder = Feeder::of_windows::<S, K>(move |window, out| put_key(field(window), out));
        AgentParts::new(edges, output, regrouped(call)).fed_by(feeder)
    }
}

/// Returns the call for a window that came under another key.
fn regrouped<I: IsClosed<S>, S, Fut>(
    mut call: impl FnMut(I, &Cx<RegroupedForm>) -> Fut,
) -> impl FnMut(Regrouped<S>, &Cx<RegroupedForm>) -> Fut {
    move |window, cx| call(I::of(window.0), cx)
}

impl Feeder {
    /// Takes the windows of `S` that are over and sends each under the key that `put_key` writes; it says whether there
    /// is one.
    fn of_windows<S: TableSpec, K: StreamKey>(
        put_key: impl Fn(&Closed<S>, &mut Vec<u8>) -> bool + 'static,
    ) -> Self {
        Feeder {
            shape: AgentShape {
                closes: <Closed<S> as Input<ClosedForm>>::closes(),
                output: Some(ClosedRecord::<S>::info::<K>()),
                ..AgentShape::default()
            },
            start: Box::new(|context: &dyn Any| match AgentCx::of(context) {
                Some(agent) => Box::pin(feed::<S>(agent.clone(), put_key)),
                // As for an agent: only a registration by another version of the runtime gets here.
                None => Box::pin(async {}),
            }),
        }
    }
}

async fn feed<S: TableSpec>(agent: AgentCx, put_key: impl Fn(&Closed<S>, &mut Vec<u8>) -> bool) {
    let Some(cell) = agent.table::<S>() else {
        return;
    };
    while let Some(window) = poll_fn(|_| agent.poll_closed(&*cell)).await {
        match agent.pass_window_on(&window, |out| put_key(&window, out)) {
            Ok(()) => agent.acknowledge(),
            Err(failure) => agent.fail(failure),
        }
    }
}

impl AgentCx {
    /// Stages the current window under another key for the repartition topic.
    fn pass_window_on<S: TableSpec>(
        &self,
        window: &Closed<S>,
        key: impl FnOnce(&mut Vec<u8>) -> bool,
    ) -> Result<(), Failure> {
        let (shared, agent) = (&*self.shared, self.state());
        let Some(sink) = agent.outputs.sink else {
            return Ok(());
        };
        let time = shared.clock.event_time.get();
        let headers = |out: &mut Vec<u8>| {
            shared.put_times((self.agent, sink), time, None, out);
        };
        let mut staging = agent.staging.borrow_mut();
        let size = staging.push(
            sink,
            shared.stamp(time),
            headers,
            |out| Ok::<_, Failure>(key(out)),
            |out| {
                let written = write(window, out).map_err(|problem| {
                    let name = S::DESCRIPTOR.name;
                    Failure::from(EncodeError::of(name, "MessagePack", &problem)).rejected()
                });
                written.map(|()| true)
            },
        )?;
        shared.outputs.admit(&mut staging, "window", sink, size)
    }
}
