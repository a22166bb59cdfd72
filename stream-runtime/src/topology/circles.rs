//! Tasks that would wait for themselves: what they send comes back to them, and their time is that of who sends it.

use super::descriptor::{SourceLocation, TableDescriptor};
use super::plan::{InputPlan, Problem, SubTopology};

/// One step from a task to the one that wrote what it reads: that one's index, and the topic.
type Step<'a> = (usize, &'a InputPlan);

/// Appends a problem for each circle of tasks whose times make each other's.
pub(super) fn of_time(topologies: &[SubTopology], problems: &mut Vec<Problem>) {
    // Who makes the time of each, and by which topic.
    let from: Vec<Vec<Step<'_>>> = topologies
        .iter()
        .map(|to| {
            let fed = to.inputs.iter().flat_map(|input| {
                let feeders = input.feeders.iter();
                let feeders = feeders.filter(|feeder| feeder.time.follows_its_task());
                feeders.map(move |feeder| (feeder.topology, input))
            });
            fed.collect()
        })
        .collect();
    let mut told: Vec<usize> = Vec::new();
    for first in 0..topologies.len() {
        let mut open = vec![(first, Vec::new())];
        let mut seen = Vec::new();
        while let Some((at, way)) = open.pop() {
            for &(before, input) in &from[at] {
                let way = [&way[..], &[(before, input)]].concat();
                if before != first {
                    if !seen.contains(&before) {
                        seen.push(before);
                        open.push((before, way));
                    }
                    continue;
                }
                if !way.iter().any(|(at, _)| told.contains(at)) {
                    told.extend(way.iter().map(|(at, _)| *at));
                    problems.push(
                        match way.iter().all(|(_, input)| input.windows_of.is_some()) {
                            true => of_windows(&topologies[first], &way),
                            false => of_topics(topologies, &way),
                        },
                    );
                }
            }
        }
    }
}

/// Windows that come, with another key, to the task that closes them, at once or by way of others.
fn of_windows(first: &SubTopology, way: &[Step<'_>]) -> Problem {
    let mut tables: Vec<&'static TableDescriptor> = way
        .iter()
        .rev()
        .filter_map(|(_, input)| input.windows_of)
        .collect();
    let names: Vec<String> = tables.iter().map(|t| format!("`{}`", t.name)).collect();
    let fed = first.agents.iter().filter(|agent| {
        let mut reads = agent.reads.iter();
        reads.any(|at| first.inputs[*at].windows_of.is_some())
    });
    let agents: Vec<SourceLocation> = fed.map(|agent| agent.descriptor.place).collect();
    tables.dedup();
    Problem {
        message: format!(
            "the windows of {} come back with another key (`group_by`) to the task in which table {} is kept, which would wait for \
             itself before it closes any: what comes of them belongs in tables that share no agent and no topic with those",
            names.join(", by way of those of "),
            names.first().map_or("", String::as_str)
        ),
        places: tables
            .iter()
            .map(|table| table.place)
            .chain(agents)
            .collect(),
    }
}

/// Results that come back, by topics of the app, to the task that they come from.
fn of_topics(topologies: &[SubTopology], way: &[Step<'_>]) -> Problem {
    let way = || way.iter().rev();
    let topics: Vec<String> = way()
        .map(|(_, input)| format!("`{}`", input.topic))
        .collect();
    let writers = way().flat_map(|(at, input)| {
        let named = input
            .feeders
            .iter()
            .filter(move |feeder| feeder.topology == *at);
        let agents = topologies[*at].agents.iter();
        let agents = agents.filter(move |agent| {
            let mut named = named.clone();
            named.any(|feeder| feeder.agent == agent.descriptor.name)
        });
        agents.map(|agent| agent.descriptor.place)
    });
    let declared = way().filter_map(|(_, input)| Some(input.declared?.place));
    Problem {
        message: format!(
            "what is sent to {} comes back to the task that sends it, and by `internal` (or `group_by`) that task's time is its own: it \
             would wait for itself; take `internal` out of one of these topics, or let another agent do the last step",
            topics.join(", then to ")
        ),
        places: declared.chain(writers).collect(),
    }
}
