//! Topics in which one agent's results meet another's clock: where keys change there, time is that of the fastest
//! writer.

use std::fmt;

use super::descriptor::Edge;
use super::plan::{AgentPlan, OutputKind, Plan, SubTopology};

/// Use that an agent makes of the time of the records that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ByTime {
    /// It counts them in windows.
    Windows,
    /// It joins them.
    Join,
    /// It has them grouped by another key, and tells their time to whoever reads them then.
    GroupBy,
}

impl fmt::Display for ByTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ByTime::Windows => "windows",
            ByTime::Join => "a join",
            ByTime::GroupBy => "`group_by`",
        })
    }
}

/// A topic that agents of the app write, with keys of their own, and another one reads by time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its name.
    pub topic: String,
    /// The agents that write it, by name.
    pub writers: Vec<&'static str>,
    /// The agents that read it, and what they do by its time, by name.
    pub readers: Vec<(&'static str, ByTime)>,
}

impl Plan {
    /// Returns the topics of the app in which a writer that is ahead makes the records of the others late, by name:
    /// each task that writes them sends to many partitions, and nobody there knows how far the others are.
    pub fn stages(&self) -> Vec<Stage> {
        let mut stages: Vec<Stage> = Vec::new();
        for topology in &self.topologies {
            for (at, input) in topology.timely_inputs().enumerate() {
                let mut readers = self.readers(topology, at);
                let mut writers = self.writers(&input.topic);
                readers.sort_unstable();
                readers.dedup();
                writers.sort_unstable();
                writers.dedup();
                if !input.is_fed() && !readers.is_empty() && !writers.is_empty() {
                    stages.push(Stage {
                        topic: input.topic.clone(),
                        writers,
                        readers,
                    });
                }
            }
        }
        stages.sort_unstable_by(|a, b| a.topic.cmp(&b.topic));
        stages
    }

    /// The agents that give their records in a topic another key than their own input's, as far as that can be seen: by
    /// the record's key field, or by hand.
    fn writers(&self, topic: &str) -> Vec<&'static str> {
        let of = |topology: &SubTopology| {
            let writes = |agent: &&AgentPlan| {
                let sink = agent.sink.and_then(|sink| topology.outputs.get(sink));
                let sink = sink.filter(|sink| sink.kind == OutputKind::Sink && sink.topic == topic);
                let keyed = agent
                    .shape
                    .output
                    .is_some_and(|r| !r.form.key_field.is_empty());
                let by_hand = |edge: &Edge| matches!(edge, Edge::Sends(to) if to.name == topic);
                (sink.is_some() && keyed) || agent.shape.edges.iter().any(by_hand)
            };
            let writers = topology.agents.iter().filter(writes);
            writers
                .map(|agent| agent.descriptor.name)
                .collect::<Vec<_>>()
        };
        self.topologies.iter().flat_map(of).collect()
    }

    /// The agents that do something by the time of an input.
    fn readers(&self, topology: &SubTopology, input: usize) -> Vec<(&'static str, ByTime)> {
        let reads = topology.agents.iter();
        let reads = reads.filter(|agent| agent.reads.contains(&input));
        let by_time = |agent: &AgentPlan| match agent.feeds {
            None => Some((agent.descriptor.name, by_time(topology, agent)?)),
            Some(fed) => self.has_clock(fed).then_some((fed, ByTime::GroupBy)),
        };
        reads.filter_map(by_time).collect()
    }

    /// Returns whether an agent does something by time.
    fn has_clock(&self, name: &str) -> bool {
        let mut topologies = self.topologies.iter();
        topologies.any(|topology| {
            let mut agents = topology.agents.iter();
            agents.any(|agent| {
                let own = agent.feeds.is_none() && agent.descriptor.name == name;
                own && by_time(topology, agent).is_some()
            })
        })
    }
}

fn by_time(topology: &SubTopology, agent: &AgentPlan) -> Option<ByTime> {
    let mut tables = agent
        .writes
        .iter()
        .filter_map(|at| topology.tables.get(*at));
    match &agent.shape.join {
        Some(_) => Some(ByTime::Join),
        None => tables
            .any(|table| table.descriptor.window.is_some())
            .then_some(ByTime::Windows),
    }
}

#[cfg(test)]
mod tests {
    use super::{ByTime, Stage};
    use crate::app::App;
    use crate::prelude::*;

    #[record]
    struct View {
        page: String,
    }

    #[record(key = page)]
    struct Count {
        page: String,
        views: u64,
    }

    #[topic("stages-counts", value = Count)]
    struct Counts;

    #[table(tumbling = "1h", name = "stages_hours")]
    #[derive(Clone, Default)]
    struct Hours {
        views: u64,
    }

    #[table(tumbling = "1d", name = "stages_days")]
    #[derive(Clone, Default)]
    struct Days {
        views: u64,
    }

    #[table(value = u64, name = "stages_ever")]
    struct Ever;

    #[table(tumbling = "1d", name = "stages_copied")]
    #[derive(Clone, Default)]
    struct Copied {
        views: u64,
    }

    #[agent(topic = "stages-views", name = "stages_count")]
    async fn count(view: Event<View>, mut hours: Table<Hours>) {
        hours.update(view.key(), |hour| hour.views += 1);
    }

    #[agent(on_close = Hours, name = "stages_told", sink = Counts)]
    async fn told(hour: Closed<Hours>) -> Count {
        Count {
            page: hour.key().clone(),
            views: hour.views,
        }
    }

    #[agent(topic = Counts, name = "stages_day")]
    async fn day(count: Event<Count>, mut days: Table<Days>) {
        days.update(count.key(), |day| day.views += count.views);
    }

    /// It has no clock.
    #[agent(topic = Counts, name = "stages_all", group_by = |_: &Count| "all".to_owned())]
    async fn all(count: Event<Count>, mut ever: Table<Ever>) {
        ever.update(count.key(), |views| *views += count.views);
    }

    /// The key is that of its input: one partition goes to one.
    #[agent(topic = "stages-views", name = "stages_copy", sink = "stages-copies")]
    async fn copy(view: Event<View>) -> View {
        View {
            page: view.page.clone(),
        }
    }

    #[agent(topic = "stages-copies", name = "stages_copied")]
    async fn copied(view: Event<View>, mut copied: Table<Copied>) {
        copied.update(view.key(), |day| day.views += 1);
    }

    #[test]
    fn a_topic_where_keys_change_between_agents_with_clocks_is_named() {
        let plan = App::new("stages").scope(module_path!()).plan();
        let plan = plan.unwrap_or_else(|problems| panic!("{problems:?}"));
        let counts = Stage {
            topic: "stages-counts".to_owned(),
            writers: vec!["stages_told"],
            readers: vec![("stages_day", ByTime::Windows)],
        };
        assert_eq!(plan.stages(), [counts]);
    }
}
