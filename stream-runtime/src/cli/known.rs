//! What the app knows of a topic: its records, its keys, and what makes a record of it a bad one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::command;
use super::context::Context;
use super::error::CliResult;
use super::print::{readable, time};
use crate::background::JobDescriptor;
use crate::key::KeyForm;
use crate::record::RecordForm;
use crate::table::{MARK_TAG, ROW_TAG, row_as_json, window_and_key};
use crate::topology::{
    AgentPlan, Edge, OutputKind, Plan, RecordInfo, SubTopology, TableDescriptor, pattern, registry,
};
use crate::web::PageDescriptor;
use crate::window::Window;

/// The app's topics.
pub(super) struct Known(BTreeMap<String, Topic>);

/// What is known of one of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Topic {
    /// How its records are read; `None` where that is not known.
    record: Option<RecordForm>,
    /// How its keys are read.
    keys: Option<KeyForm>,
    /// Who can do nothing with a record that has no key.
    wants_key: Option<String>,
    /// Kafka keeps the last record of a key only, and takes none without.
    pub(super) compact: bool,
    /// Never made by the app.
    pub(super) external: bool,
    /// What it is, where nobody but the app itself may write it.
    pub(super) inner: Option<&'static str>,
    /// The table that it is the changelog of.
    pub(super) changelog: Option<&'static TableDescriptor>,
    /// Its values are rows as a table keeps them.
    rows: bool,
}

impl Known {
    /// Of the app's topics as its plan has them, `asked` among those that patterns look at.
    pub(super) fn of(cx: &Context<'_>, asked: &str) -> CliResult<Known> {
        Ok(Known::in_plan(&cx.plan_among(&[asked.to_owned()])?))
    }

    fn in_plan(plan: &Plan) -> Known {
        let mut known = Known(BTreeMap::new());
        for topology in &plan.topologies {
            known.inputs(topology);
            known.outputs(topology);
        }
        if let Some(workers) = plan.topic_of_workers() {
            known.at(&workers).inner = Some("topic of the workers");
        }
        // A declaration says more than a use, and comes where there is no use.
        for topic in plan.topics.values() {
            let at = known.at(topic.name);
            at.is_of((topic.record)());
            at.compact |= topic.compact;
            at.external |= topic.external;
        }
        for global in plan.globals() {
            let at = known.at(&global.topic);
            match global.global.source {
                Some(source) => {
                    at.is_of((source.record)());
                    let table = format!("table `{}`", global.table.name);
                    at.wants_key.get_or_insert(table);
                }
                None => (at.changelog, at.rows) = (Some(global.table), true),
            }
        }
        let beside = registry::registered!(JobDescriptor);
        if beside.iter().any(|one| one.on_leader) {
            known.at(&plan.leader_topic()).inner = Some("topic of the leader");
        }
        let pages = registry::registered!(PageDescriptor);
        let sent = beside.iter().flat_map(|one| one.sends());
        let sent = sent.chain(pages.iter().flat_map(|page| page.sends()));
        let commands = command::registered();
        for topic in sent.chain(commands.iter().flat_map(|command| command.sends())) {
            known.at(topic.name).is_of((topic.record)());
        }
        known
    }

    fn inputs(&mut self, topology: &SubTopology) {
        for input in &topology.inputs {
            if pattern::is_placeholder(&input.topic) {
                continue;
            }
            let at = self.at(&input.topic);
            at.is_of(input.record);
            if input.is_repartition() {
                at.inner = Some("repartition topic");
            }
            if input.again {
                at.inner = Some("topic of windows that are sent again");
            }
            let readers = input.agents.iter();
            let readers = readers.filter_map(|reader| topology.agents.get(*reader));
            for reader in readers.filter(|reader| wants_key(reader)) {
                let name = format!("agent `{}`", reader.descriptor.name);
                at.wants_key.get_or_insert(name);
            }
        }
    }

    fn outputs(&mut self, topology: &SubTopology) {
        for agent in &topology.agents {
            let sink = agent.sink.and_then(|ix| topology.outputs.get(ix));
            if let (Some(sink), Some(record), None) = (sink, agent.shape.output, agent.feeds) {
                self.at(&sink.topic).is_of(record);
            }
            for edge in &agent.shape.edges {
                if let Edge::Sends(topic) = edge {
                    self.at(topic.name).is_of((topic.record)());
                }
            }
            if let Some(letters) = agent.dead_letters.and_then(|ix| topology.outputs.get(ix)) {
                let at = self.at(&letters.topic);
                at.inner = Some("topic of dead letters");
                // They go there as they came.
                at.keys = at.keys.or_else(|| keys_read(topology, agent));
            }
        }
        for (ix, table) in topology.tables.iter().enumerate() {
            if let Some(changelog) = &table.changelog {
                let at = self.at(changelog);
                at.inner = Some("changelog");
                (at.changelog, at.rows) = (Some(table.descriptor), true);
            }
            if let Some(aside) = table.unreadable.and_then(|ix| topology.outputs.get(ix)) {
                let at = self.at(&aside.topic);
                at.inner = Some("topic of rows that were set aside");
                (at.keys, at.rows) = (Some(table.descriptor.keys), true);
            }
            let late = table.late.and_then(|late| topology.outputs.get(late));
            if let Some(late) = late.filter(|late| late.kind == OutputKind::Sink) {
                let mut writers = topology.agents.iter();
                let writer = writers.find(|agent| agent.writes.contains(&ix));
                let keys = writer.and_then(|writer| keys_read(topology, writer));
                let at = self.at(&late.topic);
                at.keys = at.keys.or(keys);
            }
        }
    }

    fn at(&mut self, name: &str) -> &mut Topic {
        self.0.entry(name.to_owned()).or_default()
    }

    /// The topic of this name.
    pub(super) fn topic(&self, name: &str) -> Option<&Topic> {
        self.0.get(name)
    }

    /// The names of all.
    pub(super) fn all_names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The names of those that others may write.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let open = self.0.iter().filter(|(_, topic)| topic.inner.is_none());
        open.map(|(name, _)| name.as_str())
    }
}

fn wants_key(agent: &AgentPlan) -> bool {
    let keys = agent.shape.input.and_then(|record| record.keys);
    agent.shape.join.is_some() || (agent.needs_key && !keys.is_some_and(|keys| keys.optional))
}

/// How the keys are read of the topics of an agent, where it asks for them.
fn keys_read(topology: &SubTopology, agent: &AgentPlan) -> Option<KeyForm> {
    let inputs = agent.reads.iter();
    let inputs = inputs.filter_map(|ix| topology.inputs.get(*ix));
    let mut keys = inputs.map(|input| input.record.keys);
    let first = keys.next()??;
    keys.all(|other| other == Some(first)).then_some(first)
}

impl Topic {
    /// What one who reads or writes it says.
    fn is_of(&mut self, record: RecordInfo) {
        self.record.get_or_insert(record.form);
        self.keys = self.keys.or(record.keys);
    }

    /// How its keys are read: as those who ask for them say, else as its records carry them.
    pub(super) fn keys(&self) -> Option<KeyForm> {
        let carried = self.record.filter(|form| !form.key_field.is_empty());
        self.keys.or(carried.map(|form| form.key))
    }

    /// The bytes of a key that is written as text or JSON.
    pub(super) fn key(&self, written: &Value) -> Result<Option<Vec<u8>>, String> {
        match self.keys() {
            Some(keys) => keys
                .read(written)
                .map_err(|error| format!("the key {error}")),
            None => text_of(written).map(|text| Some(text.into_bytes())),
        }
    }

    /// Reads a value as who reads the topic will; returns the key that it carries.
    pub(super) fn check(&self, value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let Some(form) = self.record else {
            return Ok(None);
        };
        let own = form.check(value).map_err(|error| match form.codec {
            "json" | "text" | "raw" => error.to_string(),
            "" => format!("{error}; records of this topic are written by a codec of the app's"),
            codec => format!("{error}; records of this topic are written as {codec}"),
        })?;
        // Of another type it would be a bad key.
        let fits = self.keys.is_none_or(|keys| keys.name == form.key.name);
        Ok(own.filter(|_| fits))
    }

    /// A key for people and programs, by its type.
    pub(super) fn shown(&self, key: &[u8]) -> Shown {
        let plain = |key: Value| Shown {
            key,
            window_end: None,
        };
        if let (Some(table), [tag, layout @ ..]) = (self.changelog, key) {
            return match *tag {
                MARK_TAG if layout.is_empty() => plain(Value::from("(mark)")),
                ROW_TAG => Shown::of_row(table, layout),
                _ => plain(Value::from(readable(key))),
            };
        }
        let shown = self.keys().and_then(|keys| keys.show(Some(key)).ok());
        plain(shown.unwrap_or_else(|| Value::from(readable(key))))
    }

    /// A value for people and programs: JSON where the app keeps rows in another form.
    pub(super) fn shown_value(&self, value: &[u8]) -> Option<Value> {
        self.rows.then(|| row_as_json(value)).flatten()
    }

    /// Refuses a record without a key where it would be of no use.
    pub(super) fn without_key(&self) -> Result<(), String> {
        let why = match &self.wants_key {
            Some(who) => format!("{who} keeps what it reads by key"),
            None if self.compact => "a compacted topic takes no others".to_owned(),
            None => return Ok(()),
        };
        let field = self.record.map_or("", |form| form.key_field);
        let own = match field {
            "" => String::new(),
            field => format!(", and its field `{field}` gives none"),
        };
        Err(format!("the record has no key{own}: {why}"))
    }
}

/// A key as it is shown.
pub(super) struct Shown {
    pub(super) key: Value,
    /// Of a row of a window: when that ends, in ms.
    pub(super) window_end: Option<i64>,
}

impl Shown {
    fn of_row(table: &TableDescriptor, layout: &[u8]) -> Shown {
        // Sessions and sliding windows lie together under their key.
        let aligned = matches!(
            table.window,
            Some(Window::Tumbling { .. } | Window::Hopping { .. })
        );
        let (window_end, key) = match aligned.then(|| window_and_key(layout)).flatten() {
            Some((end, key)) => (Some(end), key),
            None => (None, layout),
        };
        let shown = table.keys.show_ordered(key);
        Shown {
            key: shown.unwrap_or_else(|_| Value::from(readable(key))),
            window_end,
        }
    }

    /// As text: that of a text alone, else JSON.
    pub(super) fn text(&self) -> String {
        let key = match &self.key {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match self.window_end {
            Some(end) => format!("{key} until {}", time(end)),
            None => key,
        }
    }
}

/// A key of no type that is known: text as it is, numbers and booleans as they are written.
pub(super) fn text_of(written: &Value) -> Result<String, String> {
    match written {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        _ => Err("the key's field is neither text nor a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plan_view::AppView;

    #[test]
    fn a_carried_key_of_another_type_is_not_taken_for_the_topic_s() {
        let mut topic = Topic::default();
        topic.is_of(RecordInfo::of::<String, i64>());
        assert_eq!(
            topic.key(&Value::from("7")),
            Ok(Some(7_i64.to_be_bytes().to_vec()))
        );
        assert!(
            topic
                .key(&Value::from("seven"))
                .unwrap_err()
                .contains("i64")
        );
        assert_eq!(topic.check(b"x"), Ok(None));
        assert_eq!(topic.without_key(), Ok(()));
        topic.compact = true;
        assert!(topic.without_key().unwrap_err().contains("compacted"));
    }

    mod own {
        use crate::prelude::*;

        #[table(on_unreadable_row = "set_aside", value = u64)]
        struct KnownCounts;

        #[agent(topic = "known-words")]
        async fn known_count(word: Event<String>, mut counts: Table<KnownCounts>) {
            counts.update(word.key(), |n| *n += 1);
        }

        #[timer("1h", on_leader)]
        async fn known_tick() {}
    }

    #[test]
    fn the_topics_of_the_workers_the_leader_and_rows_set_aside_are_known_as_the_app_s_own() {
        let app = crate::App::new("kn").scope(format!("{}::own", module_path!()));
        let plan = app.plan().unwrap();
        let known = Known::in_plan(&plan);
        let view = AppView::of(&app, &plan);
        for (topic, inner, role) in [
            ("kn-workers", "topic of the workers", "workers"),
            ("kn-leader", "topic of the leader", "leader"),
            (
                "kn-known_counts-unreadable",
                "topic of rows that were set aside",
                "unreadable rows",
            ),
        ] {
            assert_eq!(known.topic(topic).unwrap().inner, Some(inner));
            assert!(known.names().all(|name| name != topic), "{topic}");
            assert!(known.all_names().any(|name| name == topic), "{topic}");
            let planned = view.topics.iter().find(|one| one.name == topic);
            assert_eq!(planned.unwrap().roles, [role]);
        }
        let aside = known.topic("kn-known_counts-unreadable").unwrap();
        assert_eq!(aside.shown(b"ann").key, "ann");
        assert_eq!(aside.shown_value(&[7]), Some(Value::from(7)));
    }
}
