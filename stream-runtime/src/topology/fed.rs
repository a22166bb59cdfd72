//! Topics whose readers go by the times of the tasks that write them: repartition topics, and those declared
//! `internal`.

use std::collections::BTreeSet;

use super::descriptor::{Edge, TopicDescriptor};
use super::feeder::{FeederPlan, FeederTime, FillPlan};
use super::plan::{AgentPlan, InputPlan, OutputKind, Problem, SubTopology};

impl FeederTime {
    /// The time of an agent in its sub-topology.
    fn of(agent: &AgentPlan, topology: &SubTopology) -> Self {
        let join = agent.shape.join.as_ref();
        let closes =
            agent.shape.closes.is_some() || join.is_some_and(|join| join.alone != [false; 2]);
        let is_fed = |at: &usize| topology.inputs[*at].is_fed();
        match closes {
            true => FeederTime::Closed,
            false if agent.reads.iter().any(is_fed) => FeederTime::Stream,
            false => FeederTime::Read,
        }
    }
}

/// Returns the number of an agent among those that write one `internal` topic, from 1 to 32 767: by its name, so that
/// it stays when others come and go.
fn number(agent: &str) -> i32 {
    // FNV-1a, folded to 15 bits.
    let hash = agent.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    ((hash ^ (hash >> 15)) & 0x7fff).max(1).cast_signed()
}

/// Finds out who fills the topics whose readers go by their writers' times, and tells both.
pub(super) fn tell(topologies: &mut [SubTopology], problems: &mut Vec<Problem>) {
    let internal = internal_inputs(topologies);
    let mut fills = Vec::new();
    for (at, topology) in topologies.iter().enumerate() {
        for (output, plan) in topology.outputs.iter().enumerate() {
            let declared = internal.iter().find(|topic| topic.name == plan.topic);
            for (agent, writer) in topology.agents.iter().enumerate() {
                let number = match (plan.kind, declared) {
                    (OutputKind::Repartition, _) if writer.sink == Some(output) => 0,
                    (OutputKind::Sink, Some(_)) if writes(writer, output, &plan.topic) => {
                        number(writer.descriptor.name)
                    }
                    _ => continue,
                };
                let time = FeederTime::Read;
                fills.push((
                    at,
                    FillPlan {
                        agent,
                        output,
                        number,
                        time,
                    },
                ));
            }
            if let Some(topic) = declared {
                refuse(topic, topology, output, problems);
            }
        }
    }
    for (at, fill) in &fills {
        let topology = &topologies[*at];
        let topic = topology.outputs[fill.output].topic.clone();
        let feeder = FeederPlan {
            agent: topology.agents[fill.agent].descriptor.name,
            topology: *at,
            number: fill.number,
            time: fill.time,
        };
        let inputs = topologies
            .iter_mut()
            .flat_map(|topology| &mut topology.inputs);
        for input in inputs.filter(|input| input.topic == topic) {
            input.feeders.push(feeder.clone());
        }
    }
    // Who reads what others fill is known by now.
    let mut times = Vec::new();
    for (at, mut fill) in fills {
        let topology = &mut topologies[at];
        let agent = &topology.agents[fill.agent];
        fill.time = FeederTime::of(agent, topology);
        times.push((agent.descriptor.name, fill.time));
        topology.fills.push(fill);
    }
    for input in topologies
        .iter_mut()
        .flat_map(|topology| &mut topology.inputs)
    {
        for feeder in &mut input.feeders {
            let own = times.iter().find(|(agent, _)| *agent == feeder.agent);
            feeder.time = own.map_or(feeder.time, |(_, time)| *time);
        }
        one_number_each(input, problems);
    }
}

/// The topics that are declared `internal` and read by agents.
fn internal_inputs(topologies: &[SubTopology]) -> Vec<&'static TopicDescriptor> {
    let inputs = topologies.iter().flat_map(|topology| &topology.inputs);
    let declared = inputs.filter_map(|input| input.declared);
    declared.filter(|topic| topic.internal).collect()
}

/// Returns whether an agent sends to an output, by what it returns or by hand.
fn writes(agent: &AgentPlan, output: usize, topic: &str) -> bool {
    let by_hand = |edge: &Edge| matches!(edge, Edge::Sends(to) if to.name == topic);
    agent.sink == Some(output) || agent.shape.edges.iter().any(by_hand)
}

/// What has no time that could be told does not go into an internal topic.
fn refuse(
    topic: &TopicDescriptor,
    topology: &SubTopology,
    output: usize,
    problems: &mut Vec<Problem>,
) {
    let mut say = |what: String, place| {
        problems.push(Problem {
            message: format!(
                "topic `{}` is `internal`, and {what}: send that to a topic of its own",
                topic.name
            ),
            places: vec![topic.place, place],
        });
    };
    for agent in &topology.agents {
        let (name, place) = (agent.descriptor.name, agent.descriptor.place);
        if let Some(what) = agent.descriptor.source.by_clock()
            && writes(agent, output, topic.name)
        {
            say(
                format!("{what} `{name}` sends to it by the wall clock"),
                place,
            );
        }
        if agent.dead_letters == Some(output) {
            say(format!("it gets the dead letters of agent `{name}`"), place);
        }
    }
    for table in &topology.tables {
        if table.late == Some(output) {
            let (name, place) = (table.descriptor.name, table.descriptor.place);
            say(
                format!("it gets what comes too late for table `{name}`"),
                place,
            );
        }
    }
}

/// Two writers of a topic that are named by the same number could not be told apart.
fn one_number_each(input: &InputPlan, problems: &mut Vec<Problem>) {
    for (at, feeder) in input.feeders.iter().enumerate() {
        let before = input.feeders[..at].iter();
        for other in before.filter(|other| other.number == feeder.number) {
            problems.push(Problem {
                message: format!(
                    "agents `{}` and `{}` write the `internal` topic `{}`, and the short numbers that its records name them by are the \
                     same by chance: give one of them another `name`",
                    other.agent, feeder.agent, input.topic
                ),
                places: input.declared.map(|topic| topic.place).into_iter().collect(),
            });
        }
    }
}

/// Says of the topics that windows or other agents' results fill which topics' records made these, over any number of
/// stages.
pub(super) fn name_sources(topologies: &mut [SubTopology]) {
    // After as many rounds as there are stages nothing is new.
    for _ in 0..topologies.len() {
        for at in 0..topologies.len() {
            for input in 0..topologies[at].inputs.len() {
                let plan = &topologies[at].inputs[input];
                if plan.windows_of.is_none() && !plan.is_internal() {
                    continue;
                }
                let names: BTreeSet<String> = plan
                    .feeders
                    .iter()
                    .flat_map(|feeder| made_from(feeder, &topologies[feeder.topology]))
                    .collect();
                topologies[at].inputs[input].sources = names.into_iter().collect();
            }
        }
    }
}

/// The topics whose records a feeder's come from.
fn made_from(feeder: &FeederPlan, topology: &SubTopology) -> Vec<String> {
    let inputs = topology.timely_inputs().enumerate();
    let reads = |at: usize| {
        let mut agents = topology.agents.iter();
        agents.any(|agent| agent.descriptor.name == feeder.agent && agent.reads.contains(&at))
    };
    let inputs = inputs.filter(|(at, _)| feeder.time == FeederTime::Closed || reads(*at));
    let names = inputs.flat_map(|(_, from)| std::iter::once(&from.topic).chain(&from.sources));
    names.cloned().collect()
}
