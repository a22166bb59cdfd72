//! Agents one by one, and then with what they share.

use super::descriptor::{AgentDescriptor, AgentShape, Edge, RecordInfo, Source, TableDescriptor};
use super::pattern::placeholder;
use super::plan::{PatternPlan, Problem};

/// An agent, or a feeder of one, before it is known what it belongs to.
pub(super) struct Draft {
    pub(super) descriptor: &'static AgentDescriptor,
    pub(super) shape: AgentShape,
    /// What it reads: the agent's topics, or the repartition topics in their place.
    pub(super) topics: Vec<DraftTopic>,
    /// For a feeder: its agent, and the repartition topic it fills.
    pub(super) feeds: Option<(&'static AgentDescriptor, String)>,
}

pub(super) struct DraftTopic {
    pub(super) name: String,
    /// The topics it is filled from; empty unless it is a repartition topic.
    pub(super) sources: Vec<String>,
    /// The table whose windows fill it.
    pub(super) windows_of: Option<&'static TableDescriptor>,
    /// What its reader gets from it.
    pub(super) record: Option<RecordInfo>,
    /// Found by a pattern.
    pub(super) found: bool,
}

/// Where an agent's records come from, by name.
struct Names {
    topics: Vec<String>,
    /// By a pattern.
    found: bool,
}

impl Draft {
    /// The drafts of an agent: its own, and one for each feeder.
    pub(super) fn of(
        app: &str,
        descriptor: &'static AgentDescriptor,
        patterns: &[PatternPlan],
    ) -> Vec<Draft> {
        let named = |source| named(source, patterns);
        let plain = |source: Source, shape: &AgentShape| -> Vec<DraftTopic> {
            let Names { topics, found } = named(source);
            let topics = topics.into_iter().enumerate();
            topics
                .map(|(at, name)| DraftTopic {
                    name,
                    sources: Vec::new(),
                    windows_of: None,
                    // Whatever a pattern finds is of one type.
                    record: shape.input_of(if found { 0 } else { at }),
                    found,
                })
                .collect()
        };
        let own = (descriptor.shape)();
        let mut topics = plain(descriptor.source, &own);
        let mut drafts = Vec::with_capacity(1 + descriptor.feeders.len());
        for feeder in descriptor.feeders {
            let shape = (feeder.shape)();
            if shape.keyed_already {
                continue;
            }
            let sources = named(feeder.source).topics;
            let name = format!("{app}-{}-repartition", feeder.name);
            let at = topics.iter().position(|t| sources.contains(&t.name));
            topics.retain(|topic| !sources.contains(&topic.name));
            let repartition = DraftTopic {
                name: name.clone(),
                sources,
                windows_of: shape.closes,
                // The same record under its new key.
                record: shape.output,
                found: false,
            };
            topics.insert(at.unwrap_or(0).min(topics.len()), repartition);
            drafts.push(Draft {
                descriptor: feeder,
                topics: plain(feeder.source, &shape),
                shape,
                feeds: Some((descriptor, name)),
            });
        }
        drafts.push(Draft {
            descriptor,
            shape: own,
            topics,
            feeds: None,
        });
        drafts
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &'static TableDescriptor> + '_ {
        let edges = self.shape.edges.iter().filter_map(|e| match e {
            Edge::Table { table, .. } => Some(*table),
            _ => None,
        });
        edges.chain(self.shape.closes)
    }

    /// Whether both get the same events: records of a topic, or closed windows of a table.
    pub(super) fn meets(&self, other: &Draft) -> bool {
        let reads = |topic: &DraftTopic| other.topics.iter().any(|own| own.name == topic.name);
        let closes = self.shape.closes.is_some() && self.shape.closes == other.shape.closes;
        closes || self.topics.iter().any(reads)
    }

    /// The tables whose rows it gets when their time is over.
    pub(super) fn closing(&self) -> impl Iterator<Item = &'static TableDescriptor> + '_ {
        let sides = self.shape.join.iter().flat_map(|join| join.buffers);
        self.shape.closes.into_iter().chain(sides)
    }

    pub(super) fn written(&self) -> impl Iterator<Item = &'static TableDescriptor> + '_ {
        self.shape.edges.iter().filter_map(|e| match e {
            Edge::Table {
                table,
                writes: true,
            } => Some(*table),
            _ => None,
        })
    }

    pub(super) fn is_timer(&self) -> bool {
        self.descriptor.source.by_clock().is_some()
    }
}

fn named(source: Source, patterns: &[PatternPlan]) -> Names {
    let (topics, found) = match source {
        Source::Topics(topics) => (
            topics.iter().map(|&topic| topic.to_owned()).collect(),
            false,
        ),
        Source::Pattern(pattern) => {
            let matched = patterns.iter().find(|known| known.pattern == pattern);
            let topics = matched.map_or_else(Vec::new, |known| known.topics.clone());
            match topics.is_empty() {
                true => (vec![placeholder(pattern)], true),
                false => (topics, true),
            }
        }
        Source::Closed | Source::Timer { .. } | Source::Crontab { .. } => (Vec::new(), false),
    };
    Names { topics, found }
}

/// What the checks see of an agent.
pub(super) struct AgentView<'a> {
    pub(super) descriptor: &'static AgentDescriptor,
    pub(super) shape: &'a AgentShape,
    pub(super) topics: Vec<&'a str>,
    /// What it gets from each of them.
    pub(super) records: Vec<Option<RecordInfo>>,
    /// For a feeder: its agent's descriptor, and the repartition topic it fills.
    pub(super) feeds: Option<(&'static AgentDescriptor, &'a str)>,
}

impl AgentView<'_> {
    /// Its topics, and what it gets from each.
    pub(super) fn reads(&self) -> impl Iterator<Item = (&str, RecordInfo)> {
        let topics = self.topics.iter().zip(&self.records);
        topics.filter_map(|(topic, record)| Some((*topic, (*record)?)))
    }

    /// The key types that its parameters name.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'static str> {
        let first = self.shape.input.map(|record| record.key);
        let others = self.shape.edges.iter().filter_map(|edge| match edge {
            Edge::Key { name, .. } => Some(*name),
            _ => None,
        });
        first
            .into_iter()
            .chain(others)
            .filter(|key| !key.is_empty())
    }
}

pub(super) fn drafts_view(drafts: &[Draft]) -> Vec<AgentView<'_>> {
    drafts
        .iter()
        .map(|d| AgentView {
            descriptor: d.descriptor,
            shape: &d.shape,
            topics: d.topics.iter().map(|t| t.name.as_str()).collect(),
            records: d.topics.iter().map(|t| t.record).collect(),
            feeds: d
                .feeds
                .as_ref()
                .map(|(agent, topic)| (*agent, topic.as_str())),
        })
        .collect()
}

/// A timer or crontab of its own group has no topic, and so no partitions.
pub(super) fn no_partitions(timer: &Draft) -> Problem {
    Problem {
        message: format!(
            "{} `{}` runs per partition, and it is open of which topic: take a `Table<..>` that the agents of the topic use",
            timer.descriptor.source.by_clock().unwrap_or_default(),
            timer.descriptor.name
        ),
        places: vec![timer.descriptor.place],
    }
}
