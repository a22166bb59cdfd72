//! Everything about an app that can be wrong although each item compiles.

use std::collections::{BTreeMap, BTreeSet};

use super::descriptor::{Edge, JoinShape, RecordInfo, Source, SourceLocation, TableDescriptor};
use super::plan::{Plan, PlanParts, Problem};
use super::resolve::AgentView;
use crate::error::counted;

/// Appends every problem.
pub(super) fn check(agents: &[AgentView<'_>], parts: &PlanParts<'_>, problems: &mut Vec<Problem>) {
    let mut say =
        |message: String, places: Vec<SourceLocation>| problems.push(Problem { message, places });
    if agents.is_empty() {
        let listed = "the app lists no agents, and without the feature `inventory` it has no others: \
                      `App::agents(agents![collect, average])`";
        say(
            if cfg!(not(feature = "inventory")) {
                listed.into()
            } else {
                "the app has no agents; agents of a library crate are linked only when the binary names it: add `use \
             my_agents as _;`"
                .into()
            },
            Vec::new(),
        );
    }
    duplicates(
        "agent",
        agents
            .iter()
            .filter(|a| a.feeds.is_none())
            .map(|a| (a.descriptor.name, a.descriptor.place)),
        &mut say,
    );
    repartition_topics(agents, parts, &mut say);
    duplicates(
        "table",
        parts.tables.iter().map(|t| (t.name, t.place)),
        &mut say,
    );
    duplicates(
        "topic",
        parts.topics.iter().map(|t| (t.name, t.place)),
        &mut say,
    );
    topics(agents, parts, &mut say);
    keys(agents, parts, &mut say);
    sent(agents, parts, &mut say);
    several(agents, &mut say);
    tables(agents, &mut say);
}

fn duplicates(
    what: &str,
    items: impl Iterator<Item = (&'static str, SourceLocation)>,
    say: &mut impl FnMut(String, Vec<SourceLocation>),
) {
    let mut by_name: BTreeMap<&str, Vec<SourceLocation>> = BTreeMap::new();
    for (name, place) in items {
        let places = by_name.entry(name).or_default();
        if !places.contains(&place) {
            places.push(place);
        }
    }
    for (name, places) in by_name {
        if places.len() > 1 {
            say(
                format!("two {what}s are named `{name}`: rename one, or give it `name = \"..\"`"),
                places,
            );
        }
    }
}

/// The topics of `group_by` are named after agents and fields, and must not be another's.
fn repartition_topics(
    agents: &[AgentView<'_>],
    parts: &PlanParts<'_>,
    say: &mut impl FnMut(String, Vec<SourceLocation>),
) {
    let mut filled: BTreeMap<&str, SourceLocation> = BTreeMap::new();
    for agent in agents {
        let Some((_, topic)) = agent.feeds else {
            continue;
        };
        let place = agent.descriptor.place;
        let foreign = agents.iter().filter(|other| {
            let sources = match other.descriptor.source {
                Source::Topics(topics) => topics,
                _ => &[],
            };
            sources.contains(&topic) || other.descriptor.sink == Some(topic)
        });
        let declared = parts.topics.iter().filter(|t| t.name == topic);
        let others = foreign
            .map(|other| other.descriptor.place)
            .chain(declared.map(|t| t.place))
            .chain(filled.insert(topic, place));
        for other in others {
            say(
                format!(
                    "`{topic}` is the repartition topic of a `group_by` and cannot be used beside it: give the agent a `name`"
                ),
                vec![other, place],
            );
        }
    }
}

fn topics(
    agents: &[AgentView<'_>],
    parts: &PlanParts<'_>,
    say: &mut impl FnMut(String, Vec<SourceLocation>),
) {
    let mut first: BTreeMap<&str, (&AgentView<'_>, RecordInfo)> = BTreeMap::new();
    for agent in agents {
        for (topic, record) in agent.reads() {
            let (other, theirs) = *first.entry(topic).or_insert((agent, record));
            let places = vec![other.descriptor.place, agent.descriptor.place];
            if theirs.type_id != record.type_id {
                say(
                    format!(
                        "topic `{topic}` is read as {} and as {}: read it as one type",
                        theirs.name, record.name
                    ),
                    places,
                );
            } else if !theirs.key.is_empty() && !record.key.is_empty() && theirs.key != record.key {
                say(
                    format!(
                        "topic `{topic}` is read with keys of type {} and of type {}",
                        theirs.key, record.key
                    ),
                    places,
                );
            }
            if let Some(declared) = parts.topics.iter().find(|t| t.name == topic) {
                let theirs = (declared.record)();
                if theirs.type_id != record.type_id {
                    say(
                        format!(
                            "topic `{topic}` is declared with records of {} and read as {}",
                            theirs.name, record.name
                        ),
                        vec![declared.place, agent.descriptor.place],
                    );
                }
            }
        }
        // A feeder reads for its agent.
        let reader = agent.feeds.map_or(agent.descriptor, |(agent, _)| agent);
        if let Some(sink) = reader.sink
            && agent.topics.contains(&sink)
        {
            say(
                format!(
                    "agent `{}` sends to the topic it reads, `{sink}`: it would never end",
                    reader.name
                ),
                vec![agent.descriptor.place],
            );
        }
    }
}

/// The keys that an agent asks for are those that its topics are declared with, or that `group_by` gives its records.
fn keys(
    agents: &[AgentView<'_>],
    parts: &PlanParts<'_>,
    say: &mut impl FnMut(String, Vec<SourceLocation>),
) {
    let declared = |topic: &str| {
        let topic = parts.topics.iter().find(|t| t.name == topic)?;
        Some((topic.place, (topic.record)().key))
    };
    for agent in agents.iter().filter(|agent| agent.feeds.is_none()) {
        let (name, place) = (agent.descriptor.name, agent.descriptor.place);
        for (topic, record) in agent.reads() {
            // What a feeder puts into its repartition topic has the key that it says.
            let fed = agents
                .iter()
                .any(|f| f.feeds.is_some_and(|(_, to)| to == topic));
            let (whose, theirs) = match (declared(topic), fed) {
                (_, true) => (None, record.key),
                (Some((at, key)), false) => (Some(at), key),
                (None, false) => continue,
            };
            let Some(asked) = agent.keys().find(|key| differ(theirs, key)) else {
                continue;
            };
            let has = match whose {
                Some(_) => format!("topic `{topic}` is declared with keys of type {theirs}"),
                None => format!("`group_by` gives the records keys of type {theirs}"),
            };
            say(
                format!(
                    "{has}, and agent `{name}` takes keys of type {asked}: write `Event<_, {theirs}>`, `Stream<_, {theirs}>` or `Key<{theirs}>`"
                ),
                whose.into_iter().chain([place]).collect(),
            );
        }
        if agent.shape.join.is_some()
            && let [left, right] = agent.topics[..]
            && let (Some((l, left_key)), Some((r, right_key))) = (declared(left), declared(right))
            && differ(left_key, right_key)
        {
            say(
                format!(
                    "join `{name}` goes by the keys of its topics, and `{left}` has keys of type {left_key}, `{right}` of type {right_key}: \
                     name the fields to join by, `on = (left_field, right_field)`"
                ),
                vec![l, r, place],
            );
        }
    }
}

/// What is sent to a topic is what it is declared with, and what is read from it.
fn sent(
    agents: &[AgentView<'_>],
    parts: &PlanParts<'_>,
    say: &mut impl FnMut(String, Vec<SourceLocation>),
) {
    for agent in agents {
        let from = agent.descriptor;
        let (Some(sink), Some(record)) = (from.sink, agent.shape.output) else {
            continue;
        };
        if let Some(declared) = parts.topics.iter().find(|t| t.name == sink) {
            let theirs = (declared.record)();
            let places = vec![declared.place, from.place];
            if theirs.type_id != record.type_id {
                say(
                    format!(
                        "topic `{sink}` is declared with records of {}, and agent `{}` sends {}",
                        theirs.name, from.name, record.name
                    ),
                    places,
                );
            } else if differ(theirs.key, record.key) {
                say(
                    format!(
                        "topic `{sink}` is declared with keys of type {}, and agent `{}` sends keys of type {}",
                        theirs.key, from.name, record.key
                    ),
                    places,
                );
            }
        }
    }
    // What comes too late for a table is sent on as it came.
    for (topic, record, writer, table) in agents.iter().flat_map(late) {
        if let Some(declared) = parts.topics.iter().find(|t| t.name == topic) {
            let theirs = (declared.record)();
            if theirs.type_id != record.type_id && !is_raw(theirs.name) {
                say(
                    format!(
                        "topic `{topic}` gets what comes too late for table `{}`, and agent `{}` reads {}: declare it with \
                         that, not with {}",
                        table.name, writer.descriptor.name, record.name, theirs.name
                    ),
                    vec![declared.place, table.place, writer.descriptor.place],
                );
            }
        }
    }
    // What an agent reads, against what others send there by a sink or by hand.
    for reader in agents {
        for (topic, record, writer) in agents.iter().flat_map(writes) {
            let Some((_, read)) = reader.reads().find(|(read, _)| *read == topic) else {
                continue;
            };
            let places = vec![writer.descriptor.place, reader.descriptor.place];
            let (from, to) = (writer.descriptor.name, reader.descriptor.name);
            if record.type_id != read.type_id && !is_raw(read.name) && !is_raw(record.name) {
                say(
                    format!(
                        "agent `{from}` sends {} to topic `{topic}`, and agent `{to}` reads it as {}",
                        record.name, read.name
                    ),
                    places,
                );
            } else if differ(record.key, read.key) {
                say(
                    format!(
                        "agent `{from}` sends keys of type {} to topic `{topic}`, and agent `{to}` reads them as {}",
                        record.key, read.key
                    ),
                    places,
                );
            }
        }
    }
}

/// The topics that an agent sends to, and what.
fn writes<'a>(
    agent: &'a AgentView<'a>,
) -> impl Iterator<Item = (&'static str, RecordInfo, &'a AgentView<'a>)> {
    let sink = agent.descriptor.sink.zip(agent.shape.output);
    let by_hand = agent.shape.edges.iter().filter_map(|edge| match edge {
        Edge::Sends(topic) => Some((topic.name, (topic.record)())),
        _ => None,
    });
    sink.into_iter()
        .chain(by_hand)
        .map(move |(topic, record)| (topic, record, agent))
}

/// The topics that get an agent's records when they come too late for a table that it writes.
fn late<'a>(
    agent: &'a AgentView<'a>,
) -> impl Iterator<
    Item = (
        &'static str,
        RecordInfo,
        &'a AgentView<'a>,
        &'static TableDescriptor,
    ),
> {
    let tables = agent.shape.edges.iter().filter_map(|edge| match edge {
        Edge::Table {
            table,
            writes: true,
        } => Some(*table),
        _ => None,
    });
    tables.filter_map(move |table| {
        // A join keeps the records of its two sides apart.
        let right = agent
            .shape
            .join
            .as_ref()
            .filter(|join| join.buffers[1] == table);
        let record = right.map_or(agent.shape.input, |join| Some(join.right));
        Some((table.late?, record?, agent, table))
    })
}

/// Records that are the bytes of any other, or any JSON.
fn is_raw(name: &str) -> bool {
    matches!(name, "String" | "Bytes" | "Value")
}

/// Whether two types of keys, as far as they are known, are not the same.
fn differ(a: &str, b: &str) -> bool {
    !a.is_empty() && !b.is_empty() && a != b && a != "Bytes" && b != "Bytes"
}

/// Counts of partitions that are asked for within one task.
pub(super) fn partitions(plan: &Plan, problems: &mut Vec<Problem>) {
    for topology in &plan.topologies {
        let inputs = topology.inputs.iter().filter_map(|input| {
            let topic = plan.topics.get(input.topic.as_str())?;
            Some(("topic", topic.name, topic.partitions?, topic.place))
        });
        let tables = topology.tables.iter().filter_map(|table| {
            let table = table.descriptor;
            Some(("table", table.name, table.partitions?, table.place))
        });
        let asked: Vec<_> = inputs.chain(tables).collect();
        let Some((what, name, count, place)) = asked.first().copied() else {
            continue;
        };
        if let Some((other, second, found, at)) = asked
            .iter()
            .copied()
            .find(|(_, _, found, _)| *found != count)
        {
            problems.push(Problem {
                message: format!(
                    "{what} `{name}` asks for {} and {other} `{second}` for {found}; what is read together has the \
                     same number",
                    counted(usize::try_from(count).unwrap_or_default(), "partition")
                ),
                places: vec![place, at],
            });
        }
    }
}

/// Agents that hold several events are the only ones of their topics, and what holds them is fit for it.
fn several(agents: &[AgentView<'_>], say: &mut impl FnMut(String, Vec<SourceLocation>)) {
    for agent in agents {
        let (d, shape) = (agent.descriptor, agent.shape);
        let how = match d.options.concurrency {
            0 | 1 => match d.options.holds {
                Some(how) => format!("`{how}`"),
                None => continue,
            },
            n => format!("`concurrency = {n}`"),
        };
        let takes_table = shape.edges.iter().any(|e| matches!(e, Edge::Table { .. }));
        let cannot = match d.options.concurrency {
            0 | 1 if d.options.holds == Some("noack") && takes_table => Some(
                "acknowledges its events itself (`noack`) and takes a table: which event a change belongs to could not be said; use `take`",
            ),
            0 | 1 => None,
            _ if shape.stream_form || shape.closes.is_some() => {
                Some("has `concurrency`, which is for the event form of topics")
            }
            _ if takes_table => Some(
                "has `concurrency` and takes a table, which is changed by one event after the other; let it send to a topic, and another agent keep the table",
            ),
            _ => None,
        };
        if let Some(why) = cannot {
            say(format!("agent `{}` {why}", d.name), vec![d.place]);
        }
        for other in agents
            .iter()
            .filter(|other| other.descriptor.place != d.place)
        {
            if let Some(topic) = agent.topics.iter().find(|t| other.topics.contains(t)) {
                say(
                    format!(
                        "agent `{}` holds several events ({how}), and agent `{}` reads topic `{topic}` too: an agent that holds several is the only one of its topics; give the other one a topic of its own",
                        d.name, other.descriptor.name
                    ),
                    vec![d.place, other.descriptor.place],
                );
            }
        }
    }
}

/// Whether every worker reads the table's rows from a topic, so that nobody writes them.
fn is_topic(table: &TableDescriptor) -> bool {
    table.global.is_some_and(|global| global.source.is_some())
}

/// The sides of a join are of two topics; what a record without a partner writes is judged late by the end of its time.
fn sides(
    agent: &AgentView<'_>,
    join: &JoinShape,
    say: &mut impl FnMut(String, Vec<SourceLocation>),
) {
    let place = agent.descriptor.place;
    if let [left, right] = agent.topics[..]
        && left == right
    {
        say(
            format!(
                "join `{}` has topic `{left}` on both sides: a join is of two; read one of them through another topic",
                agent.descriptor.name
            ),
            vec![place],
        );
    }
    if join.alone == [false, false] {
        return;
    }
    let wait = join.within + 1 + join.buffers[0].grace;
    for edge in &agent.shape.edges {
        if let Edge::Table {
            table: fed,
            writes: true,
        } = edge
            && fed.window.is_some()
            && fed.grace < wait
        {
            say(
                format!(
                    "table `{}` is fed by join `{}`, whose records go without a partner {wait} ms after their time (`within` + 1 ms + `grace`), and needs a grace no smaller than that ({} ms)",
                    fed.name, agent.descriptor.name, fed.grace
                ),
                vec![fed.place, place],
            );
        }
    }
}

fn tables(agents: &[AgentView<'_>], say: &mut impl FnMut(String, Vec<SourceLocation>)) {
    let mut writers: BTreeMap<&str, Vec<SourceLocation>> = BTreeMap::new();
    // Their ticks are events of their own, so they may write beside the one writer.
    let mut timers: BTreeSet<&str> = BTreeSet::new();
    let mut used: BTreeMap<&str, (&'static TableDescriptor, SourceLocation)> = BTreeMap::new();
    let mut feeds_to: Vec<(&'static TableDescriptor, &'static TableDescriptor)> = Vec::new();
    for agent in agents {
        let place = agent.descriptor.place;
        let mut seen: Vec<&str> = Vec::new();
        for edge in &agent.shape.edges {
            let (table, writes) = match edge {
                Edge::Table { table, writes } => (table, writes),
                Edge::Global(table) if !is_topic(table) => {
                    used.entry(table.name).or_insert((table, place));
                    continue;
                }
                _ => continue,
            };
            if is_topic(table) {
                say(
                    format!(
                        "agent `{}` asks for its partition of table `{}`, which every worker reads whole from its topic: ask for a `GlobalTable<..>`",
                        agent.descriptor.name, table.name
                    ),
                    vec![place, table.place],
                );
                continue;
            }
            used.entry(table.name).or_insert((table, place));
            match agent.descriptor.source {
                source if *writes && source.by_clock().is_some() => {
                    timers.insert(table.name);
                }
                _ if *writes => writers.entry(table.name).or_default().push(place),
                _ => {}
            }
            if seen.contains(&table.name) {
                say(
                    format!(
                        "agent `{}` asks for table `{}` twice: one parameter serves for reading and writing",
                        agent.descriptor.name, table.name
                    ),
                    vec![place],
                );
            }
            seen.push(table.name);
        }
        if let Some(join) = &agent.shape.join {
            sides(agent, join, say);
        }
        if let Some(table) = agent.shape.closes {
            used.entry(table.name).or_insert((table, place));
            let feeds = agent.shape.edges.iter().filter_map(|e| match e {
                Edge::Table {
                    table,
                    writes: true,
                } => Some(*table),
                _ => None,
            });
            for fed in feeds {
                feeds_to.push((table, fed));
                if fed.name == table.name {
                    say(
                        format!(
                            "agent `{}` writes table `{}` while its windows close",
                            agent.descriptor.name, table.name
                        ),
                        vec![place],
                    );
                } else if fed.window.is_some() && fed.grace < table.grace {
                    say(
                        format!(
                            "table `{}` is fed by the closing of `{}` and needs a grace no smaller than its feeder's ({} < {} ms)",
                            fed.name, table.name, fed.grace, table.grace
                        ),
                        vec![fed.place, table.place],
                    );
                }
            }
        }
    }
    circles(&feeds_to, say);
    for (name, (table, place)) in used {
        for lost in (table.row)().lost {
            say(
                format!(
                    "the rows of table `{name}` would not come back as they are. Of {}, {lost}; or give the table a struct of its own",
                    table.value
                ),
                vec![table.place],
            );
        }
        match writers.get(name).map_or(0, Vec::len) {
            0 if timers.contains(name) => {}
            0 => say(
                format!(
                    "nobody writes table `{name}`: one agent takes it as `mut {name}: Table<..>`"
                ),
                vec![table.place, place],
            ),
            1 => {}
            _ => say(
                format!(
                    "table `{name}` has two writers; a table has one: the agent whose parameter is `mut` or `&mut`"
                ),
                writers[name].clone(),
            ),
        }
    }
}

/// Tables that feed each other by what closes: none of them would be closed before the others.
fn circles(
    feeds: &[(&'static TableDescriptor, &'static TableDescriptor)],
    say: &mut impl FnMut(String, Vec<SourceLocation>),
) {
    let mut told: Vec<&str> = Vec::new();
    for (from, first) in feeds.iter().filter(|(from, fed)| from.name != fed.name) {
        let mut chain = vec![*first];
        // Depth first; a chain is as long as there are feeds at most.
        let mut open: Vec<Vec<&'static TableDescriptor>> = vec![chain.clone()];
        while let Some(next) = open.pop() {
            chain = next;
            let Some(last) = chain.last() else { continue };
            if last.name == from.name {
                break;
            }
            let onward = feeds.iter().filter(|(a, b)| {
                a.name == last.name && !chain.iter().any(|known| known.name == b.name)
            });
            let onward: Vec<_> = onward.map(|(_, b)| [&chain[..], &[*b]].concat()).collect();
            open.extend(onward);
        }
        let closed = chain.last().is_some_and(|last| last.name == from.name);
        if closed && !chain.iter().any(|table| told.contains(&table.name)) {
            told.extend(chain.iter().map(|table| table.name));
            let names: Vec<&str> = chain.iter().map(|table| table.name).collect();
            say(
                format!(
                    "what closes of `{}` comes back to it by way of {}: which is to close first?",
                    from.name,
                    names.join(", ")
                ),
                chain.iter().map(|table| table.place).collect(),
            );
        }
    }
}
