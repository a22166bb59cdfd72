//! A task from its sub-topology: its tables opened, its agents made.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::agent::{AgentOutputs, AgentState, AgentWaker, Holds, Order, Role, Status, Wakeup};
use super::calls::Calls;
use super::calls::Crontab;
use super::calls::Timer;
use super::dispatch::Dispatch;
use super::inbox::Inbox;
use super::limits::OutputLimit;
use super::limits::OutputTopics;
use super::poll_probe::Pulse;
use super::sources::{Feeder, InputKind, Sources};
use super::state::{Counters, Effects, Inputs, States, TaskSettings, TaskState, Times};
use super::task::Task;
use crate::error::Error;
use crate::schedule::Schedule;
use crate::store::Tree;
use crate::table::{Clock, Description, LogPlace, OpenTable, TablePartition, open_described};
use crate::topology::{AgentPlan, FeederTime, InputPlan, Source, SubTopology, TablePlan};

/// What a task is made of.
pub struct TaskParts {
    /// Its sub-topology.
    pub topology: Arc<SubTopology>,
    /// Its partition.
    pub partition: i32,
    /// Partitions of its inputs; 0 when that is not known.
    pub partitions: i32,
    /// Of each input, by its feeders: the partitions that they have; 0 when that is not known.
    pub sources: Vec<Vec<i32>>,
    /// Settings.
    pub settings: TaskSettings,
    /// One tree per table; `None` for `changelog = false`.
    pub trees: Vec<Option<Arc<dyn Tree>>>,
    /// Resources of the app.
    pub states: Arc<States>,
    /// Wakes the thread that runs the task.
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// Where the task says whose code is running.
    pub pulse: Arc<Pulse>,
}
/// The feeders of an input, with their counts of partitions.
fn feeders_of(input: &InputPlan, counts: &[i32]) -> Vec<Feeder> {
    let counts = counts.iter().copied().chain(std::iter::repeat(0));
    let feeders = input.feeders.iter().zip(counts);
    feeders
        .map(|(feeder, partitions)| Feeder {
            number: feeder.number,
            name: match (input.windows_of, input.is_internal()) {
                (Some(table), _) => table.name.to_owned(),
                (None, true) => feeder.agent.to_owned(),
                (None, false) => input.sources.join("+"),
            },
            partitions,
            windows: feeder.time == FeederTime::Closed,
        })
        .collect()
}

impl Task {
    /// Opens the task's tables and makes its agents. Nothing runs until [`Task::run`].
    ///
    /// # Errors
    /// A table was registered by another version of the runtime.
    pub fn new(parts: TaskParts) -> Result<Task, Error> {
        let TaskParts {
            topology,
            partition,
            partitions,
            sources,
            settings,
            trees,
            states,
            wake,
            pulse,
        } = parts;
        let clock = Rc::new(Clock::default());
        clock.place.set((partition, partitions));
        let log = |table: &TablePlan| LogPlace {
            topic: table.changelog.clone(),
            end: Cell::default(),
        };
        let logs: Vec<Rc<LogPlace>> = topology.tables.iter().map(log).map(Rc::new).collect();
        let tables: Vec<Rc<dyn TablePartition>> = topology
            .tables
            .iter()
            .zip(trees)
            .zip(&logs)
            .map(|((table, tree), log)| {
                open_described(
                    table.descriptor,
                    OpenTable {
                        clock: clock.clone(),
                        tree,
                        cache_bytes: settings.cache_bytes,
                        row_limit: settings.limits.rows(table.changelog.as_deref()),
                        read_back: settings.read_back,
                        log: Rc::clone(log),
                    },
                )
            })
            .collect::<Result<_, _>>()?;
        let described = topology.tables.iter().map(|table| {
            let alone = topology.goes_alone(table.descriptor);
            let own = Description::of(table.descriptor).of_side(alone);
            let encoded = own.encoded()?;
            Ok((own, encoded))
        });
        let described = described.collect::<Result<_, Error>>()?;
        let agents: Vec<AgentState> = topology
            .agents
            .iter()
            .enumerate()
            .map(|(at, agent)| AgentState {
                name: agent.feeds.unwrap_or(agent.descriptor.name),
                role: match (agent.feeds, &agent.shape.join) {
                    (Some(_), _) => Role::Hop,
                    (None, Some(_)) => Role::Join,
                    (None, None) => Role::Agent,
                },
                options: agent.descriptor.options,
                writes: agent.writes.clone(),
                reads: agent.reads.clone(),
                needs_key: agent.needs_key,
                order: Order {
                    after: agent.after.clone(),
                    before: topology.followers(at),
                },
                outputs: AgentOutputs {
                    sink: agent.sink,
                    dead_letters: agent.dead_letters,
                },
                status: Cell::new(Status::Idle),
                attempts: Cell::new(0),
                deadline: Cell::new(None),
                staging: RefCell::default(),
                heads: RefCell::default(),
                holds: Holds::default(),
                wakeup: Wakeup {
                    poke: Cell::new(true),
                    waker: Arc::new(AgentWaker {
                        woken: AtomicBool::new(false),
                        thread: wake.clone(),
                    }),
                },
            })
            .collect();
        let wakers = agents
            .iter()
            .map(|a| a.wakeup.waker.clone().into())
            .collect();
        let count = agents.len();
        let every = |(agent, plan): (usize, &AgentPlan)| match plan.descriptor.source {
            Source::Timer { every_ms } => Some(Timer {
                agent,
                every: every_ms.max(1),
                next: Cell::new(0),
            }),
            _ => None,
        };
        let timers: Vec<Timer> = topology
            .agents
            .iter()
            .enumerate()
            .filter_map(every)
            .collect();
        let by_calendar = |(agent, plan): (usize, &AgentPlan)| match plan.descriptor.source {
            Source::Crontab {
                expression,
                timezone,
            } => Some(
                Schedule::new(expression, timezone)
                    .map(|schedule| Crontab::new(agent, plan.descriptor.name, schedule))
                    .map_err(|error| error.context(plan.descriptor.place)),
            ),
            _ => None,
        };
        let crontabs = topology.agents.iter().enumerate();
        let crontabs: Vec<Crontab> = crontabs.filter_map(by_calendar).collect::<Result<_, _>>()?;
        let ahead = topology
            .inputs
            .iter()
            .map(|input| {
                let own = input.declared.and_then(|topic| topic.max_ahead_ms);
                own.unwrap_or(settings.max_ahead)
            })
            .collect();
        let limits = topology.outputs.iter();
        let limits = limits
            .map(|output| OutputLimit::new(&settings.limits, &output.topic))
            .collect();
        let hops = super::hop::of(
            &topology,
            partition,
            partitions,
            settings.watermarks_a_second,
        );
        let feeds = (0..topology.inputs.len()).map(|input| {
            let feeds = |at: &usize| hops[*at].reads.contains(&input);
            (0..hops.len()).filter(feeds).collect()
        });
        let feeds = feeds.collect();
        let origins = topology.inputs.iter().enumerate().map(|(at, input)| {
            let counts = sources.get(at).map_or(&[][..], Vec::as_slice);
            let kind = match (input.again, input.is_fed()) {
                (true, _) => InputKind::Again,
                (_, true) => InputKind::Fed(feeders_of(input, counts)),
                (_, false) => InputKind::Direct,
            };
            (input.topic.as_str(), kind)
        });
        let sources = Sources::of(origins);
        let no_mark = topology.keeps_sources_beside_offsets();
        if let Some(sources) = sources.as_ref().filter(|_| no_mark) {
            sources.fit_beside_offsets()?;
        }
        let closers = (0..tables.len()).map(|table| {
            let closes = |agent: &usize| topology.agents[*agent].closes.contains(&table);
            (0..count).filter(closes).collect()
        });
        let dispatch = Dispatch::new(closers.collect());
        let shared = Rc::new(TaskState {
            times: Times {
                wall: Cell::new(0),
                mono: Cell::new(0),
                sources,
                hops,
                generation: Cell::new(-1),
            },
            inputs: Inputs {
                inboxes: { topology.inputs.iter() }
                    .map(|input| RefCell::new(Inbox::new(input.is_fed())))
                    .collect(),
                timely: topology.timely(),
                names: { topology.inputs.iter() }
                    .map(|input| Rc::from(&*input.topic))
                    .collect(),
                sources: { topology.inputs.iter() }
                    .map(|input| match input.windows_of {
                        Some(table) => vec![table.name.to_owned()],
                        None => input.sources.clone(),
                    })
                    .collect(),
                ahead,
                feeds,
                readers: topology.inputs.iter().map(|i| i.agents.clone()).collect(),
                lacking: Cell::new(None),
            },
            outputs: OutputTopics {
                topics: { topology.outputs.iter() }
                    .map(|output| Rc::from(&*output.topic))
                    .collect(),
                limits,
                late: topology.tables.iter().map(|t| t.late).collect(),
                unreadable: topology.tables.iter().map(|t| t.unreadable).collect(),
            },
            settings,
            partition,
            clock,
            tables,
            agents,
            states,
            calls: Calls::new(timers, crontabs),
            dispatch,
            effects: Effects::default(),
            counters: Counters::default(),
            revoked: Cell::new(false),
            failure: RefCell::default(),
        });
        let weak = Rc::downgrade(&shared);
        shared.clock.keys.are(Box::new(move |see| {
            if let Some(shared) = weak.upgrade() {
                shared.each_key(see);
            }
        }));
        let mut task = Task {
            marks: vec![None; topology.tables.len()],
            logs,
            described,
            futures: Vec::new(),
            topology,
            shared,
            wakers,
            prepared: Default::default(),
            pulse,
        };
        task.futures = (0..count).map(|agent| Some(task.make(agent))).collect();
        Ok(task)
    }
}
