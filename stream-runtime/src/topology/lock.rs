//! What of a plan must not change by accident: the names and forms that state and topics in Kafka depend on.

mod diff;
#[cfg(test)]
mod tests;
mod types;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::descriptor::{Edge, RecordInfo, RowsFrom, TableDescriptor};
use super::plan::{OutputKind, Plan};
use crate::record::shape::Shape;

pub use diff::{Difference, Weight, differences};
pub use types::{Changes, changes};

/// An app as `plan.lock` keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// The name on the wire: a version above 1 starts again.
    pub id: String,
    /// By name.
    pub agents: BTreeMap<String, AgentLock>,
    /// By name.
    pub tables: BTreeMap<String, TableLock>,
    /// By name: those that are read, and those that are sent to.
    pub topics: BTreeMap<String, TopicLock>,
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentLock {
    /// File and line.
    pub place: String,
    /// Path of its module; the first part is its crate.
    pub module: String,
    /// Topics, or the table whose closed windows it takes.
    pub reads: Vec<String>,
    /// Where its results go.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sink: Option<String>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableLock {
    /// File and line.
    pub place: String,
    /// Type of its keys.
    pub key: String,
    /// Its windows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub windows: Option<String>,
    /// Where its rows are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub changelog: Option<String>,
    /// What is kept for each key.
    pub row: TypeLock,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicLock {
    /// Of the agent that reads it, else of the one that sends to it.
    pub place: String,
    /// Type of its keys, where somebody asks for them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// How its records are written; `None` in plans that were kept before it was in them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub codec: Option<String>,
    /// Whether agents of the app both send to it and read it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub between: bool,
    /// Whether no agent of the app reads it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub only_sent: bool,
    /// Its records.
    pub record: TypeLock,
}

/// A record or a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeLock {
    /// Its name.
    #[serde(rename = "type")]
    pub name: String,
    /// Of all of it, so that any change shows.
    pub fingerprint: String,
    /// Its fields by name; of an enum its variants.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub fields: BTreeMap<String, String>,
    /// Whether it is an enum.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub variants: bool,
    /// What `#[serde(..)]` says of the whole; `None` in plans that were kept before it was in them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub serde: Option<String>,
    /// The types within it of which more than a name is known, by their names; none in what was kept before they were
    /// in it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub inner: BTreeMap<String, TypeLock>,
}

/// Ends the text of a field that may be missing.
const OPTIONAL: &str = ", may be missing";

impl Lock {
    /// Of a plan.
    pub fn of(plan: &Plan) -> Lock {
        let mut lock = Lock {
            id: plan.app.clone(),
            agents: BTreeMap::new(),
            tables: BTreeMap::new(),
            topics: BTreeMap::new(),
        };
        for topology in &plan.topologies {
            for (at, agent) in topology.agents.iter().enumerate() {
                let place = agent.descriptor.place;
                let inputs = topology.timely_inputs();
                let inputs = inputs.filter(|i| i.agents.contains(&at));
                let closes = agent.shape.closes.map(|table| table.name.to_owned());
                let reads = inputs.clone().map(|input| input.topic.clone());
                // What only gives records another key is part of the agent that they are for.
                if agent.feeds.is_none() {
                    lock.agents.insert(
                        agent.descriptor.name.to_owned(),
                        AgentLock {
                            place: place.to_string(),
                            module: place.module.to_owned(),
                            reads: reads.chain(closes).collect(),
                            sink: agent.descriptor.sink.map(str::to_owned),
                        },
                    );
                }
                for input in inputs {
                    lock.topic(&input.topic, input.record, place.to_string());
                }
            }
            for table in &topology.tables {
                let descriptor = table.descriptor;
                lock.tables.insert(
                    descriptor.name.to_owned(),
                    TableLock {
                        place: descriptor.place.to_string(),
                        key: descriptor.key.to_owned(),
                        windows: descriptor.window.map(|window| format!("{window:?}")),
                        changelog: table.changelog.clone(),
                        row: TypeLock::of_rows(descriptor),
                    },
                );
            }
        }
        // Topics that are only sent to; those that are read have their reader's place.
        for agent in plan.topologies.iter().flat_map(|topology| &topology.agents) {
            let place = agent.descriptor.place.to_string();
            if let (Some(sink), Some(record)) = (agent.descriptor.sink, agent.shape.output) {
                lock.topic(sink, record, place.clone());
            }
            for edge in &agent.shape.edges {
                if let Edge::Sends(topic) = edge {
                    lock.topic(topic.name, (topic.record)(), place.clone());
                }
            }
        }
        let inputs = plan.topologies.iter().flat_map(|topology| &topology.inputs);
        let read: BTreeSet<&str> = inputs.map(|input| input.topic.as_str()).collect();
        let outputs = plan
            .topologies
            .iter()
            .flat_map(|topology| &topology.outputs);
        let sent: BTreeSet<&str> = outputs
            .filter(|output| output.kind != OutputKind::DeadLetters)
            .map(|output| output.topic.as_str())
            .collect();
        for (name, topic) in &mut lock.topics {
            topic.only_sent = !read.contains(name.as_str());
            topic.between = !topic.only_sent && sent.contains(name.as_str());
        }
        lock
    }

    fn topic(&mut self, name: &str, record: RecordInfo, place: String) {
        let key = Some(record.key)
            .filter(|key| !key.is_empty())
            .map(str::to_owned);
        let topic = self
            .topics
            .entry(name.to_owned())
            .or_insert_with(|| TopicLock {
                place,
                key: None,
                codec: Some(record.codec.to_owned()),
                between: false,
                only_sent: false,
                record: TypeLock::of(record.name, record.shape),
            });
        topic.key = topic.key.take().or(key);
    }
}

impl TypeLock {
    /// Of a table's rows. What a join keeps is records as they came, which it reads again: nothing of them is state.
    pub fn of_rows(table: &TableDescriptor) -> TypeLock {
        match table.rows_from {
            RowsFrom::Join => TypeLock::of("", &Shape::OPAQUE),
            RowsFrom::Agents | RowsFrom::Topic => TypeLock::of(table.value, (table.row)()),
        }
    }

    /// Of a type and its shape, and of the types within it.
    pub fn of(name: &str, shape: &Shape) -> TypeLock {
        fn gather(shape: &Shape, found: &mut BTreeMap<String, TypeLock>) {
            for inner in shape.inner {
                let (name, shape) = (types::without_paths(inner.ty), (inner.shape)());
                // One may be within itself.
                if !shape.fields.is_empty() && !found.contains_key(&name) {
                    found.insert(name.clone(), TypeLock::alone(&name, shape));
                    gather(shape, found);
                }
            }
        }
        let mut lock = TypeLock::alone(name, shape);
        gather(shape, &mut lock.inner);
        lock
    }

    fn alone(name: &str, shape: &Shape) -> TypeLock {
        let field = |field: &crate::record::shape::FieldShape| {
            let mut text = field.ty.to_owned();
            if !field.serde.is_empty() {
                text = format!("{text} ({})", field.serde);
            }
            if field.optional && !shape.variants {
                text += OPTIONAL;
            }
            (field.name.to_owned(), text)
        };
        let fields: BTreeMap<String, String> = shape.fields.iter().map(field).collect();
        // A type that is known by its parts may be renamed.
        let known = if fields.is_empty() { name } else { "" };
        let whole = format!("{known} {} {fields:?}", shape.serde);
        TypeLock {
            name: name.to_owned(),
            fingerprint: fingerprint(&whole),
            fields,
            variants: shape.variants,
            serde: Some(shape.serde.to_owned()),
            inner: BTreeMap::new(),
        }
    }
}

/// FNV-1a with 64 bits, which is the same on every machine and in every release.
fn fingerprint(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}
