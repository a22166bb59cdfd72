//! Agents one by one, and then with what they share.

use std::collections::BTreeMap;

use super::descriptor::{
    AgentDescriptor, AgentShape, Edge, OnUnreadable, RecordInfo, Source, TableDescriptor,
};
use super::order::{Order, order};
use super::pattern::placeholder;
use super::plan::{
    AgentPlan, InputPlan, OutputKind, OutputPlan, PatternPlan, Problem, SubTopology, TablePlan,
};

/// An agent, or a feeder of one, before it is known what it belongs to.
pub(super) struct Draft {
    pub(super) descriptor: &'static AgentDescriptor,
    pub(super) shape: AgentShape,
    /// What it reads: the agent's topics, or the repartition topics in their place.
    topics: Vec<DraftTopic>,
    /// For a feeder: its agent, and the repartition topic it fills.
    feeds: Option<(&'static AgentDescriptor, String)>,
}

struct DraftTopic {
    name: String,
    /// The topics it is filled from; empty unless it is a repartition topic.
    sources: Vec<String>,
    /// The table whose windows fill it.
    windows_of: Option<&'static TableDescriptor>,
    /// What its reader gets from it.
    record: Option<RecordInfo>,
    /// Found by a pattern.
    found: bool,
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

    fn tables(&self) -> impl Iterator<Item = &'static TableDescriptor> + '_ {
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
    fn closing(&self) -> impl Iterator<Item = &'static TableDescriptor> + '_ {
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

/// Agents that share a topic or a table, in the order of their first names. A timer that shares none belongs to the
/// others where these are one group. Timers come last in theirs.
pub(super) fn group(drafts: &[Draft]) -> Vec<Vec<usize>> {
    let mut root: Vec<usize> = (0..drafts.len()).collect();
    fn find(root: &mut [usize], mut i: usize) -> usize {
        while root[i] != i {
            root[i] = root[root[i]];
            i = root[i];
        }
        i
    }
    let mut first: BTreeMap<(u8, &str), usize> = BTreeMap::new();
    for (i, draft) in drafts.iter().enumerate() {
        let ties = draft
            .topics
            .iter()
            .map(|t| (0, t.name.as_str()))
            .chain(draft.tables().map(|t| (1, t.name)));
        for tie in ties {
            let other = *first.entry(tie).or_insert(i);
            let (a, b) = (find(&mut root, i), find(&mut root, other));
            root[a.max(b)] = a.min(b);
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for i in 0..drafts.len() {
        let r = find(&mut root, i);
        groups.entry(r).or_default().push(i);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    for members in &mut groups {
        members.sort_by_key(|&i| drafts[i].is_timer());
    }
    let timers = |members: &Vec<usize>| drafts[members[0]].is_timer();
    if groups.iter().filter(|members| !timers(members)).count() == 1 {
        let (free, mut home): (Vec<_>, Vec<_>) = groups.into_iter().partition(timers);
        home[0].extend(free.into_iter().flatten());
        return home;
    }
    groups
}

pub(super) fn join(app: &str, index: usize, drafts: &[&Draft], number: &mut usize) -> SubTopology {
    let Order { turns, drafts } = order(drafts);
    let drafts = drafts.as_slice();
    let mut tables: Vec<&'static TableDescriptor> =
        drafts.iter().flat_map(|d| d.tables()).collect();
    tables.sort_by_key(|t| t.name);
    tables.dedup();
    let table_index = |t: &TableDescriptor| tables.iter().position(|x| *x == t);
    let ranks = ranks(&tables, drafts);
    let mut outputs: Vec<OutputPlan> = Vec::new();
    let mut output =
        |topic: String, kind: OutputKind| match outputs.iter().position(|o| o.topic == topic) {
            Some(at) => at,
            None => {
                outputs.push(OutputPlan { topic, kind });
                outputs.len() - 1
            }
        };
    let mut inputs: Vec<InputPlan> = Vec::new();
    let mut agents = Vec::with_capacity(drafts.len());
    for (at, draft) in drafts.iter().enumerate() {
        let d = draft.descriptor;
        for topic in &draft.topics {
            match (
                inputs.iter_mut().find(|i| i.topic == topic.name),
                topic.record,
            ) {
                (Some(input), _) => {
                    input.agents.push(at);
                    input.found |= topic.found;
                }
                (None, Some(record)) => inputs.push(InputPlan {
                    topic: topic.name.clone(),
                    agents: vec![at],
                    record,
                    feeders: Vec::new(),
                    declared: None,
                    sources: topic.sources.clone(),
                    windows_of: topic.windows_of,
                    found: topic.found,
                    again: false,
                }),
                (None, None) => {}
            }
        }
        for edge in &draft.shape.edges {
            if let Edge::Sends(topic) = edge {
                output(topic.name.to_owned(), OutputKind::Sink);
            }
        }
        // A key that may be missing makes no record bad, and rows of a table that is `local` belong to no partition by
        // their keys.
        let asks_for_key = |e: &Edge| match e {
            Edge::Table { table, .. } => !table.local,
            Edge::Key { optional, .. } => !optional,
            _ => false,
        };
        let sink = d.sink.map(|s| (s.to_owned(), OutputKind::Sink));
        let repartition = draft.feeds.as_ref();
        let repartition = repartition.map(|(_, topic)| (topic.clone(), OutputKind::Repartition));
        // What a feeder cannot read is a dead letter of its agent.
        let owner = draft.feeds.as_ref().map_or(d, |(agent, _)| *agent);
        agents.push(AgentPlan {
            descriptor: d,
            feeds: draft.feeds.as_ref().map(|(agent, _)| agent.name),
            number: *number,
            sink: repartition
                .or(sink)
                .map(|(topic, kind)| output(topic, kind)),
            dead_letters: (!draft.is_timer()).then(|| {
                let topic = d.options.dead_letter_topic.map_or_else(
                    || format!("{app}-{}-dead-letters", owner.name),
                    str::to_owned,
                );
                output(topic, OutputKind::DeadLetters)
            }),
            writes: draft.written().filter_map(table_index).collect(),
            closes: draft.closing().filter_map(table_index).collect(),
            reads: Vec::new(),
            needs_key: draft.shape.edges.iter().any(asks_for_key),
            after: turns[at].after.clone(),
            circle: turns[at].circle.clone(),
            shape: draft.shape.clone(),
        });
        *number += 1;
    }
    inputs.sort_by(|a, b| a.topic.cmp(&b.topic));
    for (agent, draft) in agents.iter_mut().zip(drafts) {
        let place = |topic: &DraftTopic| inputs.iter().position(|i| i.topic == topic.name);
        agent.reads = draft.topics.iter().filter_map(place).collect();
    }
    let tables = tables
        .iter()
        .zip(ranks)
        .map(|(t, rank)| TablePlan {
            descriptor: t,
            changelog: t.changelog.then(|| format!("{app}-{}-changelog", t.name)),
            rank,
            late: t.late.map(|late| output(late.to_owned(), OutputKind::Sink)),
            unreadable: (t.on_unreadable == OnUnreadable::SetAside).then(|| {
                output(
                    format!("{app}-{}-unreadable", t.name),
                    OutputKind::Unreadable,
                )
            }),
        })
        .collect();
    SubTopology {
        index,
        inputs,
        agents,
        tables,
        outputs,
        fills: Vec::new(),
    }
}

/// Longest chain of `on_close` feeders before each table.
fn ranks(tables: &[&'static TableDescriptor], drafts: &[&Draft]) -> Vec<usize> {
    let mut ranks = vec![0; tables.len()];
    // A chain cannot be longer than there are tables; a cycle stops there.
    for _ in 0..tables.len() {
        for draft in drafts {
            let place = |t: &TableDescriptor| tables.iter().position(|x| *x == t);
            let closing: Vec<usize> = draft.closing().filter_map(place).collect();
            for to in draft
                .written()
                .filter_map(|t| tables.iter().position(|x| *x == t))
            {
                // A join writes its own sides.
                if !closing.contains(&to) {
                    let from = closing.iter().map(|&from| ranks[from] + 1).max();
                    ranks[to] = ranks[to].max(from.unwrap_or(0)).min(tables.len());
                }
            }
        }
    }
    ranks
}
