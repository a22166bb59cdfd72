//! Which tasks a list of partitions makes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::status::TaskName;
use crate::kafka::TopicPartition;
use crate::topology::SubTopology;

/// One partition of a sub-topology that this thread is given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TaskAssignment {
    /// Index of the sub-topology.
    pub(super) topology: usize,
    pub(super) partition: i32,
    /// Inputs whose same partition is not ours: such a task must not run.
    pub(super) missing: Vec<String>,
}

impl TaskAssignment {
    pub(super) fn name(&self) -> TaskName {
        (self.topology, self.partition)
    }
}

/// The tasks of an assignment, in the order of topology and partition.
pub(super) fn shares(
    topologies: &[Arc<SubTopology>],
    assigned: &[TopicPartition],
) -> Vec<TaskAssignment> {
    let ours: HashSet<(&str, i32)> = assigned
        .iter()
        .map(|(topic, partition)| (&**topic, *partition))
        .collect();
    let mut shares = BTreeMap::new();
    for (index, topology) in topologies.iter().enumerate() {
        for (topic, partition) in &ours {
            if topology.timely_inputs().any(|input| input.topic == *topic) {
                let missing = topology
                    .timely_inputs()
                    .filter(|input| !ours.contains(&(input.topic.as_str(), *partition)))
                    .map(|input| input.topic.clone())
                    .collect();
                shares.insert((index, *partition), missing);
            }
        }
    }
    shares
        .into_iter()
        .map(|((topology, partition), missing)| TaskAssignment {
            topology,
            partition,
            missing,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{InputPlan, RecordInfo};

    fn topology(index: usize, inputs: &[&str]) -> Arc<SubTopology> {
        let record = RecordInfo::of::<String, String>();
        let input = |topic: &&str| InputPlan {
            topic: (*topic).to_owned(),
            agents: vec![],
            record,
            sources: vec![],
            windows_of: None,
            feeders: vec![],
            declared: None,
            found: false,
            again: false,
        };
        Arc::new(SubTopology {
            index,
            inputs: inputs.iter().map(input).collect(),
            ..SubTopology::default()
        })
    }

    #[test]
    fn co_partitioned_topics_make_one_task_a_partition() {
        let topologies = [topology(0, &["a", "b"]), topology(1, &["c"])];
        let ours: Vec<TopicPartition> = [("a", 1), ("b", 1), ("c", 0), ("c", 1), ("other", 3)]
            .map(|(t, p)| (Arc::from(t), p))
            .into();
        let got: Vec<_> = shares(&topologies, &ours)
            .into_iter()
            .map(|s| (s.topology, s.partition, s.missing))
            .collect();
        assert_eq!(got, [(0, 1, vec![]), (1, 0, vec![]), (1, 1, vec![])]);
    }

    #[test]
    fn a_task_without_all_of_its_inputs_says_which() {
        let topologies = [topology(0, &["a", "b"])];
        let ours: Vec<TopicPartition> = [("a", 0), ("a", 1), ("b", 0)]
            .map(|(t, p)| (Arc::from(t), p))
            .into();
        let got: Vec<_> = shares(&topologies, &ours)
            .into_iter()
            .map(|s| (s.partition, s.missing))
            .collect();
        assert_eq!(got, [(0, vec![]), (1, vec!["b".to_owned()])]);
    }
}
