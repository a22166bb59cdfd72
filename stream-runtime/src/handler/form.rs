//! The forms of an agent, chosen by the type of its first parameter.

use std::any::TypeId;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use super::closed::Closed;
use super::concurrent::several;
use super::context::{AnyKey, ClosedForm, Cx, EventForm, StreamForm};
use super::event::Event;
use super::outputs::{Emitter, Returned};
use super::stream::Stream;
use crate::error::{Error, raise};
use crate::key::StreamKey;
use crate::record::Payload;
use crate::table::{Hand, TableKind, TableSpec, TypedPartition};
use crate::task::agent::Status;
use crate::task::dispatch::Current;
use crate::task::lookahead::{Heads, PeekTime};
use crate::task::state::AgentCx;
use crate::topology::{RecordInfo, TableDescriptor};

/// What may stand as an agent's first parameter: `Stream<T>`, `T`, `Event<T>`, `Closed<S>`, by value or by reference.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an agent's first parameter",
    label = "neither a stream, a record, an event nor a closed window",
    note = "use `Stream<T>`, `T`, `&T`, `Event<T>` or `Closed<S>`; a record needs `#[record]`"
)]
pub trait Input<M>: Sized {
    /// Record and key that arrive.
    fn record() -> Option<RecordInfo> {
        None
    }
    /// The table whose windows arrive.
    fn closes() -> Option<&'static TableDescriptor> {
        None
    }
    /// Whether it is the stream form.
    const STREAM: bool = false;
    /// What reads event times of its records, to choose among topics.
    fn heads() -> Option<Box<dyn PeekTime>> {
        None
    }
    /// Runs the agent until its partition goes away.
    fn drive<F, Fut, R>(agent: AgentCx, call: F) -> impl Future<Output = ()>
    where
        F: FnMut(Self, &Cx<M>) -> Fut,
        Fut: Future<Output = Returned<R>>;
    /// The same with several events at once, for forms that can.
    fn drive_several<F, Fut, R>(agent: AgentCx, call: F) -> impl Future<Output = ()>
    where
        F: FnMut(Self, &Cx<M>) -> Fut,
        Fut: Future<Output = Returned<R>>,
    {
        Self::drive(agent, call)
    }
}

pub(super) fn heads<T: Payload>() -> Option<Box<dyn PeekTime>> {
    Some(Box::new(Heads::<T>::new()))
}

fn info<T: Payload, K: StreamKey>() -> Option<RecordInfo> {
    Some(RecordInfo::of::<T::Record, K>())
}

impl<T: Payload, K: StreamKey> Input<StreamForm> for Stream<T, K> {
    const STREAM: bool = true;

    fn record() -> Option<RecordInfo> {
        info::<T, K>()
    }

    fn heads() -> Option<Box<dyn PeekTime>> {
        heads::<T>()
    }

    async fn drive<F, Fut, R>(agent: AgentCx, mut call: F)
    where
        F: FnMut(Self, &Cx<StreamForm>) -> Fut,
        Fut: Future<Output = Returned<R>>,
    {
        let cx = Cx::new(&agent);
        loop {
            let events = agent.shared.counters.processed.get();
            agent.state().holds.noack.set(false);
            let out = call(Stream::new(agent.clone()), &cx)
                .await
                .each(&mut Emitter::new(&agent));
            if agent.shared.revoked.get() {
                agent.shared.leave(agent.agent, out);
                return;
            }
            let in_flight = agent.state().status.get() == Status::Busy;
            match out {
                Err(failure) => agent.fail(failure),
                Ok(())
                    if agent.put_unacked_back(agent.shared.counters.processed.get() > events) => {}
                Ok(()) if in_flight => agent.acknowledge(),
                Ok(()) if agent.shared.counters.processed.get() == events => {
                    let error = format!(
                        "agent `{}` returned before it took an event: loop over `next().await`",
                        agent.state().name
                    );
                    agent.shared.stop(Error::agent(error), false);
                }
                Ok(()) => {}
            }
            // The function is called again when there is something for it to do.
            poll_fn(|_| {
                if agent.may_go_on() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
        }
    }
}

impl AgentCx {
    /// Whether an agent between two calls has an event to take, or must end.
    fn may_go_on(&self) -> bool {
        self.state().status.get() == Status::Waiting
            || self.shared.revoked.get()
            || self.shared.may_begin_inline()
    }
}

/// Calls the function once per event.
pub(super) async fn per_event<M, I, T, K, F, Fut, R>(
    agent: AgentCx,
    mut call: F,
    wrap: fn(Event<T, K>) -> I,
) where
    T: Payload,
    K: StreamKey,
    F: FnMut(I, &Cx<M>) -> Fut,
    Fut: Future<Output = Returned<R>>,
{
    let cx = Cx::new(&agent);
    while let Some(event) = poll_fn(|_| agent.poll_event::<T, K>()).await {
        match call(wrap(event), &cx).await.each(&mut Emitter::new(&agent)) {
            Ok(()) => agent.acknowledge(),
            Err(failure) => agent.fail(failure),
        }
    }
}

impl<T: Payload> Input<EventForm> for T {
    fn record() -> Option<RecordInfo> {
        Some(RecordInfo::keyless::<T::Record>())
    }

    fn heads() -> Option<Box<dyn PeekTime>> {
        heads::<T>()
    }

    fn drive<F, Fut, R>(agent: AgentCx, call: F) -> impl Future<Output = ()>
    where
        F: FnMut(Self, &Cx<EventForm>) -> Fut,
        Fut: Future<Output = Returned<R>>,
    {
        per_event(agent, call, |event: Event<T, AnyKey>| event.record)
    }

    fn drive_several<F, Fut, R>(agent: AgentCx, call: F) -> impl Future<Output = ()>
    where
        F: FnMut(Self, &Cx<EventForm>) -> Fut,
        Fut: Future<Output = Returned<R>>,
    {
        several(agent, call, |event: Event<T, AnyKey>| event.record)
    }
}

impl<T: Payload, K: StreamKey> Input<EventForm> for Event<T, K> {
    fn record() -> Option<RecordInfo> {
        info::<T, K>()
    }

    fn heads() -> Option<Box<dyn PeekTime>> {
        heads::<T>()
    }

    fn drive<F, Fut, R>(agent: AgentCx, call: F) -> impl Future<Output = ()>
    where
        F: FnMut(Self, &Cx<EventForm>) -> Fut,
        Fut: Future<Output = Returned<R>>,
    {
        per_event(agent, call, |event: Event<T, K>| event)
    }

    fn drive_several<F, Fut, R>(agent: AgentCx, call: F) -> impl Future<Output = ()>
    where
        F: FnMut(Self, &Cx<EventForm>) -> Fut,
        Fut: Future<Output = Returned<R>>,
    {
        several(agent, call, |event: Event<T, K>| event)
    }
}

// That the table has windows is `on_close`'s to ask, which has the words for it.
impl<S: TableSpec> Input<ClosedForm> for Closed<S> {
    fn closes() -> Option<&'static TableDescriptor> {
        Some(S::DESCRIPTOR)
    }

    async fn drive<F, Fut, R>(agent: AgentCx, mut call: F)
    where
        F: FnMut(Self, &Cx<ClosedForm>) -> Fut,
        Fut: Future<Output = Returned<R>>,
    {
        let cx = Cx::new(&agent);
        let Some(cell) = agent.table::<S>() else {
            return;
        };
        while let Some(closed) = poll_fn(|_| agent.poll_closed(&*cell)).await {
            match call(closed, &cx).await.each(&mut Emitter::new(&agent)) {
                Ok(()) => agent.acknowledge(),
                Err(failure) => agent.fail(failure),
            }
        }
    }
}

impl AgentCx {
    /// The typed partition of a table of this task.
    pub(crate) fn table<S: TableSpec>(&self) -> Option<Rc<<S::Kind as TableKind>::Cell<S>>> {
        let table = self
            .shared
            .tables
            .iter()
            .find(|t| (t.descriptor().type_id)() == TypeId::of::<S>())?;
        table.clone().as_any().downcast().ok()
    }

    pub(super) fn poll_closed<S: TableSpec>(
        &self,
        cell: &impl TypedPartition<S>,
    ) -> Poll<Option<Closed<S>>> {
        let (shared, state) = (&*self.shared, self.state());
        if state.status.get() != Status::Waiting {
            return if shared.revoked.get() && shared.dispatch.current.get() == Current::None {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
        }
        let head = match shared.dispatch.current.get() {
            Current::Input(input) => match self.read_again(input) {
                Ok(head) => Ok(Some(head)),
                Err(bad) => {
                    self.bad_record(&bad);
                    return Poll::Pending;
                }
            },
            _ => cell.head(),
        };
        match head {
            Ok(Some(head)) => {
                let mut bytes = shared.dispatch.closed_key.borrow_mut();
                bytes.clear();
                head.key.encode(&mut bytes);
                drop(bytes);
                if self.is_condemned() {
                    return Poll::Pending;
                }
                shared.clock.hand.set(Hand::One);
                state.status.set(Status::Busy);
                if let Some(timeout) = state.options.timeout_ms {
                    state.deadline.set(Some(shared.times.mono.get() + timeout));
                }
                Poll::Ready(Some(Closed::of(head)))
            }
            Ok(None) => Poll::Pending,
            Err(e) => raise(e),
        }
    }
}
