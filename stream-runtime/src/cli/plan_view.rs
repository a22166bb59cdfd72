//! A plan as it is printed: plain values, for people and for programs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::functions::{self, FunctionView, every};
use crate::app::App;
use crate::background::{JobDescriptor, When};
use crate::duration;
use crate::topology::{
    AgentDescriptor, AgentPlan, Edge, JoinShape, OnError, OutputKind, Plan, RecordInfo, Source,
    Stage, SubTopology, TableDescriptor, TablePlan, pattern, registry,
};
use crate::web::PageDescriptor;
use crate::window::Window;
use crate::worker::musts;

/// An app.
#[derive(Serialize)]
pub(super) struct AppView {
    pub(super) app: String,
    pub(super) tasks: Vec<TaskView>,
    /// Tables that no task keeps: global ones of a topic, and those that nobody uses.
    pub(super) other_tables: Vec<TableView>,
    /// Timers, crontabs, tasks, pages.
    pub(super) functions: Vec<FunctionView>,
    pub(super) topics: Vec<TopicView>,
    /// Topics of the app in which a partition that runs ahead makes the others' records late.
    pub(super) stages: Vec<StageView>,
}

/// Such a topic.
#[derive(Serialize)]
pub(super) struct StageView {
    pub(super) topic: String,
    pub(super) written_by: Vec<&'static str>,
    /// Agents, and what they do by its time.
    pub(super) read_by: Vec<(&'static str, String)>,
}

impl StageView {
    fn of(stage: Stage) -> StageView {
        let readers = stage.readers.iter();
        StageView {
            topic: stage.topic,
            written_by: stage.writers,
            read_by: readers
                .map(|(agent, by)| (*agent, by.to_string()))
                .collect(),
        }
    }

    /// Returns what is late there and why, and what helps.
    pub(super) fn text(&self) -> String {
        let writers: Vec<_> = self
            .written_by
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let readers = self.read_by.iter();
        let readers: Vec<_> = readers
            .map(|(name, by)| format!("`{name}` with {by}"))
            .collect();
        let first = self.written_by.first().copied().unwrap_or_default();
        format!(
            "{} writes it, {} reads it: where keys change on the way, time here is that of the partition that is furthest ahead, \
             and after an outage what the others send is late; give the windows a `grace` as long as the outages that they shall \
             outlive; or, if nobody but this app reads it, declare the topic `internal`; or have the second agent take what `{first}` takes, \
             with `group_by`: of a topic's records, or of the windows that close",
            writers.join(" and "),
            readers.join(" and "),
        )
    }
}

/// What runs together, once a partition.
#[derive(Serialize)]
pub(super) struct TaskView {
    pub(super) inputs: Vec<String>,
    pub(super) agents: Vec<AgentView>,
    pub(super) tables: Vec<TableView>,
}

/// When a timer or a crontab is called.
#[derive(Serialize)]
pub(super) struct CallView {
    /// From one tick to the next, of a timer.
    pub(super) every_ms: Option<u64>,
    /// Expression and time zone, of a crontab, and when it is called next.
    pub(super) crontab: Option<String>,
    pub(super) next: Option<DateTime<Utc>>,
}

/// What an agent works with.
#[derive(Serialize)]
pub(super) struct UseView {
    pub(super) tables_read: Vec<String>,
    pub(super) tables_written: Vec<String>,
    /// Agents that finish with an event before it begins: they write tables that it reads.
    pub(super) after: Vec<String>,
    /// Tables by which agents read each other's writes; these go by file and line.
    pub(super) circle: Vec<&'static str>,
    pub(super) states: Vec<String>,
    pub(super) sends: Vec<String>,
    pub(super) sink: Option<String>,
}

/// What happens to an event that fails.
#[derive(Serialize)]
pub(super) struct FailureView {
    pub(super) retries: u32,
    pub(super) backoff_ms: u64,
    pub(super) timeout_ms: Option<u64>,
    pub(super) on_error: &'static str,
    pub(super) on_decode_error: &'static str,
    pub(super) on_tombstone: &'static str,
    pub(super) dead_letter_topic: String,
}

#[derive(Serialize)]
pub(super) struct AgentView {
    pub(super) name: String,
    /// For one that only gives records another key: the agent that they are for.
    pub(super) feeds: Option<String>,
    /// What its records are grouped by on their way to it: field (or `name` of a closure's agent) and topics.
    pub(super) group_by: Vec<String>,
    /// Topics; empty for one that takes closed windows, and as long as its pattern matches nothing.
    pub(super) reads: Vec<String>,
    /// The regular expression that finds its topics.
    pub(super) pattern: Option<&'static str>,
    pub(super) record: Option<String>,
    /// Of a join: its kind and how far apart two records may be.
    pub(super) joins: Option<String>,
    /// The table whose closed windows it takes.
    pub(super) closes: Option<String>,
    #[serde(flatten)]
    pub(super) call: CallView,
    #[serde(flatten)]
    pub(super) uses: UseView,
    /// How many events it handles at once.
    pub(super) concurrency: u32,
    #[serde(flatten)]
    pub(super) failure: FailureView,
    pub(super) place: String,
}

#[derive(Serialize)]
pub(super) struct TableView {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) key: String,
    pub(super) value: String,
    pub(super) grace_ms: i64,
    pub(super) idle_ms: Option<u64>,
    pub(super) retention_ms: i64,
    pub(super) ttl_ms: Option<i64>,
    /// Every worker has all rows of it.
    pub(super) global: bool,
    /// Of a global table: the topic whose records are its rows.
    pub(super) source: Option<String>,
    pub(super) changelog: Option<String>,
    pub(super) local: bool,
    pub(super) written_by: Vec<String>,
    pub(super) read_by: Vec<String>,
    pub(super) place: String,
}

#[derive(Serialize)]
pub(super) struct TopicView {
    pub(super) name: String,
    /// input, output, changelog, repartition, dead letters; or several.
    pub(super) roles: Vec<&'static str>,
    pub(super) record: Option<String>,
    pub(super) key: Option<String>,
    pub(super) external: bool,
    /// Settings on which the app's results depend, as Kafka names and writes them.
    pub(super) settings: BTreeMap<&'static str, &'static str>,
    pub(super) place: Option<String>,
}

impl AgentView {
    /// Returns whether it is where windows come to an agent of the user's.
    fn takes_windows_of(&self, agent: &str) -> bool {
        self.closes.is_some() && self.feeds.as_deref().unwrap_or(&self.name) == agent
    }
}

impl TopicView {
    /// Its settings in a line.
    pub(super) fn must_have(&self) -> String {
        let settings = self.settings.iter();
        let settings: Vec<String> = settings
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        settings.join(", ")
    }
}

impl AppView {
    pub(super) fn of(app: &App, plan: &Plan) -> AppView {
        let functions = functions::of(app);
        let mut tasks: Vec<TaskView> = plan.topologies.iter().map(task).collect();
        let in_tasks = plan.topologies.iter().flat_map(|topology| &topology.tables);
        let in_tasks: Vec<_> = in_tasks.map(|table| table.descriptor).collect();
        let mut other_tables = app.all_tables();
        other_tables.retain(|table| !in_tasks.contains(table));
        other_tables.sort_by_key(|table| table.name);
        let mut other_tables: Vec<TableView> =
            other_tables.into_iter().map(TableView::of).collect();
        // Rows are read from outside the task too: of global tables by agents, of all by pages and their like.
        let tables = tasks.iter_mut().flat_map(|task| &mut task.tables);
        for table in tables.chain(&mut other_tables) {
            let mut read = global_readers(plan, &table.name);
            read.extend(readers(&functions, &table.name));
            read.retain(|reader| !table.read_by.contains(reader));
            table.read_by.extend(read);
        }
        AppView {
            app: plan.app.clone(),
            tasks,
            other_tables,
            functions,
            topics: topics(plan),
            stages: plan.stages().into_iter().map(StageView::of).collect(),
        }
    }

    /// The user's agents.
    pub(super) fn agents(&self) -> impl Iterator<Item = &AgentView> {
        let all = self.tasks.iter().flat_map(|task| &task.agents);
        all.filter(|agent| agent.feeds.is_none())
    }

    /// The topics that have the partitions of the task in which an agent's windows close: its inputs, and the
    /// changelogs of its tables.
    pub(super) fn beside(&self, agent: &str) -> impl Iterator<Item = &String> {
        let runs = |task: &&TaskView| task.agents.iter().any(|one| one.takes_windows_of(agent));
        let task = self.tasks.iter().find(runs).into_iter();
        task.flat_map(|task| {
            let changelogs = task
                .tables
                .iter()
                .filter_map(|table| table.changelog.as_ref());
            task.inputs.iter().chain(changelogs)
        })
    }

    /// The table whose windows come to an agent, with another key (`group_by`) or with their own.
    pub(super) fn closes(&self, agent: &str) -> Option<&str> {
        let mut all = self.tasks.iter().flat_map(|task| &task.agents);
        let taker = all.find(|one| one.takes_windows_of(agent))?;
        taker.closes.as_deref()
    }

    /// The agent whose records the feeder of this name gives their key; `None`: an agent of the user's has the name.
    pub(super) fn owner(&self, feeder: &str) -> Option<&str> {
        if self.agents().any(|agent| agent.name == feeder) {
            return None;
        }
        let mut all = self.tasks.iter().flat_map(|task| &task.agents);
        all.find(|agent| agent.name == feeder)?.feeds.as_deref()
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &TableView> {
        let tables = self.tasks.iter().flat_map(|task| &task.tables);
        tables.chain(&self.other_tables)
    }

    /// The names of all that can be described.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let agents = self.agents().map(|agent| agent.name.as_str());
        let tables = self.tables().map(|table| table.name.as_str());
        let functions = self.functions.iter().map(|one| one.name.as_str());
        let topics = self.topics.iter().map(|topic| topic.name.as_str());
        agents.chain(tables).chain(functions).chain(topics)
    }
}

fn global_readers(plan: &Plan, table: &str) -> Vec<String> {
    let agents = plan.topologies.iter().flat_map(|topology| &topology.agents);
    let readers = agents.filter(|agent| {
        let mut edges = agent.shape.edges.iter();
        edges.any(|edge| matches!(edge, Edge::Global(read) if read.name == table))
    });
    readers
        .map(|agent| agent.descriptor.name.to_owned())
        .collect()
}

fn readers(functions: &[FunctionView], table: &str) -> impl Iterator<Item = String> {
    let readers = functions
        .iter()
        .filter(move |one| one.tables_read.iter().any(|read| read == table));
    readers.map(|one| format!("{} {}", one.kind, one.name))
}

impl TableView {
    /// Without those who use it.
    fn of(descriptor: &'static TableDescriptor) -> TableView {
        let source = descriptor.global.and_then(|global| global.source);
        TableView {
            name: descriptor.name.to_owned(),
            kind: kind(descriptor.window),
            key: descriptor.key.to_owned(),
            value: descriptor.value.to_owned(),
            grace_ms: descriptor.grace,
            idle_ms: descriptor.idle,
            retention_ms: descriptor.retention,
            ttl_ms: descriptor.ttl,
            global: descriptor.global.is_some(),
            source: source.map(|topic| topic.name.to_owned()),
            changelog: None,
            local: descriptor.local,
            written_by: Vec::new(),
            read_by: Vec::new(),
            place: descriptor.place.to_string(),
        }
    }

    /// Where its rows are kept.
    pub(super) fn kept(&self) -> String {
        match (&self.changelog, &self.source) {
            (Some(changelog), _) => changelog.clone(),
            (None, Some(source)) => format!("topic {source}"),
            (None, None) if self.written_by.is_empty() => "none, nobody writes it".to_owned(),
            (None, None) => "none, in memory".to_owned(),
        }
    }
}

fn task(topology: &SubTopology) -> TaskView {
    TaskView {
        inputs: topology
            .timely_inputs()
            .map(|input| input.topic.clone())
            .collect(),
        agents: topology
            .agents
            .iter()
            .enumerate()
            .map(|(at, one)| agent(topology, at, one))
            .collect(),
        tables: topology
            .tables
            .iter()
            .map(|one| table(topology, one))
            .collect(),
    }
}

fn agent(topology: &SubTopology, at: usize, agent: &AgentPlan) -> AgentView {
    let descriptor = agent.descriptor;
    let tables = |writing: bool| {
        let edges = agent.shape.edges.iter().filter_map(move |edge| match edge {
            Edge::Table { table, writes } if *writes == writing => Some(table.name.to_owned()),
            Edge::Global(table) if !writing => Some(table.name.to_owned()),
            _ => None,
        });
        edges.collect()
    };
    let topic = |ix: usize| topology.outputs.get(ix).map(|output| output.topic.clone());
    AgentView {
        name: descriptor.name.to_owned(),
        feeds: agent.feeds.map(str::to_owned),
        group_by: descriptor
            .feeders
            .iter()
            .map(|feeder| grouped(descriptor, feeder))
            .collect(),
        reads: topology
            .timely_inputs()
            .filter(|i| i.agents.contains(&at) && !pattern::is_placeholder(&i.topic))
            .map(|i| i.topic.clone())
            .collect(),
        pattern: match descriptor.source {
            Source::Pattern(pattern) => Some(pattern),
            _ => None,
        },
        record: records(agent),
        joins: agent.shape.join.as_ref().map(joins),
        closes: agent.shape.closes.map(|table| table.name.to_owned()),
        call: CallView {
            every_ms: match descriptor.source {
                Source::Timer { every_ms } => Some(every_ms),
                _ => None,
            },
            crontab: by_calendar(descriptor.source).map(|when| when.called()),
            next: by_calendar(descriptor.source).and_then(|when| when.next(Utc::now())),
        },
        uses: UseView {
            tables_read: tables(false),
            tables_written: tables(true),
            after: agent
                .after
                .iter()
                .map(|&at| topology.agents[at].descriptor.name.to_owned())
                .collect(),
            circle: agent.circle.clone(),
            states: agent.shape.edges.iter().filter_map(state).collect(),
            sends: agent.shape.edges.iter().filter_map(sends).collect(),
            sink: agent.sink.and_then(topic),
        },
        concurrency: descriptor.options.concurrency,
        failure: FailureView {
            retries: descriptor.options.retries,
            backoff_ms: descriptor.options.backoff_ms,
            timeout_ms: descriptor.options.timeout_ms,
            on_error: policy(descriptor.options.on_error),
            on_decode_error: policy(descriptor.options.on_decode_error),
            on_tombstone: policy(
                descriptor
                    .options
                    .on_tombstone
                    .unwrap_or(descriptor.options.on_decode_error),
            ),
            dead_letter_topic: agent.dead_letters.and_then(topic).unwrap_or_default(),
        },
        place: descriptor.place.to_string(),
    }
}

/// What arrives; of a join the left record and the right one.
fn records(agent: &AgentPlan) -> Option<String> {
    let name = agent.shape.input?.full_name();
    Some(match &agent.shape.join {
        Some(join) => format!("{name}, {}", join.right.full_name()),
        None => name,
    })
}

/// `left join within 10m, grace 1m`.
fn joins(join: &JoinShape) -> String {
    let within = duration::format(join.within);
    let grace = match join.buffers[0].grace {
        0 => String::new(),
        grace => format!(", grace {}", duration::format(grace)),
    };
    format!("{} join within {within}{grace}", join.kind())
}

/// `country of views`; by a closure: `a closure of views`.
fn grouped(agent: &AgentDescriptor, feeder: &AgentDescriptor) -> String {
    let by = feeder
        .name
        .strip_prefix(agent.name)
        .and_then(|rest| rest.strip_prefix('-'))
        .unwrap_or("a closure");
    let topics = match feeder.source {
        Source::Topics(topics) => topics.join(", "),
        Source::Pattern(pattern) => pattern::placeholder(pattern),
        Source::Closed => {
            let closes = (feeder.shape)().closes;
            closes.map_or_else(String::new, |table| {
                format!("closed windows of {}", table.name)
            })
        }
        Source::Timer { .. } | Source::Crontab { .. } => String::new(),
    };
    format!("{by} of {topics}")
}

fn by_calendar(source: Source) -> Option<When> {
    match source {
        Source::Crontab {
            expression,
            timezone,
        } => Some(When::Crontab {
            expression,
            timezone,
        }),
        _ => None,
    }
}

impl AgentView {
    /// What calls it, of a timer or a crontab.
    pub(super) fn called(&self) -> Option<String> {
        let crontab = self.call.crontab.as_ref();
        let crontab = crontab.map(|when| format!("{when}, in each partition"));
        self.call.every_ms.map(every).or(crontab)
    }
}

fn state(edge: &Edge) -> Option<String> {
    match edge {
        Edge::State { name, .. } => Some(name().to_owned()),
        _ => None,
    }
}

fn sends(edge: &Edge) -> Option<String> {
    match edge {
        Edge::Sends(topic) => Some(topic.name.to_owned()),
        _ => None,
    }
}

fn policy(policy: OnError) -> &'static str {
    match policy {
        OnError::DeadLetter => "dead_letter",
        OnError::Skip => "skip",
        OnError::Stop => "stop",
    }
}

fn table(topology: &SubTopology, table: &TablePlan) -> TableView {
    let descriptor = table.descriptor;
    let users = |writing: bool| {
        let using = topology.agents.iter().filter(|agent| {
            let edges = agent.shape.edges.iter();
            let mut edges = edges
                .filter(|edge| matches!(edge, Edge::Table { table, .. } if *table == descriptor));
            edges.any(|edge| matches!(edge, Edge::Table { writes, .. } if *writes == writing))
                || (!writing && agent.shape.closes == Some(descriptor))
        });
        using
            .map(|agent| agent.descriptor.name.to_owned())
            .collect()
    };
    TableView {
        kind: match topology
            .agents
            .iter()
            .find_map(|agent| side(agent, descriptor))
        {
            Some(join) => format!("side of join {join}"),
            None => kind(descriptor.window),
        },
        changelog: table.changelog.clone(),
        written_by: users(true),
        read_by: users(false),
        ..TableView::of(descriptor)
    }
}

/// The join whose records a table keeps.
fn side(agent: &AgentPlan, table: &TableDescriptor) -> Option<&'static str> {
    let buffers = agent.shape.join.as_ref()?.buffers;
    buffers.contains(&table).then_some(agent.descriptor.name)
}

fn kind(window: Option<Window>) -> String {
    let text = duration::format;
    match window {
        None => "plain".to_owned(),
        Some(Window::Hopping { size, step }) if size != step => {
            format!("hopping {} step {}", text(size), text(step))
        }
        Some(Window::Tumbling { size } | Window::Hopping { size, .. }) => {
            format!("tumbling {}", text(size))
        }
        Some(Window::Session { gap }) => format!("session {}", text(gap)),
        Some(Window::Sliding { size }) => format!("sliding {}", text(size)),
    }
}

fn topics(plan: &Plan) -> Vec<TopicView> {
    let mut topics: BTreeMap<String, TopicView> = BTreeMap::new();
    let mut add = |name: &str, role: &'static str, record: Option<RecordInfo>| {
        let declared = plan.topics.get(name);
        let topic = topics.entry(name.to_owned()).or_insert_with(|| {
            let own = declared.map(|topic| (topic.record)());
            TopicView {
                name: name.to_owned(),
                roles: Vec::new(),
                record: own.map(|own| own.full_name()),
                key: own.map(|own| own.key.to_owned()),
                external: declared.is_some_and(|topic| topic.external),
                settings: BTreeMap::new(),
                place: declared.map(|topic| topic.place.to_string()),
            }
        });
        if !topic.roles.contains(&role) {
            topic.roles.push(role);
        }
        if let (None, Some(record)) = (&topic.record, record) {
            topic.record = Some(record.full_name());
            topic.key = Some(record.key.to_owned());
        }
    };
    for topology in &plan.topologies {
        let inputs = topology.inputs.iter();
        for input in inputs.filter(|input| !pattern::is_placeholder(&input.topic)) {
            add(
                &input.topic,
                match () {
                    () if input.is_repartition() => "repartition",
                    () if input.is_internal() => "internal",
                    () if input.again => "windows sent again",
                    () => "input",
                },
                Some(input.record),
            );
        }
        for agent in &topology.agents {
            if let Some(sink) = agent.sink.and_then(|ix| topology.outputs.get(ix))
                && agent.feeds.is_none()
            {
                add(&sink.topic, "output", agent.shape.output);
            }
        }
        for output in &topology.outputs {
            let role = match output.kind {
                OutputKind::Sink => "output",
                OutputKind::DeadLetters => "dead letters",
                OutputKind::Unreadable => "unreadable rows",
                OutputKind::Repartition => "repartition",
            };
            add(&output.topic, role, None);
        }
        for changelog in topology
            .tables
            .iter()
            .filter_map(|table| table.changelog.as_deref())
        {
            add(changelog, "changelog", None);
        }
    }
    for one in registry::registered!(JobDescriptor) {
        one.sends()
            .for_each(|topic| add(topic.name, one.when.role(), None));
    }
    for page in registry::registered!(PageDescriptor) {
        page.sends()
            .for_each(|topic| add(topic.name, "from pages", None));
    }
    for command in super::command::registered() {
        command
            .sends()
            .for_each(|topic| add(topic.name, "from commands", None));
    }
    // What workers need among themselves.
    if let Some(workers) = plan.topic_of_workers() {
        add(&workers, "workers", None);
    }
    if registry::registered!(JobDescriptor)
        .iter()
        .any(|one| one.on_leader)
    {
        add(&plan.leader_topic(), "leader", None);
    }
    // Declared, and used by nobody yet.
    for name in plan.topics.keys() {
        add(name, "declared", None);
    }
    for must in musts(plan) {
        if let Some(topic) = topics.get_mut(&must.topic) {
            topic.settings.extend(must.settings().iter().copied());
        }
    }
    topics
        .into_values()
        .map(|mut topic| {
            if topic.roles.len() > 1 {
                topic.roles.retain(|role| *role != "declared");
            }
            topic
        })
        .collect()
}
