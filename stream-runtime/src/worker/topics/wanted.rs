//! The topics that an app needs: names, partitions, settings.

use std::collections::{BTreeMap, BTreeSet};

use super::existing::{Existing, TOMBSTONES};
use crate::error::{Error, Kind};
use crate::kafka::TopicSettings;
use crate::topology::{InputPlan, OutputKind, Plan, SubTopology};
use crate::worker::settings::WorkerSettings;

/// The source topic of a dead-letter topic: its agent's first.
pub(super) fn dead_letters_of<'p>(plan: &'p Plan, name: &str) -> Option<&'p str> {
    plan.topologies.iter().find_map(|topology| {
        let at = topology
            .outputs
            .iter()
            .position(|o| o.kind == OutputKind::DeadLetters && o.topic == name)?;
        let agent = topology
            .agents
            .iter()
            .position(|agent| agent.dead_letters == Some(at))?;
        topology
            .inputs
            .iter()
            .find(|input| input.agents.contains(&agent))
            .map(|input| input.topic.as_str())
    })
}

/// One input of each sub-topology of which no input exists and no count is known.
pub(super) fn inputs_to_count(
    plan: &Plan,
    settings: &WorkerSettings,
    existing: &Existing,
) -> Vec<TopicSettings> {
    let open = plan
        .topologies
        .iter()
        .filter(|topology| partitions_of(topology, plan, settings, existing).is_none());
    let plain = |topology: &'_ SubTopology| {
        let mut inputs = topology.inputs.iter();
        inputs.position(|input| !input.is_repartition())
    };
    let names: BTreeSet<&str> = open
        .filter_map(|topology| Some(topology.inputs[plain(topology)?].topic.as_str()))
        .collect();
    names
        .into_iter()
        .map(|name| topic(plan, settings, name, None, &[]))
        .collect()
}

/// All topics that are missing.
pub(super) fn wanted(
    plan: &Plan,
    settings: &WorkerSettings,
    existing: &Existing,
) -> Vec<TopicSettings> {
    let mut wanted: BTreeMap<String, TopicSettings> = BTreeMap::new();
    let mut add = |name: &str, partitions: Option<i32>, config: &[(&str, String)]| {
        if !existing.contains_key(name) {
            wanted
                .entry(name.to_owned())
                .or_insert_with(|| topic(plan, settings, name, partitions, config));
        }
    };
    for topology in &plan.topologies {
        let partitions = partitions_of(topology, plan, settings, existing);
        for input in &topology.inputs {
            // Whatever the broker's defaults say; its stamps are event times.
            let repartition = [
                ("cleanup.policy", "delete".to_owned()),
                ("retention.bytes", "-1".to_owned()),
                ("message.timestamp.type", "CreateTime".to_owned()),
            ];
            let config = match input.is_repartition() {
                true => &repartition[..],
                false => &[],
            };
            add(&input.topic, partitions, config);
        }
        for changelog in topology
            .tables
            .iter()
            .filter_map(|table| table.changelog.as_deref())
        {
            let config = [
                ("cleanup.policy", "compact".to_owned()),
                ("delete.retention.ms", TOMBSTONES.as_millis().to_string()),
            ];
            add(changelog, partitions, &config);
        }
    }
    for global in plan.globals() {
        // A changelog has its table's count, and is wanted by now.
        add(&global.topic, settings.new_topics.partitions, &[]);
    }
    if let Some(leader) = &settings.leader_topic {
        add(leader, Some(1), &[]);
    }
    for output in plan
        .topologies
        .iter()
        .flat_map(|topology| &topology.outputs)
    {
        let partitions = settings.new_topics.partitions;
        let letters = [("cleanup.policy", "delete".to_owned())];
        let (partitions, config) = match output.kind {
            OutputKind::DeadLetters | OutputKind::Unreadable => {
                (partitions.or(Some(1)), &letters[..])
            }
            OutputKind::Sink => (partitions, &[][..]),
            // Made with the inputs of its reader.
            OutputKind::Repartition => continue,
        };
        add(&output.topic, partitions, config);
    }
    wanted.into_values().collect()
}

fn topic(
    plan: &Plan,
    settings: &WorkerSettings,
    name: &str,
    partitions: Option<i32>,
    config: &[(&str, String)],
) -> TopicSettings {
    let declared = plan.topics.get(name).copied();
    settings
        .new_topics
        .topic(name, declared, partitions, config)
}

/// How many partitions the inputs of a sub-topology have, or are to have; `None`: as the broker likes, or as their
/// sources when these have been made.
pub(super) fn partitions_of(
    topology: &SubTopology,
    plan: &Plan,
    settings: &WorkerSettings,
    existing: &Existing,
) -> Option<i32> {
    let there = |repartition: bool| {
        let inputs = topology.inputs.iter();
        inputs
            .filter(|input| input.is_repartition() == repartition)
            .find_map(|input| existing.get(&input.topic))
            .map(|view| view.partitions)
    };
    let declared = topology
        .inputs
        .iter()
        .find_map(|input| plan.topics.get(input.topic.as_str())?.partitions);
    let table = topology
        .tables
        .iter()
        .find_map(|table| table.descriptor.partitions);
    let own = there(false).or(declared).or_else(|| there(true)).or(table);
    if own.is_some() || topology.inputs.iter().any(|i| !i.is_repartition()) {
        return own.or(settings.new_topics.partitions);
    }
    // Repartition topics alone: as many as the tasks have that fill them.
    let fills = |other: &&SubTopology| {
        let fills = |input: &InputPlan| other.outputs.iter().any(|o| o.topic == input.topic);
        topology.inputs.iter().any(fills)
    };
    let counts = plan.topologies.iter().filter(fills);
    let counts = counts.filter(|other| other.index != topology.index);
    let counts: Option<Vec<i32>> = counts
        .map(|other| partitions_of(other, plan, settings, existing))
        .collect();
    counts?.into_iter().max()
}

/// All inputs and changelogs of a task have the same number of partitions.
pub(in crate::worker) fn check(topology: &SubTopology, existing: &Existing) -> Result<(), Error> {
    let count = |name: &str| existing.get(name).map(|view| view.partitions);
    let counts: Vec<(&str, i32)> = topology
        .inputs
        .iter()
        .filter_map(|input| Some((input.topic.as_str(), count(&input.topic)?)))
        .collect();
    let Some((first, expected)) = counts.first().copied() else {
        return Ok(());
    };
    if let Some((other, found)) = counts.iter().copied().find(|(_, found)| *found != expected) {
        let repartition = |name: &str| {
            let mut inputs = topology.inputs.iter();
            inputs.any(|input| input.topic == name && input.is_repartition())
        };
        let cure = if repartition(first) || repartition(other) {
            "stop all workers and `reset` the app, which makes repartition topics again"
        } else {
            "give the smaller one as many as the other where nothing is counted by their keys yet, else make the larger one again with as many as the smaller"
        };
        return Err(Error::new(
            Kind::Topology,
            format!(
                "topics `{first}` (of {expected} partitions) and `{other}` (of {found}) are read together and need the same number of partitions: {cure}"
            ),
        ));
    }
    for table in &topology.tables {
        if let Some(changelog) = &table.changelog
            && let Some(found) = count(changelog)
            && found != expected
        {
            return Err(Error::new(
                Kind::Topology,
                format!(
                    "`{first}` has {expected} partitions and the changelog `{changelog}` of table `{}` has {found}: rows would be looked for in other partitions than they are in. Kafka takes no partitions away: to keep the rows, make a topic of {found} partitions with the records of `{first}` and read that one; `reset` starts again with {expected} (what was sent before lies by its keys among fewer partitions: send it again)",
                    table.descriptor.name
                ),
            ));
        }
    }
    Ok(())
}

/// The same while a worker runs, whose inputs had so many partitions when it began.
pub(in crate::worker) fn grown(
    topology: &SubTopology,
    before: Option<i32>,
    existing: &Existing,
) -> Result<(), Error> {
    check(topology, existing).map_err(|error| {
        let views = topology.inputs.iter();
        let mut views = views.filter_map(|input| existing.get(&input.topic));
        match (views.find(|view| before < Some(view.partitions)), before) {
            (Some(view), Some(before)) => error.context(format!(
                "`{}` has grown from {before} to {} partitions while the worker runs",
                view.name, view.partitions
            )),
            _ => error,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{Properties, TopicView};
    use crate::topology::{OutputPlan, RecordInfo};

    fn plan(inputs: &[&str], sinks: &[&str]) -> Plan {
        let record = RecordInfo::of::<String, String>();
        let topology = SubTopology {
            inputs: inputs
                .iter()
                .map(|t| InputPlan {
                    topic: (*t).into(),
                    agents: vec![],
                    record,
                    sources: vec![],
                    windows_of: None,
                    feeders: vec![],
                    declared: None,
                    found: false,
                    again: false,
                })
                .collect(),
            outputs: sinks
                .iter()
                .map(|t| OutputPlan {
                    topic: (*t).into(),
                    kind: OutputKind::Sink,
                })
                .collect(),
            ..SubTopology::default()
        };
        Plan {
            app: "app".into(),
            topologies: vec![topology],
            topics: BTreeMap::new(),
            patterns: Vec::new(),
            outside: Vec::new(),
        }
    }

    fn there(topics: &[(&str, i32)]) -> Existing {
        let view = |(name, partitions): &(&str, i32)| {
            (
                (*name).to_owned(),
                TopicView {
                    name: (*name).to_owned(),
                    partitions: *partitions,
                    replication: 1,
                },
            )
        };
        topics.iter().map(view).collect()
    }

    fn made(plan: &Plan, existing: &Existing) -> Vec<(String, Option<i32>)> {
        let settings = WorkerSettings::new(Properties::default(), ".");
        wanted(plan, &settings, existing)
            .into_iter()
            .map(|t| (t.name, t.partitions))
            .collect()
    }

    #[test]
    fn a_missing_input_gets_as_many_partitions_as_its_neighbour() {
        let plan = plan(&["a", "b"], &["out"]);
        assert_eq!(
            made(&plan, &there(&[("a", 3)])),
            [("b".into(), Some(3)), ("out".into(), None)]
        );
        assert_eq!(made(&plan, &there(&[("a", 3), ("b", 3), ("out", 9)])), []);
    }

    #[test]
    fn without_any_count_one_input_takes_the_broker_s_and_the_others_follow() {
        let plan = plan(&["a", "b"], &[]);
        let settings = WorkerSettings::new(Properties::default(), ".");
        let first = inputs_to_count(&plan, &settings, &there(&[]));
        assert_eq!(
            first
                .iter()
                .map(|t| (t.name.as_str(), t.partitions))
                .collect::<Vec<_>>(),
            [("a", None)]
        );
        assert_eq!(made(&plan, &there(&[("a", 7)])), [("b".into(), Some(7))]);
        assert_eq!(inputs_to_count(&plan, &settings, &there(&[("b", 7)])), []);
    }

    #[test]
    fn counts_that_differ_name_both_and_the_cure() {
        let plan = plan(&["a", "b"], &[]);
        assert!(check(&plan.topologies[0], &there(&[("a", 3), ("b", 3)])).is_ok());
        let error = check(&plan.topologies[0], &there(&[("a", 3), ("b", 4)]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`a` (of 3 partitions)") && error.contains("`b` (of 4)"),
            "{error}"
        );
    }

    mod declared {
        use crate::prelude::*;

        #[topic(
            "declared",
            value = String,
            partitions = 5,
            replication_factor = 2,
            retention = "7d",
            compact
        )]
        pub struct Declared;
    }

    #[test]
    fn a_declared_topic_is_made_as_it_says_and_others_as_the_app_says() {
        let mut plan = plan(&["in"], &["declared", "plain"]);
        let declared = <declared::Declared as crate::TopicSpec>::DESCRIPTOR;
        plan.topics.insert(declared.name, declared);
        let mut settings = WorkerSettings::new(Properties::default(), ".");
        settings.new_topics.partitions = Some(7);
        settings.new_topics.replication_factor = Some(3);
        let made = wanted(&plan, &settings, &there(&[("in", 4)]));
        let seen: Vec<_> = made
            .iter()
            .map(|topic| (&*topic.name, topic.partitions, topic.replication))
            .collect();
        assert_eq!(
            seen,
            [("declared", Some(5), Some(2)), ("plain", Some(7), Some(3))]
        );
        let setting = |topic: &TopicSettings, name: &str| {
            let mut all = topic.config.iter().filter(|(known, _)| known == name);
            let first = all.next().map(|(_, value)| value.clone());
            assert_eq!(all.next(), None, "{name} is said once");
            first
        };
        assert_eq!(
            setting(&made[0], "retention.ms").as_deref(),
            Some("604800000")
        );
        assert_eq!(
            setting(&made[0], "cleanup.policy").as_deref(),
            Some("compact")
        );
        assert_eq!(setting(&made[1], "retention.ms").as_deref(), Some("-1"));
        assert_eq!(setting(&made[1], "cleanup.policy"), None);
    }

    /// `a` is read with another key as `r`, beside `others`.
    fn repartitioned(others: &[&str]) -> Plan {
        let mut plan = plan(&["a"], &[]);
        let mut reader = self::plan(&[&["r"], others].concat(), &[])
            .topologies
            .remove(0);
        reader.index = 1;
        reader.inputs[0].sources = vec!["a".into()];
        plan.topologies[0].outputs.push(OutputPlan {
            topic: "r".into(),
            kind: OutputKind::Repartition,
        });
        plan.topologies.push(reader);
        plan
    }

    #[test]
    fn a_repartition_topic_has_as_many_partitions_as_its_source() {
        let plan = repartitioned(&[]);
        let settings = WorkerSettings::new(Properties::default(), ".");
        let first = inputs_to_count(&plan, &settings, &there(&[]));
        assert_eq!(
            first.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(),
            ["a"]
        );
        assert_eq!(made(&plan, &there(&[("a", 5)])), [("r".into(), Some(5))]);
        let mut settings = settings;
        settings.new_topics.partitions = Some(7);
        let wanted = wanted(&plan, &settings, &there(&[("a", 5)]));
        assert_eq!(wanted[0].partitions, Some(5), "the source's, not the app's");
        for (name, value) in [("cleanup.policy", "delete"), ("retention.ms", "-1")] {
            let config = &wanted[0].config;
            assert!(config.contains(&(name.into(), value.into())), "{config:?}");
        }
    }

    #[test]
    fn a_repartition_topic_has_as_many_partitions_as_the_other_inputs_of_its_reader() {
        let plan = repartitioned(&["b"]);
        assert_eq!(
            made(&plan, &there(&[("a", 5), ("b", 3)])),
            [("r".into(), Some(3))]
        );
        // What exists stays, and what differs is said with its cure.
        let existing = there(&[("a", 5), ("b", 3), ("r", 5)]);
        let error = check(&plan.topologies[1], &existing)
            .unwrap_err()
            .to_string();
        assert!(error.contains("`reset`"), "{error}");
    }
}
