//! `Stream<T>`: the records of one partition, one after the other.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::task::Poll;

use smallvec::SmallVec;

use super::agent::{AgentCx, Status};
use super::event::Event;
use super::headers::Headers;
use super::shared::Current;
use crate::error::Failure;
use crate::key::StreamKey;
use crate::record::{Payload, Record};

/// The records of a topic's partition, in order. `K` is the type of the key.
///
/// The function that takes it runs once per assigned partition and loops:
///
/// ```
/// # use stream_runtime::prelude::*;
/// # #[record] struct View { page: String }
/// # #[table] #[derive(Clone, Default)] struct Views { n: u64 }
/// #[agent(topic = "views")]
/// async fn count(mut views: Stream<View>, mut counts: Table<Views>) {
///     while let Some(view) = views.next().await {
///         counts.update(&view.page, |row| row.n += 1);
///     }
/// }
/// ```
pub struct Stream<T, K = String> {
    cx: AgentCx,
    // Taken where `T` is known to be a record: without a bound on `next`, a type that is none is one error, in the signature.
    poll: PollEvent<T, K>,
}

/// [`AgentCx::poll_event`] of a record and a key.
type PollEvent<T, K> = fn(&AgentCx) -> Poll<Option<Event<T, K>>>;

impl<T: Payload, K: StreamKey> Stream<T, K> {
    pub(crate) fn new(cx: AgentCx) -> Self {
        Stream {
            cx,
            poll: AgentCx::poll_event,
        }
    }
}

impl<T, K> Stream<T, K> {
    /// The next event; acknowledges the one before. `None` when the partition goes away in order: what follows the
    /// loop still runs, within the shutdown bound.
    pub async fn next(&mut self) -> Option<Event<T, K>> {
        let Stream { cx, poll } = self;
        poll_fn(|_| {
            if cx.state().status.get() == Status::Busy {
                cx.acknowledge();
            }
            poll(cx)
        })
        .await
    }
}

impl AgentCx {
    /// The handler has finished with the event in hand.
    pub(crate) fn acknowledge(&self) {
        self.state().deadline.set(None);
        self.shared.done(self.agent);
    }

    /// Whether the event in hand was found to spoil its commit: then it has failed here, by `on_error`.
    pub(crate) fn is_condemned(&self) -> bool {
        let why = self.shared.condemned.borrow().clone();
        let Some(why) = why else { return false };
        self.state().attempts.set(0);
        self.fail(Failure::from(why).rejected());
        true
    }

    /// The event in hand, decoded, when it is this agent's turn. Bad records are dealt with on the way.
    pub(crate) fn poll_event<T: Payload, K: StreamKey>(&self) -> Poll<Option<Event<T, K>>> {
        let (shared, state) = (&*self.shared, self.state());
        loop {
            if state.status.get() != Status::Waiting {
                if shared.may_begin_inline() {
                    shared.begin_input(0);
                    state.poke.set(false);
                } else if shared.revoked.get() && shared.current.get() == Current::None {
                    return Poll::Ready(None);
                } else {
                    return Poll::Pending;
                }
            }
            if state.status.get() != Status::Waiting {
                return Poll::Pending;
            }
            let Current::Input(input) = shared.current.get() else {
                return Poll::Pending;
            };
            if self.is_condemned() {
                if shared.is_stopped() {
                    return Poll::Pending;
                }
                continue;
            }
            match self.decode_front(input) {
                Ok(event) => {
                    shared.clock.event_time.set(event.time);
                    shared.counts.set(true);
                    state.status.set(Status::Busy);
                    if let Some(timeout) = state.options.timeout_ms {
                        state.deadline.set(Some(shared.mono.get() + timeout));
                    }
                    return Poll::Ready(Some(event));
                }
                Err(why) => {
                    self.bad_record(&why);
                    // By `on_decode_error = "stop"` the record stays in hand: not again and again.
                    if shared.is_stopped() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn decode_front<T: Payload, K: StreamKey>(&self, input: usize) -> Result<Event<T, K>, String> {
        let (shared, state) = (&*self.shared, self.state());
        let inbox = shared.inputs[input].borrow();
        let Some(raw) = inbox.front() else {
            return Err("the record is gone".into());
        };
        let value = T::decode(raw.value).map_err(|e| e.to_string())?;
        let time = match value.timestamp() {
            Some(time) => time,
            None if T::Record::HAS_TIMESTAMP => shared.clock.stream_time.get(),
            None => raw.timestamp,
        };
        let latest = shared.wall.get().saturating_add(shared.settings.max_ahead);
        if time > latest {
            return Err(format!(
                "its event time {} is more than {} ahead of the clock: it would make everything after it late; see max_ahead",
                super::shared::people_time(time),
                crate::duration::format(shared.settings.max_ahead)
            ));
        }
        let key = OnceCell::new();
        let mut raw_key = None;
        if state.needs_key {
            let decoded = K::decode(raw.key).map_err(|e| e.to_string())?;
            let _ = key.set(decoded);
        } else {
            raw_key = raw.key.map(SmallVec::from_slice);
        }
        let headers = (!raw.headers.is_empty()).then(|| Box::new(Headers::decode(raw.headers)));
        Ok(Event {
            record: value,
            key,
            raw_key,
            time,
            offset: raw.offset,
            partition: shared.partition,
            headers,
        })
    }
}
