//! Tables that materialise a topic: its records by their keys.

use std::any::{Any, TypeId};

use super::agent_builder::{Agent, AgentParts};
use super::context::EventForm;
use super::event::Event;
use super::topic::TopicSpec;
use crate::error::Error;
use crate::key::StreamKey;
use crate::record::Record;
use crate::table::{GlobalSpec, Plain, Replica, Table, TableSpec};

/// The agent that writes a topic's records to a table, by their keys; a tombstone removes the row.
pub fn source_agent<S, T>() -> AgentParts
where
    T: TopicSpec,
    S: TableSpec<Key = T::Key, Value = T::Value, Kind = Plain>,
{
    let of = Agent::<Event<Option<T::Value>, T::Key>, EventForm>::new();
    let (table, out) = (of.parameter::<Table<S>>(), of.returns::<()>());
    of.runs(&[(table.edge(), true)], out.info(), move |event, cx| {
        let mut table = table.make(cx);
        async move {
            let key = event.key().clone();
            match event.into_value() {
                Some(row) => drop(table.insert(&key, row)),
                None => drop(table.remove(&key)),
            }
            out.of(())
        }
    })
}

/// Identity of the agent of [`source_agent`].
pub fn source_item<S: 'static>() -> TypeId {
    TypeId::of::<S>()
}

/// A replica that follows the topic itself; what `GlobalDescriptor::replica` points to.
pub fn source_replica<S, T>() -> Box<dyn Any>
where
    T: TopicSpec,
    S: GlobalSpec<Key = T::Key, Value = T::Value>,
{
    Replica::<S>::boxed(|key, value| {
        let key = T::Key::decode(key).map_err(Error::from)?;
        let row = value
            .map(|bytes| T::Value::decode(Some(bytes)))
            .transpose()?;
        Ok(Some((key, row)))
    })
}
