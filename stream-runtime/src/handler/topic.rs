//! `Topic<S>`: sending by hand, as part of the event's effects.

use std::borrow::Borrow;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::context::Cx;
use super::extract::FromContext;
use super::outputs::{PutKey, put_key, stage};
use crate::error::{Action, Error, Failure, Kind, raise};
use crate::key::StreamKey;
use crate::record::Record;
use crate::task::dispatch::Current;
use crate::task::state::AgentCx;
use crate::topology::{Edge, RecordInfo, TopicDescriptor};

/// Implemented by `#[topic]` for the type it stands on.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[topic("orders", key = String, value = String)]
/// struct Orders;
///
/// #[agent(topic = "clicks")]
/// async fn order(click: Event<String>, orders: Topic<Orders>) -> Result<()> {
///     orders.send(click.key(), "tea".to_owned()).await?;
///     Ok(())
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name a topic",
    label = "not a topic",
    note = "a topic is declared once: `#[topic(\"name\", value = MyRecord)] struct MyTopic;`, then asked for as `Topic<MyTopic>`"
)]
pub trait TopicSpec: 'static {
    /// Type of the keys.
    type Key: StreamKey;
    /// Type of the records.
    type Value: Record;
    /// Name of the key's type.
    const KEY: &'static str = Self::Key::NAME;
    /// Name and settings.
    const DESCRIPTOR: &'static TopicDescriptor;
}

/// The record and key of a declared topic; what the expansion of `#[topic]` registers.
pub fn topic_record<S: TopicSpec>() -> RecordInfo {
    RecordInfo::of::<S::Value, S::Key>()
}

/// Keys that a record is sent under with a `&Q`: the key itself, and what it borrows as, such as `&str` for a `String`.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[topic("orders", key = String, value = String)]
/// struct Orders;
///
/// #[agent(topic = "clicks")]
/// async fn order(click: Event<String>, orders: Topic<Orders>) -> Result<()> {
///     orders.send(click.key(), "tea".to_owned()).await?;
///     Ok(())
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the topic's key is `{Self}`, not `{Q}`",
    label = "a `&{Q}`",
    note = "records are sent under a `&{Self}`, or what that borrows as: a `&str` where the key is a `String`"
)]
pub trait SentUnder<Q: ?Sized>: Sized {
    /// Returns a key of its own.
    fn of(asked: &Q) -> Self;
}

// Without the first line the compiler would name each of the bounds below in an error of its own.
#[diagnostic::do_not_recommend]
impl<K, Q> SentUnder<Q> for K
where
    K: Borrow<Q>,
    Q: ToOwned<Owned = K> + ?Sized,
{
    fn of(asked: &Q) -> K {
        asked.to_owned()
    }
}

/// Sends to a topic from an agent. What is sent belongs to the current event: it is committed with it, and dropped when
/// the handler fails.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[topic("orders", key = String, value = String)]
/// struct Orders;
///
/// #[agent(topic = "clicks")]
/// async fn order(click: Event<String>, orders: Topic<Orders>) -> Result<()> {
///     orders.send(click.key(), "tea".to_owned()).await?;
///     Ok(())
/// }
/// ```
pub struct Topic<S> {
    cx: AgentCx,
    output: usize,
    _of: PhantomData<fn() -> S>,
}

impl<S: TopicSpec> Topic<S> {
    /// Sends a record under a key. Ready as soon as the record is in the event's journal, never at delivery.
    ///
    /// # Errors
    /// The record does not serialize, is larger than its topic or the client takes, or has no key where it needs one:
    /// its event fails without another attempt.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[agent(topic = "clicks")]
    /// async fn order(click: Event<String>, orders: Topic<Orders>) -> Result<()> {
    ///     orders.send(click.key(), "tea".to_owned()).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn send<Q>(&self, key: &Q, value: S::Value) -> Sending<'_, S>
    where
        S::Key: SentUnder<Q>,
        Q: ?Sized,
    {
        Sending {
            topic: self,
            key: Some(S::Key::of(key)),
            value: Some(value),
        }
    }

    /// Sends a tombstone: a key without a value.
    ///
    /// # Errors
    /// The key is larger than the topic or the client takes, or is none.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[agent(topic = "clicks")]
    /// async fn order(click: Event<String>, orders: Topic<Orders>) -> Result<()> {
    ///     orders.delete(click.key()).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn delete<Q>(&self, key: &Q) -> Sending<'_, S>
    where
        S::Key: SentUnder<Q>,
        Q: ?Sized,
    {
        Sending {
            topic: self,
            key: Some(S::Key::of(key)),
            value: None,
        }
    }

    fn put_tombstone(&self, key: &S::Key) -> Result<(), Error> {
        let shared = &self.cx.shared;
        let stamp = shared.event_stamp().max(1);
        let put = |out: &mut Vec<u8>| Ok::<_, Error>(put_key(key, out));
        let headers = |out: &mut Vec<u8>| {
            if shared.tells_times(self.cx.agent, self.output) {
                let time = shared.event_stamp();
                shared.put_times((self.cx.agent, self.output), time, None, out);
            }
        };
        let mut staging = self.cx.state().staging.borrow_mut();
        let size = staging.push(self.output, stamp, headers, put, |_| Ok(false))?;
        shared
            .outputs
            .admit(&mut staging, "tombstone", self.output, size)
            .map_err(error_of)
    }

    /// Begins a record with headers or a time of its own.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[agent(topic = "clicks")]
    /// async fn order(click: Event<String>, orders: Topic<Orders>) -> Result<()> {
    ///     orders.message("tea".to_owned()).key(click.key().clone()).header("from", "shop").send().await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn message(&self, value: S::Value) -> Message<'_, S> {
        Message {
            topic: self,
            value,
            key: None,
            headers: None,
            timestamp: None,
        }
    }
}

/// A record, or a tombstone, that is sent when this is awaited; see [`Topic::send`].
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[topic("orders", key = String, value = String)]
/// struct Orders;
///
/// #[agent(topic = "clicks")]
/// async fn order(click: Event<String>, orders: Topic<Orders>) -> Result<()> {
///     orders.send(click.key(), "tea".to_owned()).await?;
///     Ok(())
/// }
/// ```
// No `async fn`: its future would repeat the bounds of the key, and each error with them.
#[must_use = "nothing is sent before it is awaited"]
pub struct Sending<'a, S: TopicSpec> {
    topic: &'a Topic<S>,
    /// `None` once it has been sent.
    key: Option<S::Key>,
    /// `None` of a tombstone.
    value: Option<S::Value>,
}

// Nothing in it is pinned.
impl<S: TopicSpec> Unpin for Sending<'_, S> {}

impl<S: TopicSpec> Future for Sending<'_, S> {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let Sending { topic, key, value } = self.get_mut();
        Poll::Ready(match (key.take(), value.take()) {
            (Some(key), Some(value)) => topic.message(value).key(key).put(),
            (Some(key), None) => topic.put_tombstone(&key),
            (None, _) => Err(Error::agent("what was sent is awaited again")),
        })
    }
}

/// A record that is being made; see [`Topic::message`].
pub struct Message<'a, S: TopicSpec> {
    topic: &'a Topic<S>,
    value: S::Value,
    key: Option<S::Key>,
    headers: Option<Vec<(String, Vec<u8>)>>,
    timestamp: Option<i64>,
}

impl<S: TopicSpec> Message<'_, S> {
    /// Sets the key; without one the record has the record's, else the event's.
    pub fn key(mut self, key: S::Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .get_or_insert_default()
            .push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Sets the time; without one the record has the record's, else the event's.
    pub fn timestamp(mut self, time: chrono::DateTime<chrono::Utc>) -> Self {
        self.timestamp = Some(time.timestamp_millis());
        self
    }

    /// Puts it into the event's journal.
    ///
    /// # Errors
    /// As [`Topic::send`].
    pub async fn send(self) -> Result<(), Error> {
        self.put()
    }

    fn put(self) -> Result<(), Error> {
        let Message {
            topic,
            value,
            key,
            headers,
            timestamp,
        } = self;
        let mut put = key.map(|key| move |out: &mut Vec<u8>| put_key(&key, out));
        let put = put.as_mut().map(|f| f as PutKey<'_>);
        stage(&topic.cx, topic.output, put, &value, timestamp, headers).map_err(error_of)
    }
}

/// As an error: what cannot be sent whatever is done keeps that.
fn error_of(failure: Failure) -> Error {
    let kind = match failure.action() {
        Action::Reject => Kind::Record,
        Action::Retry | Action::Fatal => Kind::Handler,
    };
    Error::new(kind, failure.to_string())
}

impl<S: TopicSpec, M> FromContext<M> for Topic<S> {
    fn edge() -> Option<Edge> {
        Some(Edge::Sends(S::DESCRIPTOR))
    }

    fn from_context(cx: &Cx<M>) -> Self {
        match cx
            .agent
            .shared
            .outputs
            .topics
            .iter()
            .position(|name| **name == *S::DESCRIPTOR.name)
        {
            Some(output) => Topic {
                cx: cx.agent.clone(),
                output,
                _of: PhantomData,
            },
            None => raise(Error::agent(format!(
                "topic `{}` is not part of this task",
                S::DESCRIPTOR.name
            ))),
        }
    }
}

impl<S> Topic<S> {
    /// Whether an event is in flight, so that what is sent has a journal of its own.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[agent(topic = "clicks")]
    /// async fn order(click: Event<String>, orders: Topic<Orders>) -> Result<()> {
    ///     if orders.in_event() {
    ///         orders.send(click.key(), "tea".to_owned()).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn in_event(&self) -> bool {
        self.cx.shared.dispatch.current.get() != Current::None
    }
}
