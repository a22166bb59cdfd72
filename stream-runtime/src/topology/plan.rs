//! Descriptors joined to sub-topologies: which agents, tables and topics belong together.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::descriptor::{
    AgentDescriptor, AgentShape, Edge, GlobalDescriptor, RecordInfo, SourceLocation,
    TableDescriptor, TopicDescriptor,
};
use super::feeder::{FeederPlan, FillPlan};

/// An agent in its sub-topology.
pub struct AgentPlan {
    /// Its registration.
    pub descriptor: &'static AgentDescriptor,
    /// What its signature says.
    pub shape: AgentShape,
    /// Number in the whole plan.
    pub number: usize,
    /// Index into [`SubTopology::outputs`] of its sink.
    pub sink: Option<usize>,
    /// Index into [`SubTopology::outputs`] of its dead letters; a timer has none.
    pub dead_letters: Option<usize>,
    /// Indexes of the tables it writes.
    pub writes: Vec<usize>,
    /// Indexes of the tables whose windows it gets, or of a join's sides.
    pub closes: Vec<usize>,
    /// Indexes of the inputs it reads, in the order of its topics.
    pub reads: Vec<usize>,
    /// Whether a record without a readable key is bad for it.
    pub needs_key: bool,
    /// Indexes of the agents that finish with an event before it begins: they write tables that it reads.
    pub after: Vec<usize>,
    /// The tables that put it into a circle with others; these agents run by file and line.
    pub circle: Vec<&'static str>,
    /// The agent whose records it gives their key; `None` for an agent of the user's.
    pub feeds: Option<&'static str>,
}

impl AgentPlan {
    /// Returns the name of the user's agent: its own, or of the one whose records it gives their key.
    pub fn user_name(&self) -> &'static str {
        self.feeds.unwrap_or(self.descriptor.name)
    }
}

/// An input topic of a sub-topology.
#[derive(Debug)]
pub struct InputPlan {
    /// Its name.
    pub topic: String,
    /// Indexes of the agents that read it.
    pub agents: Vec<usize>,
    /// Record and key.
    pub record: RecordInfo,
    /// The topics whose records come here with another key; empty unless it is a repartition topic. Of one that windows
    /// fill: the topics whose records made these.
    pub sources: Vec<String>,
    /// The table whose windows come here with another key.
    pub windows_of: Option<&'static TableDescriptor>,
    /// Whose times make its own: of a repartition topic the agent that fills it, of an `internal` one all that write
    /// it.
    pub feeders: Vec<FeederPlan>,
    /// Its declaration, where it has one.
    pub declared: Option<&'static TopicDescriptor>,
    /// Whether an agent found it by a pattern.
    pub found: bool,
    /// Whether it brings an agent windows again that had become its dead letters. Such an input comes after all others,
    /// is in the plan once its topic exists, and belongs to whoever has the others: nobody subscribes to it.
    pub again: bool,
}

impl InputPlan {
    /// Whether the app made it to give records another key.
    pub fn is_repartition(&self) -> bool {
        !self.is_internal() && (self.windows_of.is_some() || !self.sources.is_empty())
    }

    /// Returns whether it was declared to be read by the app alone, and agents of it write it.
    pub fn is_internal(&self) -> bool {
        self.declared.is_some_and(|topic| topic.internal) && !self.feeders.is_empty()
    }

    /// Returns whether what has been read of it is deleted: of an internal topic whose declaration does not say how
    /// long it is kept.
    pub fn is_purged(&self) -> bool {
        let kept = self
            .declared
            .is_some_and(|topic| topic.retention_ms.is_some());
        self.is_internal() && !kept
    }

    /// Returns whether its records come from other tasks, by whose times its readers go.
    pub fn is_fed(&self) -> bool {
        !self.feeders.is_empty()
    }
}

/// A table of a sub-topology.
#[derive(Debug)]
pub struct TablePlan {
    /// Its registration.
    pub descriptor: &'static TableDescriptor,
    /// Name of its changelog; `None` for `changelog = false`.
    pub changelog: Option<String>,
    /// Feeders have a lower rank than what they feed.
    pub rank: usize,
    /// Index into [`SubTopology::outputs`] of the topic for its late records.
    pub late: Option<usize>,
    /// Index into [`SubTopology::outputs`] of the topic for rows that cannot be read; `None`: they stop the partition.
    pub unreadable: Option<usize>,
}

/// Why an app sends to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// An agent's sink, or sent to by hand.
    Sink,
    /// An agent's dead letters.
    DeadLetters,
    /// Rows of a table that could not be read.
    Unreadable,
    /// Another sub-topology's input, or its own: `group_by`.
    Repartition,
}

/// A topic that a sub-topology sends to.
#[derive(Debug)]
pub struct OutputPlan {
    /// Its name.
    pub topic: String,
    /// Why.
    pub kind: OutputKind,
}

/// Agents and tables that must run together: one task per partition of it.
#[derive(Default)]
pub struct SubTopology {
    /// Its place in the plan.
    pub index: usize,
    /// Input topics; all have the same partition count.
    pub inputs: Vec<InputPlan>,
    /// Agents, in the order in which they get an event: writers of tables before readers, else by file and line.
    pub agents: Vec<AgentPlan>,
    /// Tables, by name.
    pub tables: Vec<TablePlan>,
    /// Topics it sends to.
    pub outputs: Vec<OutputPlan>,
    /// Those of them whose readers go by its tasks' times, by the agents that write them.
    pub fills: Vec<FillPlan>,
}

impl SubTopology {
    /// The inputs whose records come by time: all but those that bring windows again, which stand behind them.
    pub fn timely_inputs(&self) -> impl Iterator<Item = &InputPlan> + Clone {
        self.inputs.iter().filter(|input| !input.again)
    }

    /// Number of these.
    pub fn timely(&self) -> usize {
        self.timely_inputs().count()
    }

    /// Returns whether its tasks keep how far their sources are beside the committed offsets: they need it, and write
    /// no mark.
    pub fn keeps_sources_beside_offsets(&self) -> bool {
        let follows = |fill: &FillPlan| fill.time.follows_its_task();
        let needs = !self.tables.is_empty() || self.fills.iter().any(follows);
        let no_log = |table: &TablePlan| table.changelog.is_none();
        needs && self.tables.iter().all(no_log)
    }

    /// Returns whether records of a join's side go alone when they have met nobody; `None`: it is not a side of a join.
    pub fn goes_alone(&self, table: &TableDescriptor) -> Option<bool> {
        self.agents.iter().find_map(|agent| {
            let join = agent.shape.join.as_ref()?;
            let side = join.buffers.iter().position(|buffer| *buffer == table)?;
            Some(join.alone[side])
        })
    }

    /// Adds the topics that bring windows again to their agents, those that exist.
    pub(super) fn add_again(&mut self, app: &str, existing: &[String]) {
        let takes = |(_, agent): &(usize, &AgentPlan)| agent.shape.closes.is_some();
        let agents = self.agents.iter().enumerate().filter(takes);
        let topics = agents.map(|(at, agent)| (at, again_topic(app, agent.user_name())));
        let there = topics.filter(|(_, topic)| existing.contains(topic));
        let inputs = there.map(|(at, topic)| InputPlan {
            topic,
            agents: vec![at],
            record: RecordInfo::of::<Bytes, Option<Bytes>>(),
            sources: Vec::new(),
            windows_of: None,
            feeders: Vec::new(),
            declared: None,
            found: false,
            again: true,
        });
        let inputs: Vec<InputPlan> = inputs.collect();
        self.inputs.extend(inputs);
    }

    /// Indexes of the agents that wait for this one to finish with an event.
    pub fn followers(&self, agent: usize) -> Vec<usize> {
        let all = self.agents.iter().enumerate();
        let after = all.filter(|(_, other)| other.after.contains(&agent));
        after.map(|(at, _)| at).collect()
    }
}

/// The whole app, joined and checked.
pub struct Plan {
    /// The name on the wire: `{app}`, or `{app}-v{n}`.
    pub app: String,
    /// Sub-topologies, by the name of their first agent.
    pub topologies: Vec<SubTopology>,
    /// Declared topics by name.
    pub topics: BTreeMap<&'static str, &'static TopicDescriptor>,
    /// What the agents' patterns match, by agent.
    pub patterns: Vec<PatternPlan>,
    /// Global tables that functions beside the agents read.
    pub outside: Vec<&'static TableDescriptor>,
}

/// A pattern, and the topics that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternPlan {
    /// The agent's name.
    pub agent: &'static str,
    /// A regular expression on whole names.
    pub pattern: &'static str,
    /// Names in their order; none as long as nothing matches, or nobody has looked.
    pub topics: Vec<String>,
}

/// A table that every worker reads whole.
#[derive(Clone, Debug)]
pub struct GlobalPlan {
    /// Its registration.
    pub table: &'static TableDescriptor,
    /// How its rows are had.
    pub global: GlobalDescriptor,
    /// The topic to read: its changelog, or its source.
    pub topic: String,
}

impl Plan {
    /// The topic in which the app's workers tell where they are and what they have.
    pub fn workers_topic(&self) -> String {
        format!("{}-workers", self.app)
    }

    /// The same, where the app keeps tables; without any its workers have nothing to ask each other.
    pub fn topic_of_workers(&self) -> Option<String> {
        let keeps = self.topologies.iter().any(|task| !task.tables.is_empty());
        keeps.then(|| self.workers_topic())
    }

    /// The topic whose one partition makes a worker the leader.
    pub fn leader_topic(&self) -> String {
        format!("{}-leader", self.app)
    }

    /// The global tables that agents, or functions beside them, read, by name.
    pub fn globals(&self) -> Vec<GlobalPlan> {
        let agents = self.topologies.iter().flat_map(|topology| &topology.agents);
        let edges = agents.flat_map(|agent| &agent.shape.edges);
        let tables = edges.filter_map(|edge| match edge {
            Edge::Global(table) => Some((table.name, *table)),
            _ => None,
        });
        let outside = self.outside.iter().map(|table| (table.name, *table));
        let tables: BTreeMap<_, _> = tables.chain(outside).collect();
        let tables = tables.into_values();
        tables.filter_map(|table| self.global(table)).collect()
    }

    /// How the rows of a table are had whole; `None`: it is not global.
    pub fn global(&self, table: &'static TableDescriptor) -> Option<GlobalPlan> {
        let global = table.global?;
        let topic = match global.source {
            Some(source) => source.name.to_owned(),
            None => format!("{}-{}-changelog", self.app, table.name),
        };
        Some(GlobalPlan {
            table,
            global,
            topic,
        })
    }

    /// All input topics, sorted.
    pub fn input_topics(&self) -> Vec<&str> {
        let mut topics: Vec<_> = self
            .topologies
            .iter()
            .flat_map(|t| &t.inputs)
            .map(|i| i.topic.as_str())
            .collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// The topics that bring windows again to agents `on_close`, whether they exist or not.
    pub fn again_topics(&self) -> impl Iterator<Item = String> {
        let agents = self.topologies.iter().flat_map(|topology| &topology.agents);
        let takers = agents.filter(|agent| agent.shape.closes.is_some());
        takers.map(|agent| again_topic(&self.app, agent.user_name()))
    }

    /// All repartition topics.
    pub fn repartition_topics(&self) -> impl Iterator<Item = &InputPlan> {
        let inputs = self.topologies.iter().flat_map(|t| &t.inputs);
        inputs.filter(|input| input.is_repartition())
    }

    /// Returns whether tasks tell each other their times.
    pub fn has_hops(&self) -> bool {
        self.topologies
            .iter()
            .any(|topology| !topology.fills.is_empty())
    }

    /// The agent with this number.
    pub fn agent(&self, number: usize) -> Option<&AgentPlan> {
        self.topologies
            .iter()
            .flat_map(|t| &t.agents)
            .find(|a| a.number == number)
    }
}

/// The topic that brings an agent `on_close` windows again that had become its dead letters.
pub fn again_topic(app: &str, agent: &str) -> String {
    format!("{app}-{agent}-again")
}

/// Something that does not fit, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong and what to do.
    pub message: String,
    /// The places that clash.
    pub places: Vec<SourceLocation>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        for place in &self.places {
            write!(f, "\n    at {place}")?;
        }
        Ok(())
    }
}

/// What a plan is made from.
pub struct PlanParts<'a> {
    /// The name on the wire.
    pub app: &'a str,
    /// The name without the version.
    pub name: &'a str,
    /// The topics of the cluster, where patterns look for theirs.
    pub existing: &'a [String],
    /// Agents of the app.
    pub agents: Vec<&'static AgentDescriptor>,
    /// Tables that the process knows.
    pub tables: Vec<&'static TableDescriptor>,
    /// Topics that the process knows.
    pub topics: Vec<&'static TopicDescriptor>,
}
