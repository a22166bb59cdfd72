//! Stream–stream joins: each record meets those of the other side that are kept, and is kept itself.

use std::any::{Any, TypeId};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;

use super::agent_builder::{Agent, AgentParts, edges_of};
use super::context::{AnyKey, Cx};
use super::event::Event;
use super::extract::PerEvent;
use super::outputs::Returned;
use super::outputs::{Emitter, put_key};
use super::repartition::Feeder;
use super::topic::TopicSpec;
use crate::error::{Error, Failure, raise};
use crate::key::StreamKey;
use crate::record::{Payload, Record};
use crate::table::{BufferKey, BufferSpec, JoinBuffer, Kept, Near};
use crate::task::agent::Status;
use crate::task::bad::Bad;
use crate::task::dispatch::Current;
use crate::task::inbox::RawRecord;
use crate::task::lookahead::{Heads, PeekTime};
use crate::task::state::AgentCx;
use crate::topology::{AgentShape, Edge, JoinShape, RecordInfo};

/// Marks joins.
#[derive(Debug)]
pub struct JoinForm;
impl PerEvent for JoinForm {}

/// What may stand as one of a join's first two parameters: a record, or the `Option` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a side of a join",
    label = "neither a record nor the `Option` of one",
    note = "use `T`, `&T` or `Option<T>`; a record needs `#[record]`"
)]
pub trait JoinSide: Payload {
    /// Whether the other side is also emitted without a partner here.
    const OPTIONAL: bool;
    /// A partner.
    fn some(record: Self::Record) -> Self;
    /// No partner; `None` where there must be one.
    fn none() -> Option<Self>;
}

impl<T: Record> JoinSide for T {
    const OPTIONAL: bool = false;

    fn some(record: T) -> T {
        record
    }

    fn none() -> Option<T> {
        None
    }
}

impl<T: Record> JoinSide for Option<T> {
    const OPTIONAL: bool = true;

    fn some(record: T) -> Self {
        Some(record)
    }

    fn none() -> Option<Self> {
        Some(None)
    }
}

/// The record that a side of a join takes, for the check against its topic.
#[diagnostic::on_unimplemented(
    message = "the topic has records of `{T}`, this side takes `{Self}`",
    label = "a topic of `{T}`",
    note = "take `{T}`, `&{T}` or `Option<{T}>`; left is the first parameter, right the second"
)]
pub trait SideOf<T> {}

impl<T> SideOf<T> for T {}

/// Two topics whose keys are of one type, for the check of a join without `on`.
#[diagnostic::on_unimplemented(
    message = "the keys of the two sides are `{Self}` and `{K}`",
    label = "has keys of another type than the left side",
    note = "records are joined by their keys: give both topics keys of one type, or name the fields to join by: `on = (left_field, right_field)`"
)]
pub trait SameKey<K> {}

impl<K> SameKey<K> for K {}

/// A side of a join: the parameter `T`, and the record `R` in it. What is asked of the types is taken here, so that
/// what comes after has no bound that could fail a second time.
pub struct Side<T, R> {
    optional: bool,
    some: fn(R) -> T,
    none: fn() -> Option<T>,
    info: RecordInfo,
    heads: fn() -> Box<dyn PeekTime>,
    /// Reads the current record.
    arrives: Arrives<R>,
    /// Reads a record that was read before.
    again: fn(&[u8]) -> R,
    /// Key type of its topic, where that is declared.
    key: Option<&'static str>,
}

/// Reads the current record of an input.
type Arrives<R> = fn(&AgentCx, usize) -> Result<Event<R, AnyKey>, Bad>;

/// A side, and the field that its records are joined by: its name, and how it is reached.
type ByField<'s, T, R, K> = (&'s Side<T, R>, &'s str, for<'a> fn(&'a R) -> &'a K);

/// The records of a side that wait, and how one is read.
type Waiting<'b, B, R> = (&'b JoinBuffer<B>, fn(&[u8]) -> R);

impl<T, R> Side<T, R> {
    /// The side that reads a topic of `S`.
    pub fn of_topic<S: TopicSpec>(self) -> Self
    where
        R: SideOf<S::Value>,
    {
        Side {
            key: Some(S::Key::NAME),
            ..self
        }
    }

    /// What gives the side's records the key that they are joined by, unless they have it.
    fn feeder<K: StreamKey>(&self, name: &str, field: for<'a> fn(&'a R) -> &'a K) -> Feeder
    where
        R: Record,
    {
        let declared = self.key.is_none_or(|key| key == K::NAME);
        let keyed = R::HAS_KEY && R::KEY_FIELD == name;
        let mut feeder = Feeder::new::<R, K>(move |record, out| put_key(field(record), out));
        feeder.shape.keyed_already = declared && keyed;
        feeder
    }
}

impl Agent<(), JoinForm> {
    /// The first or the second parameter.
    pub fn side<T: JoinSide>(&self) -> Side<T, T::Record> {
        Side {
            optional: T::OPTIONAL,
            some: T::some,
            none: T::none,
            info: RecordInfo::keyless::<T::Record>(),
            heads: || Box::new(Heads::<T::Record>::new()),
            arrives: |agent, input| agent.decode_at(input, None),
            again: again::<T::Record>,
            key: None,
        }
    }

    /// Checks a join without `on` of two declared topics.
    pub fn by_keys<L: TopicSpec, R: TopicSpec>(&self)
    where
        R::Key: SameKey<L::Key>,
    {
    }

    /// What `on = (left, right)` says: the fields, and their names.
    pub fn on<TL, TR, L: Record, R: Record, K: StreamKey>(
        &self,
        left: ByField<'_, TL, L, K>,
        right: ByField<'_, TR, R, K>,
    ) -> [Feeder; 2] {
        [
            left.0.feeder(left.1, left.2),
            right.0.feeder(right.1, right.2),
        ]
    }

    /// The join as its descriptor wants it. `edges` is as for an agent.
    pub fn joins<L, R, TL, TR, RL, RR, F, Fut, Out>(
        self,
        (left, right): (Side<TL, RL>, Side<TR, RR>),
        edges: &[(Option<Edge>, bool)],
        output: Option<RecordInfo>,
        call: F,
    ) -> AgentParts
    where
        L: BufferSpec,
        R: BufferSpec,
        TL: 'static,
        TR: 'static,
        RL: 'static,
        RR: 'static,
        F: FnMut(TL, TR, &Cx<JoinForm>) -> Fut + 'static,
        Fut: Future<Output = Returned<Out>> + 'static,
        Out: 'static,
    {
        let buffers = [L::DESCRIPTOR, R::DESCRIPTOR];
        let mut edges = edges_of(edges);
        edges.extend(buffers.map(|table| Edge::Table {
            table,
            writes: true,
        }));
        AgentParts {
            shape: AgentShape {
                input: Some(left.info),
                edges,
                output,
                join: Some(JoinShape {
                    right: right.info,
                    buffers,
                    within: L::WITHIN,
                    // A side is emitted alone where the other one's parameter is an `Option`.
                    alone: [right.optional, left.optional],
                }),
                ..AgentShape::default()
            },
            start: Box::new(|context| match AgentCx::of(context) {
                Some(agent) => {
                    let left_input = agent.state().reads.first().copied();
                    *agent.state().heads.borrow_mut() = Some(Box::new(JoinHeads {
                        left_input: left_input.unwrap_or_default(),
                        left: (left.heads)(),
                        right: (right.heads)(),
                    }));
                    // Before the rows come back: it says how they are filed.
                    let source = |side: usize| {
                        let input = agent.state().reads.get(side).copied();
                        let name = &agent.shared.inputs.names[input.unwrap_or_default()];
                        format!("{name}[{}]", agent.shared.partition)
                    };
                    if let Some(buffer) = agent.buffer::<L>() {
                        buffer.begin(right.optional, source(0));
                    }
                    if let Some(buffer) = agent.buffer::<R>() {
                        buffer.begin(left.optional, source(1));
                    }
                    let sides = (left, right);
                    Box::pin(drive::<L, R, _, _, _, _, _, _, _>(
                        agent.clone(),
                        sides,
                        call,
                    ))
                }
                // Only a registration by another version of the runtime gets here; the plan has refused it before.
                None => Box::pin(async {}),
            }),
            feeders: Vec::new(),
        }
    }
}

/// The heads of both sides, each of its own type.
struct JoinHeads {
    left_input: usize,
    left: Box<dyn PeekTime>,
    right: Box<dyn PeekTime>,
}

impl PeekTime for JoinHeads {
    fn time(&mut self, input: usize, raw: &RawRecord<'_>) -> Option<i64> {
        if input == self.left_input {
            self.left.time(input, raw)
        } else {
            self.right.time(input, raw)
        }
    }

    fn as_any(&mut self, input: usize) -> &mut dyn Any {
        if input == self.left_input {
            self.left.as_any(input)
        } else {
            self.right.as_any(input)
        }
    }
}

/// What a join has in flight.
enum Turn<L, R> {
    Left(Event<L, AnyKey>),
    Right(Event<R, AnyKey>),
    /// Its time is over, and no partner has come.
    LeftAlone(Kept),
    RightAlone(Kept),
}

async fn drive<L, R, TL, TR, RL, RR, F, Fut, Out>(
    agent: AgentCx,
    (l, r): (Side<TL, RL>, Side<TR, RR>),
    mut call: F,
) where
    L: BufferSpec,
    R: BufferSpec,
    F: FnMut(TL, TR, &Cx<JoinForm>) -> Fut,
    Fut: Future<Output = Returned<Out>>,
{
    let cx = Cx::new(&agent);
    let (Some(left), Some(right)) = (agent.buffer::<L>(), agent.buffer::<R>()) else {
        return;
    };
    while let Some(turn) = poll_fn(|_| agent.poll_join(&*left, &*right, &l, &r)).await {
        let done = match turn {
            Turn::Left(event) => {
                arrive(
                    &agent,
                    (&*left, l.again),
                    (&*right, r.again),
                    event,
                    |own, other| call((l.some)(own), (r.some)(other), &cx),
                )
                .await
            }
            Turn::Right(event) => {
                arrive(
                    &agent,
                    (&*right, r.again),
                    (&*left, l.again),
                    event,
                    |own, other| call((l.some)(other), (r.some)(own), &cx),
                )
                .await
            }
            Turn::LeftAlone(kept) => {
                let own = || (l.again)(&kept.record);
                alone(&agent, (r.none)(), own, |own, none| {
                    call((l.some)(own), none, &cx)
                })
                .await
            }
            Turn::RightAlone(kept) => {
                let own = || (r.again)(&kept.record);
                alone(&agent, (l.none)(), own, |own, none| {
                    call(none, (r.some)(own), &cx)
                })
                .await
            }
        };
        match done {
            Ok(()) => agent.acknowledge(),
            Err(failure) => agent.fail(failure),
        }
    }
}

/// A record meets its partners, oldest first, and is kept for those to come.
async fn arrive<Own, Other, B, C, Fut, Out>(
    agent: &AgentCx,
    (own, own_again): Waiting<'_, B, Own>,
    (others, other_again): Waiting<'_, C, Other>,
    event: Event<Own, AnyKey>,
    mut call: impl FnMut(Own, Other) -> Fut,
) -> Result<(), Failure>
where
    B: BufferSpec,
    C: BufferSpec,
    Fut: Future<Output = Returned<Out>>,
{
    let Event {
        record,
        time,
        offset,
        ..
    } = event;
    if own.is_late(time) {
        return Ok(());
    }
    let copy = |bytes: Option<&[u8]>| Bytes::copy_from_slice(bytes.unwrap_or_default());
    let (key, value) = agent
        .shared
        .with_record(|raw| raw.map(|(_, raw)| (copy(raw.key), copy(raw.value))))
        .unwrap_or_default();
    let Near { partners, gone } = others.near(&key, time).unwrap_or_else(|e| raise(e));
    others.miss(gone);
    let kept = Kept {
        matched: !partners.is_empty(),
        record: value,
    };
    let mut first = Some(record);
    for partner in partners {
        let other = others.read(&partner).unwrap_or_else(|e| raise(e));
        let theirs = other_again(&other.record);
        let ours = match first.take() {
            Some(record) => record,
            None => own_again(&kept.record),
        };
        // The result's time is the larger one.
        agent.shared.clock.event_time.set(time.max(partner.1));
        call(ours, theirs).await.each(&mut Emitter::new(agent))?;
        others.meet(&partner).unwrap_or_else(|e| raise(e));
    }
    agent.shared.clock.event_time.set(time);
    own.keep((key, time, offset), kept)
        .unwrap_or_else(|e| raise(e));
    Ok(())
}

/// A record whose time is over goes without a partner.
async fn alone<Own, None, Fut, Out>(
    agent: &AgentCx,
    none: Option<None>,
    own: impl FnOnce() -> Own,
    call: impl FnOnce(Own, None) -> Fut,
) -> Result<(), Failure>
where
    Fut: Future<Output = Returned<Out>>,
{
    // Of a side that is never emitted alone nothing falls due.
    let Some(none) = none else { return Ok(()) };
    call(own(), none).await.each(&mut Emitter::new(agent))
}

/// A record that was read before, read again.
fn again<T: Record>(bytes: &[u8]) -> T {
    match T::decode(Some(bytes)) {
        Ok(record) => record,
        Err(e) => raise(Error::table(format!(
            "a record that a join keeps does not read as {}: {e}; give new fields `#[serde(default)]`, or `reset`",
            T::NAME
        ))),
    }
}

impl AgentCx {
    /// One side's partition of a join of this task.
    fn buffer<B: BufferSpec>(&self) -> Option<Rc<JoinBuffer<B>>> {
        let mut tables = self.shared.tables.iter();
        let of = TypeId::of::<B>();
        let table = tables.find(|table| (table.descriptor().type_id)() == of)?;
        table.clone().as_any().downcast().ok()
    }

    fn poll_join<TL, TR, L, R, B, C>(
        &self,
        left: &JoinBuffer<B>,
        right: &JoinBuffer<C>,
        l: &Side<TL, L>,
        r: &Side<TR, R>,
    ) -> Poll<Option<Turn<L, R>>>
    where
        B: BufferSpec,
        C: BufferSpec,
    {
        let (shared, state) = (&*self.shared, self.state());
        loop {
            if state.status.get() != Status::Waiting {
                return if shared.revoked.get() && shared.dispatch.current.get() == Current::None {
                    Poll::Ready(None)
                } else {
                    Poll::Pending
                };
            }
            if self.is_condemned() {
                if shared.is_stopped() {
                    return Poll::Pending;
                }
                continue;
            }
            let turn = match shared.dispatch.current.get() {
                Current::Input(input) => {
                    let turn = if state.reads.first() == Some(&input) {
                        (l.arrives)(self, input).map(|e| (e.time, Turn::Left(e)))
                    } else {
                        (r.arrives)(self, input).map(|e| (e.time, Turn::Right(e)))
                    };
                    match turn {
                        Ok((time, turn)) => {
                            shared.clock.event_time.set(time);
                            shared.count();
                            turn
                        }
                        Err(bad) => {
                            self.bad_record(&bad);
                            if shared.is_stopped() {
                                return Poll::Pending;
                            }
                            continue;
                        }
                    }
                }
                Current::Closed(table) => {
                    let is_left = shared.tables[table].descriptor() == B::DESCRIPTOR;
                    let head = if is_left { left.head() } else { right.head() };
                    let Some((key, kept)) = head.unwrap_or_else(|e| raise(e)) else {
                        return Poll::Pending;
                    };
                    self.goes_alone(&key);
                    match is_left {
                        true => Turn::LeftAlone(kept),
                        false => Turn::RightAlone(kept),
                    }
                }
                _ => return Poll::Pending,
            };
            state.status.set(Status::Busy);
            if let Some(timeout) = state.options.timeout_ms {
                state.deadline.set(Some(shared.times.mono.get() + timeout));
            }
            return Poll::Ready(Some(turn));
        }
    }

    /// The result of a record without a partner has its time and key.
    fn goes_alone(&self, (key, time, _): &BufferKey) {
        self.shared.clock.event_time.set(*time);
        let mut bytes = self.shared.dispatch.closed_key.borrow_mut();
        bytes.clear();
        bytes.extend_from_slice(key);
    }
}
