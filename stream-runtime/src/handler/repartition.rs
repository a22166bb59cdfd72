//! `group_by`: records get another key on their way to an agent, through a repartition topic.

use std::any::Any;
use std::future::poll_fn;
use std::marker::PhantomData;

use super::context::{AnyKey, EventForm, StreamForm};
use super::event::Event;
use super::form::Input;
use super::stream::Stream;
use crate::error::Failure;
use crate::key::StreamKey;
use crate::record::Payload;
use crate::task::dispatch::Current;
use crate::task::inbox::{HopHeader, ReadAt};
use crate::task::state::AgentCx;
use crate::task::state::TaskState;
use crate::task::watermark::SourceTime;
use crate::topology::{AgentFuture, AgentShape, RecordInfo};

/// First parameters that come from a topic.
pub trait TopicInput<M>: Input<M> {
    /// What arrives.
    type Of: Payload;
}

impl<T: Payload, K: StreamKey> TopicInput<StreamForm> for Stream<T, K> {
    type Of = T;
}

impl<T: Payload> TopicInput<EventForm> for T {
    type Of = T;
}

impl<T: Payload, K: StreamKey> TopicInput<EventForm> for Event<T, K> {
    type Of = T;
}

/// First parameters whose events may have keys of type `K`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not have keys of type `{K}`",
    label = "the events' key is a `{K}` by this",
    note = "say so in the first parameter: `Stream<Record, {K}>` or `Event<Record, {K}>`"
)]
pub trait TakesKey<M, K> {}

impl<T: Payload, K: StreamKey> TakesKey<StreamForm, K> for Stream<T, K> {}
impl<T: Payload, K: StreamKey> TakesKey<EventForm, K> for T {}
impl<T: Payload, K: StreamKey> TakesKey<EventForm, K> for Event<T, K> {}

/// The types of a [`Grouped`].
type Of<I, M, K> = fn() -> (I, M, K);

/// What `group_by` makes of an agent whose first parameter is an `I`: its records under keys of type `K`.
pub struct Grouped<I, M, K> {
    feeder: Feeder,
    _of: PhantomData<Of<I, M, K>>,
}

impl<I, M, K> Grouped<I, M, K> {
    pub(super) fn new(feeder: Feeder) -> Self {
        Grouped {
            feeder,
            _of: PhantomData,
        }
    }
}

impl<I, M, K: StreamKey> Grouped<I, M, K> {
    /// Checks that the first parameter takes that key.
    pub fn taken(self) -> Feeder
    where
        I: TakesKey<M, K>,
    {
        self.feeder
    }
}

/// What is not a key has been told: that the first parameter does not take it is nothing new.
pub trait NoKeyAtAll {
    /// As it is.
    fn taken(self) -> Feeder;
}

impl<I, M, K> NoKeyAtAll for Grouped<I, M, K> {
    fn taken(self) -> Feeder {
        self.feeder
    }
}

/// The record that arrives at a first parameter.
pub type RecordOf<I, M> = <<I as TopicInput<M>>::Of as Payload>::Record;

/// Makes an agent's future from its context.
pub(super) type Start = Box<dyn FnOnce(&dyn Any) -> AgentFuture>;

/// What gives an agent's records their key, as its descriptor wants it.
pub struct Feeder {
    /// What it reads.
    pub shape: AgentShape,
    /// Makes its future from its context.
    pub start: Start,
}

impl Feeder {
    /// Reads `T`s and sends each, as it is, under the key that `put_key` writes; it says whether there is one.
    pub(super) fn new<T: Payload, K: StreamKey>(
        put_key: impl Fn(&T::Record, &mut Vec<u8>) -> bool + 'static,
    ) -> Self {
        Feeder {
            shape: AgentShape {
                input: Some(RecordInfo::keyless::<T::Record>()),
                output: Some(RecordInfo::of::<T::Record, K>()),
                ..AgentShape::default()
            },
            start: Box::new(|context: &dyn Any| match AgentCx::of(context) {
                Some(agent) => {
                    *agent.state().heads.borrow_mut() = <T as Input<EventForm>>::heads();
                    Box::pin(feed::<T>(agent.clone(), put_key))
                }
                // As for an agent: only a registration by another version of the runtime gets here.
                None => Box::pin(async {}),
            }),
        }
    }
}

async fn feed<T: Payload>(agent: AgentCx, put_key: impl Fn(&T::Record, &mut Vec<u8>) -> bool) {
    while let Some(event) = poll_fn(|_| agent.poll_event::<T, AnyKey>()).await {
        let Some(record) = event.record.record() else {
            agent.bad_record(&agent.tombstone::<T::Record>());
            continue;
        };
        match agent.pass_on(event.time, |out| put_key(record, out)) {
            Ok(()) => agent.acknowledge(),
            Err(failure) => agent.fail(failure),
        }
    }
}

impl TaskState {
    /// Returns whether the readers of an output go by the times of its writers.
    pub(super) fn tells_times(&self, agent: usize, output: usize) -> bool {
        self.times.hops.iter().any(|hop| hop.is_of(agent, output))
    }

    /// Appends the header that says the event time of an agent's record for such an output, how far this source is, and
    /// where the record was read.
    pub(super) fn put_times(
        &self,
        (agent, sink): (usize, usize),
        time: i64,
        read_at: Option<ReadAt<'_>>,
        out: &mut Vec<u8>,
    ) {
        let hop = self.times.hops.iter().find(|hop| hop.is_of(agent, sink));
        let source = hop.map(|hop| SourceTime {
            source: hop.source(),
            before: hop.time(self),
        });
        let hop = HopHeader {
            time,
            source,
            read_at,
        };
        hop.put(out);
    }
}

impl AgentCx {
    /// Stages the current record, unchanged, under another key for the repartition topic.
    fn pass_on(&self, time: i64, key: impl FnOnce(&mut Vec<u8>) -> bool) -> Result<(), Failure> {
        let (shared, agent) = (&*self.shared, self.state());
        let (Current::Input(input), Some(sink)) =
            (shared.dispatch.current.get(), agent.outputs.sink)
        else {
            return Ok(());
        };
        let inbox = shared.inputs.inboxes[input].borrow();
        let Some(record) = inbox.front() else {
            return Ok(());
        };
        // What fails behind the hop is traced to where it was read; the topic is named where there are several.
        let origin = ReadAt {
            topic: (agent.reads.len() > 1).then(|| &*shared.inputs.names[input]),
            partition: shared.partition,
            offset: record.offset,
        };
        let headers = |out: &mut Vec<u8>| {
            shared.put_times((self.agent, sink), time, Some(origin), out);
            out.extend_from_slice(record.headers);
        };
        let mut staging = agent.staging.borrow_mut();
        let size = staging.push(
            sink,
            shared.stamp(time),
            headers,
            |out| Ok::<_, Failure>(key(out)),
            |out| {
                out.extend_from_slice(record.value.unwrap_or_default());
                Ok(record.value.is_some())
            },
        )?;
        shared.outputs.admit(&mut staging, "record", sink, size)
    }
}
