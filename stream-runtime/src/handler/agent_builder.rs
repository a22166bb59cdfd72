//! What the expansion of `#[agent]` is made of.
//!
//! Each type of the signature is mentioned once, by the method whose bound explains best what is wrong with it; what
//! comes after works on function pointers taken there, without a bound that could fail a second time.

use std::any::TypeId;
use std::future::Future;
use std::marker::PhantomData;

use super::closed::Closed;
use super::context::{ClosedForm, Cx, EventForm, StreamForm};
use super::extract::FromContext;
use super::form::Input;
use super::outputs::{Outputs, Returned, Returns, put_key};
use super::repartition::{Feeder, Grouped, RecordOf, Start, TopicInput};
use crate::key::StreamKey;
use crate::table::{TableSpec, WindowedKind};
use crate::task::state::AgentCx;
use crate::topology::{AgentShape, Edge, RecordInfo};

/// An agent by its first parameter; the form `M` follows from that.
pub struct Agent<I, M>(PhantomData<fn() -> (I, M)>);

impl<I, M> Agent<I, M> {
    /// The agent whose first parameter is an `I`.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Agent(PhantomData)
    }

    /// A parameter after the first.
    pub fn parameter<T: FromContext<M>>(&self) -> Parameter<T, M> {
        Parameter {
            edge: T::edge,
            make: T::from_context,
        }
    }

    /// Checks the first parameter of an agent with `topic` or `topics`.
    pub fn reads_topics(&self)
    where
        M: TopicForm,
    {
    }

    /// What `group_by = field` says: the field that becomes the key.
    pub fn group_by_field<K: StreamKey>(
        &self,
        field: for<'a> fn(&'a RecordOf<I, M>) -> &'a K,
    ) -> Grouped<I, M, K>
    where
        I: TopicInput<M>,
    {
        Grouped::new(Feeder::new::<I::Of, K>(move |record, out| {
            put_key(field(record), out)
        }))
    }

    /// What `group_by = |record: &Record| ..` says: the key is made from the record.
    pub fn group_by<K: StreamKey>(&self, key: fn(&RecordOf<I, M>) -> K) -> Grouped<I, M, K>
    where
        I: TopicInput<M>,
    {
        Grouped::new(Feeder::new::<I::Of, K>(move |record, out| {
            put_key(&key(record), out)
        }))
    }

    /// What the function returns.
    pub fn returns<R: Outputs>(&self) -> Returns<R, R::Value> {
        Returns::new()
    }

    /// The agent as its descriptor wants it. `edges` has an entry for each parameter after the first: what it ties the
    /// agent to, and whether it is `mut` or `&mut`.
    pub fn runs<F, Fut, R>(
        self,
        edges: &[(Option<Edge>, bool)],
        output: Option<RecordInfo>,
        call: F,
    ) -> AgentParts
    where
        I: Input<M> + 'static,
        M: 'static,
        F: FnMut(I, &Cx<M>) -> Fut + 'static,
        Fut: Future<Output = Returned<R>> + 'static,
        R: 'static,
    {
        AgentParts::new(edges, output, call)
    }
}

impl<I> Agent<I, ClosedForm> {
    /// As [`runs`](Self::runs), for `on_close = S`.
    pub fn on_close<S, F, Fut, R>(
        self,
        edges: &[(Option<Edge>, bool)],
        output: Option<RecordInfo>,
        call: F,
    ) -> AgentParts
    where
        I: IsClosed<S> + 'static,
        F: FnMut(I, &Cx<ClosedForm>) -> Fut + 'static,
        Fut: Future<Output = Returned<R>> + 'static,
        R: 'static,
    {
        AgentParts::new(edges, output, call)
    }
}

impl AgentParts {
    pub(super) fn new<I, M, F, Fut, R>(
        edges: &[(Option<Edge>, bool)],
        output: Option<RecordInfo>,
        call: F,
    ) -> AgentParts
    where
        I: Input<M> + 'static,
        M: 'static,
        F: FnMut(I, &Cx<M>) -> Fut + 'static,
        Fut: Future<Output = Returned<R>> + 'static,
        R: 'static,
    {
        AgentParts {
            feeders: Vec::new(),
            shape: AgentShape {
                input: I::record(),
                closes: I::closes(),
                stream_form: I::STREAM,
                edges: edges_of(edges),
                output,
                ..AgentShape::default()
            },
            start: Box::new(|context| match AgentCx::of(context) {
                Some(agent) => {
                    *agent.state().heads.borrow_mut() = I::heads();
                    if agent.state().options.concurrency > 1 {
                        Box::pin(I::drive_several(agent.clone(), call))
                    } else {
                        Box::pin(I::drive(agent.clone(), call))
                    }
                }
                // Only a registration by another version of the runtime gets here; the plan has refused it before.
                None => Box::pin(async {}),
            }),
        }
    }
}

/// What the parameters tie a function to; `true` stands beside those it can change.
pub(super) fn edges_of(edges: &[(Option<Edge>, bool)]) -> Vec<Edge> {
    let edges = edges.iter().filter_map(|(edge, writes)| match (*edge)? {
        Edge::Table { table, .. } => Some(Edge::Table {
            table,
            writes: *writes,
        }),
        other => Some(other),
    });
    edges.collect()
}

/// An agent taken apart.
pub struct AgentParts {
    /// What its signature says.
    pub shape: AgentShape,
    /// Makes its future from its context.
    pub start: Start,
    /// What gives its records their key, in the order of
    /// [`AgentDescriptor::feeders`](crate::topology::AgentDescriptor).
    pub feeders: Vec<Feeder>,
}

impl AgentParts {
    /// Adds what gives the agent's records their key.
    pub fn fed_by(mut self, feeder: Feeder) -> Self {
        self.feeders.push(feeder);
        self
    }

    /// A feeder alone.
    pub fn feeder(mut self, at: usize) -> Feeder {
        self.feeders.swap_remove(at)
    }
}

/// A parameter after the first: what it ties the agent to, and how it is made.
pub struct Parameter<T, M> {
    edge: fn() -> Option<Edge>,
    make: fn(&Cx<M>) -> T,
}

impl<T, M> Clone for Parameter<T, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, M> Copy for Parameter<T, M> {}

impl<T, M> Parameter<T, M> {
    /// What it ties the agent to.
    pub fn edge(self) -> Option<Edge> {
        (self.edge)()
    }

    /// Its value for a call.
    pub fn make(self, cx: &Cx<M>) -> T {
        (self.make)(cx)
    }
}

/// Identity of a function, for `App::only`.
pub fn item_id<F: 'static>(_: &F) -> TypeId {
    TypeId::of::<F>()
}

/// `Closed<S>`, for the check of `on_close = S`.
#[diagnostic::on_unimplemented(
    message = "`on_close = {S}` hands over `Closed<{S}>`, the first parameter is `{Self}`",
    label = "not the closed window of `{S}`",
    note = "write `Closed<{S}>`, or name the other table in `on_close`"
)]
pub trait IsClosed<S>: Input<ClosedForm> + OfWindow<S> {}

impl<S: TableSpec> IsClosed<S> for Closed<S> where S::Kind: WindowedKind {}

/// What is made from a closed window.
pub trait OfWindow<S>: Sized {
    /// Returns the window as the parameter takes it.
    fn of(window: Closed<S>) -> Self;
}

impl<S> OfWindow<S> for Closed<S> {
    fn of(window: Closed<S>) -> Self {
        window
    }
}

/// The forms that read topics.
#[diagnostic::on_unimplemented(
    message = "a closed window comes from its table, not from a topic",
    label = "needs `on_close`",
    note = "write `on_close = Table` in place of `topic`"
)]
pub trait TopicForm {}

impl TopicForm for StreamForm {}
impl TopicForm for EventForm {}
