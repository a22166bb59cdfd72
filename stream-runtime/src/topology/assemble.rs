//! From what the attributes declare to a plan: agents are drafted, grouped, joined and checked.

use std::collections::BTreeMap;

use super::descriptor::Source;
use super::groups::{group, join};
use super::pattern::Candidates;
use super::plan::{PatternPlan, Plan, PlanParts, Problem, SubTopology};
use super::resolve::{Draft, drafts_view, no_partitions};

/// What the agents' patterns match.
fn patterns(parts: &PlanParts<'_>, problems: &mut Vec<Problem>) -> Vec<PatternPlan> {
    let candidates = Candidates::new(parts.name, &parts.agents, parts.existing);
    let mut patterns = Vec::new();
    for agent in &parts.agents {
        let Source::Pattern(pattern) = agent.source else {
            continue;
        };
        match candidates.matching(pattern) {
            Ok(topics) => patterns.push(PatternPlan {
                agent: agent.name,
                pattern,
                topics,
            }),
            Err(error) => problems.push(Problem {
                message: format!(
                    "agent `{}`: `pattern` is not a regular expression: {error}",
                    agent.name
                ),
                places: vec![agent.place],
            }),
        }
    }
    patterns.sort_by_key(|found| found.agent);
    patterns
}

/// Joins and checks.
///
/// # Errors
/// Every problem at once, in the order of their messages.
pub fn plan(parts: PlanParts<'_>) -> Result<Plan, Vec<Problem>> {
    let mut problems = Vec::new();
    let patterns = patterns(&parts, &mut problems);
    let mut drafts: Vec<Draft> = parts
        .agents
        .iter()
        .flat_map(|d| Draft::of(parts.app, d, &patterns))
        .collect();
    drafts.sort_by_key(|d| {
        (
            d.descriptor.name,
            d.descriptor.place.module,
            d.descriptor.place.line,
        )
    });
    super::check::check(&drafts_view(&drafts), &parts, &mut problems);
    if !problems.is_empty() {
        problems.sort_by(|a, b| a.message.cmp(&b.message));
        problems.dedup();
        return Err(problems);
    }
    let groups = group(&drafts);
    let homeless: Vec<&Draft> = groups
        .iter()
        .map(|members| &drafts[members[0]])
        .filter(|first| first.is_timer())
        .collect();
    if !homeless.is_empty() {
        return Err(homeless.iter().map(|timer| no_partitions(timer)).collect());
    }
    let mut topologies = Vec::with_capacity(groups.len());
    let mut number = 0;
    for members in groups {
        let drafts: Vec<&Draft> = members.iter().map(|&i| &drafts[i]).collect();
        topologies.push(join(parts.app, topologies.len(), &drafts, &mut number));
    }
    let topics: BTreeMap<_, _> = parts.topics.iter().map(|t| (t.name, *t)).collect();
    for input in topologies
        .iter_mut()
        .flat_map(|t: &mut SubTopology| &mut t.inputs)
    {
        input.declared = topics.get(input.topic.as_str()).copied();
    }
    for topology in &mut topologies {
        topology.add_again(parts.app, parts.existing);
    }
    super::fed::tell(&mut topologies, &mut problems);
    super::circles::of_time(&topologies, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    super::fed::name_sources(&mut topologies);
    let plan = Plan {
        app: parts.app.to_owned(),
        topologies,
        topics,
        patterns,
        outside: Vec::new(),
    };
    super::check::partitions(&plan, &mut problems);
    if problems.is_empty() {
        Ok(plan)
    } else {
        Err(problems)
    }
}
