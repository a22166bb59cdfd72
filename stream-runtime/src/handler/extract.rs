//! Parameters made for a handler by their type.

use std::any::TypeId;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::context::{ClosedForm, Cx, EventForm};
use super::headers::Headers;
use crate::error::{Error, raise, raise_bad_record};
use crate::key::StreamKey;
use crate::record::date;
use crate::table::{GlobalSpec, GlobalTable, NO_TIME, Replica, Table, TableSpec};
use crate::topology::Edge;

/// What may stand after an agent's first parameter, by the agent's form.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be injected here",
    label = "not a parameter of this kind of function",
    note = "an agent, a join, a timer or a crontab per partition takes Table<S>, GlobalTable<S>, Topic<S>, State<T>, TaskContext; the event form, `on_close` and a join also Key<K> and Headers"
)]
pub trait FromContext<M>: Sized {
    /// What it ties the agent to.
    fn edge() -> Option<Edge> {
        None
    }
    /// Makes it.
    fn from_context(cx: &Cx<M>) -> Self;
}

impl<M> Cx<M> {
    /// Returns a parameter.
    pub fn get<T: FromContext<M>>(&self) -> T {
        T::from_context(self)
    }
}

/// Forms that have one event in flight per call.
#[diagnostic::on_unimplemented(
    message = "no event is in flight when this function is called",
    label = "cannot stand beside a `Stream`, nor in a timer",
    note = "ask the event of the stream: `event.key()`, `event.headers()`; a tick has neither"
)]
pub trait PerEvent {}
impl PerEvent for EventForm {}
impl PerEvent for ClosedForm {}

impl<S: TableSpec, M> FromContext<M> for Table<S> {
    fn edge() -> Option<Edge> {
        Some(Edge::Table {
            table: S::DESCRIPTOR,
            writes: false,
        })
    }

    fn from_context(cx: &Cx<M>) -> Self {
        match cx.agent.table::<S>() {
            Some(cell) => Table::new(cell),
            None => raise(Error::table(format!(
                "table `{}` is not part of this task",
                S::DESCRIPTOR.name
            ))),
        }
    }
}

impl<S: GlobalSpec, M> FromContext<M> for GlobalTable<S> {
    fn edge() -> Option<Edge> {
        Some(Edge::Global(S::DESCRIPTOR))
    }

    fn from_context(cx: &Cx<M>) -> Self {
        let rows = cx.agent.shared.states.get(&TypeId::of::<Replica<S>>());
        match rows.cloned().and_then(|rows| rows.downcast().ok()) {
            Some(replica) => GlobalTable::new(replica),
            None => raise(Error::table(format!(
                "global table `{}` is not read by this worker",
                S::DESCRIPTOR.name
            ))),
        }
    }
}

/// The key of the event or of the closed window.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[agent(topic = "words", sink = "keys")]
/// async fn keys(_: String, Key(key): Key<String>) -> String {
///     key
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key<K>(
    /// The key.
    pub K,
);

impl<K> Deref for Key<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.0
    }
}

impl<K> DerefMut for Key<K> {
    fn deref_mut(&mut self) -> &mut K {
        &mut self.0
    }
}

impl<K: StreamKey, M: PerEvent> FromContext<M> for Key<K> {
    fn edge() -> Option<Edge> {
        Some(Edge::Key {
            name: K::NAME,
            optional: K::OPTIONAL,
        })
    }

    fn from_context(cx: &Cx<M>) -> Self {
        match cx.agent.shared.event_key(|bytes| K::decode(bytes)) {
            Ok(key) => Key(key),
            Err(e) => raise_bad_record(e.to_string()),
        }
    }
}

impl<M: PerEvent> FromContext<M> for Headers {
    fn from_context(cx: &Cx<M>) -> Self {
        cx.agent.shared.with_record(|record| {
            record.map_or_else(Headers::default, |(_, r)| Headers::decode(r.headers))
        })
    }
}

/// A shared resource made by `#[state]` or `App::state`. It derefs to the resource.
///
/// ```
/// # use stream_runtime::prelude::*;
/// struct Greeting(String);
///
/// #[state]
/// async fn greeting() -> Result<Greeting> {
///     Ok(Greeting("Hello".to_owned()))
/// }
///
/// #[agent(topic = "names", sink = "greetings")]
/// async fn greet(name: Event<String>, greeting: State<Greeting>) -> String {
///     format!("{} {}", greeting.0, *name)
/// }
/// ```
#[derive(Debug)]
pub struct State<T>(Arc<T>);

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        State(self.0.clone())
    }
}

impl<T> State<T> {
    /// Wraps a resource, as a unit test of a handler needs it.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// let state = State::new(7);
    /// assert_eq!(*state, 7);
    /// ```
    pub fn new(value: T) -> Self {
        State(Arc::new(value))
    }

    pub(crate) fn from_arc(value: Arc<T>) -> Self {
        State(value)
    }
}

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Send + Sync + 'static, M> FromContext<M> for State<T> {
    fn edge() -> Option<Edge> {
        Some(Edge::State {
            type_id: TypeId::of::<T>,
            name: std::any::type_name::<T>,
        })
    }

    fn from_context(cx: &Cx<M>) -> Self {
        match cx
            .agent
            .shared
            .states
            .get(&TypeId::of::<T>())
            .cloned()
            .and_then(|s| s.downcast().ok())
        {
            Some(state) => State::from_arc(state),
            None => raise(Error::agent(format!(
                "no `#[state]` makes a {}",
                std::any::type_name::<T>()
            ))),
        }
    }
}

/// Where a handler runs.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[agent(topic = "words", sink = "places")]
/// async fn place(_: String, task: TaskContext) -> String {
///     format!("{}[{}]", task.app(), task.partition())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TaskContext {
    app: String,
    partition: i32,
    stream_time: i64,
}

impl TaskContext {
    /// Returns the app's name.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "places")]
    /// async fn place(_: String, task: TaskContext) -> String {
    ///     format!("{}[{}] at {:?}", task.app(), task.partition(), task.stream_time())
    /// }
    /// ```
    pub fn app(&self) -> &str {
        &self.app
    }

    /// Returns the partition of the task.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "places")]
    /// async fn place(_: String, task: TaskContext) -> String {
    ///     format!("{}[{}] at {:?}", task.app(), task.partition(), task.stream_time())
    /// }
    /// ```
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Returns the largest event time the task had acknowledged when this was made; `None` before the first record.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "places")]
    /// async fn place(_: String, task: TaskContext) -> String {
    ///     format!("{}[{}] at {:?}", task.app(), task.partition(), task.stream_time())
    /// }
    /// ```
    pub fn stream_time(&self) -> Option<DateTime<Utc>> {
        (self.stream_time != NO_TIME).then(|| date(self.stream_time))
    }
}

impl<M> FromContext<M> for TaskContext {
    fn from_context(cx: &Cx<M>) -> Self {
        let shared = &cx.agent.shared;
        TaskContext {
            app: shared.settings.app.to_string(),
            partition: shared.partition,
            stream_time: shared.clock.stream_time.get(),
        }
    }
}
