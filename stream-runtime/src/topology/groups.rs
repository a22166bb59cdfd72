//! Which agents make one task, and what that task is made of.

use std::collections::BTreeMap;

use super::descriptor::{Edge, OnUnreadable, TableDescriptor};
use super::order::{Order, order};
use super::plan::{AgentPlan, InputPlan, OutputKind, OutputPlan, SubTopology, TablePlan};
use super::resolve::{Draft, DraftTopic};

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

/// Makes the sub-topology of the agents of one group; `number` counts the agents of the app.
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
