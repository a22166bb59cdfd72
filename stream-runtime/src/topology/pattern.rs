//! Topics that are found by a regular expression on their names.

use std::collections::BTreeSet;

use regex::bytes::{Regex, RegexBuilder};

use super::descriptor::{AgentDescriptor, AgentShape, Edge, Source};

/// Topics in which Kafka keeps its own books. Other names that begin so are anybody's.
const KAFKA_S_OWN: [&str; 4] = [
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
    "__cluster_metadata",
];

/// Returns whether a topic is one of Kafka's own, which no app reads or writes.
pub fn is_kafka_s_own(topic: &str) -> bool {
    KAFKA_S_OWN.contains(&topic)
}

/// Where topics are found: by the names of the cluster's, and of those that the app makes by name.
pub(super) struct Candidates<'a> {
    /// What the names of the app's own topics begin with.
    own: String,
    names: BTreeSet<&'a str>,
}

impl<'a> Candidates<'a> {
    /// `name` is the app's without its version: topics of another version are its own as well.
    pub(super) fn new(
        name: &str,
        agents: &[&'static AgentDescriptor],
        existing: &'a [String],
    ) -> Self {
        let mut names: BTreeSet<&'a str> = existing.iter().map(String::as_str).collect();
        for agent in agents {
            if let Source::Topics(topics) = agent.source {
                names.extend(topics.iter().copied());
            }
            let made = made((agent.shape)());
            names.extend(agent.sink.into_iter().chain(made));
        }
        // Dead letters are not input, whatever they are named.
        for dead in agents
            .iter()
            .filter_map(|agent| agent.options.dead_letter_topic)
        {
            names.remove(dead);
        }
        Candidates {
            own: format!("{name}-"),
            names,
        }
    }

    /// The names that a pattern matches as a whole, in their order; none of the app's own topics and none of Kafka's.
    ///
    /// # Errors
    /// It is not a regular expression.
    pub(super) fn matching(&self, pattern: &str) -> Result<Vec<String>, String> {
        let regex = regex(pattern)?;
        let foreign = self
            .names
            .iter()
            .filter(|name| !name.starts_with(&self.own) && !is_kafka_s_own(name));
        let matching = foreign.filter(|name| regex.is_match(name.as_bytes()));
        Ok(matching.map(|name| (*name).to_owned()).collect())
    }
}

/// The topics that an agent sends to by hand, and where its tables send what comes too late.
fn made(shape: AgentShape) -> Vec<&'static str> {
    let made = shape.edges.into_iter().filter_map(|edge| match edge {
        Edge::Sends(topic) if !topic.external => Some(topic.name),
        Edge::Table { table, .. } => table.late,
        _ => None,
    });
    made.collect()
}

/// Whether it matches a name as a whole; one that is not a regular expression matches none.
pub fn is_match(pattern: &str, name: &str) -> bool {
    regex(pattern).is_ok_and(|regex| regex.is_match(name.as_bytes()))
}

/// What stands in a plan for a pattern that matches nothing. No topic can be named so.
pub fn placeholder(pattern: &str) -> String {
    format!("/{pattern}/")
}

/// Whether it stands for a pattern that matches nothing.
pub fn is_placeholder(topic: &str) -> bool {
    topic.starts_with('/')
}

/// Names are ASCII, and so are the classes: `\w` is `[0-9A-Za-z_]`.
fn regex(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&format!("^(?:{pattern})$"))
        .unicode(false)
        .build()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(pattern: &str, existing: &[&str]) -> Vec<String> {
        let existing: Vec<String> = existing.iter().map(|name| (*name).to_owned()).collect();
        Candidates::new("shop", &[], &existing)
            .matching(pattern)
            .unwrap()
    }

    #[test]
    fn a_pattern_is_of_whole_names() {
        let topics = [
            "orders-eu",
            "orders-us",
            "orders",
            "old-orders-eu",
            "orders-eu.bak",
        ];
        assert_eq!(matching(r"orders-\w+", &topics), ["orders-eu", "orders-us"]);
        assert_eq!(matching("orders|old", &topics), ["orders"]);
        assert_eq!(matching("(?i)ORDERS", &topics), ["orders"]);
        assert!(matching("rders", &topics).is_empty());
    }

    #[test]
    fn the_app_s_own_topics_and_kafka_s_never_match() {
        let topics = [
            "shop-count-changelog",
            "shop-v2-count-changelog",
            "shopping",
            "__consumer_offsets",
            "__transaction_state",
            "shop",
        ];
        assert_eq!(matching(".*", &topics), ["shop", "shopping"]);
    }

    #[test]
    fn other_names_that_begin_with_two_underscores_match() {
        let topics = ["__debezium-heartbeat.inventory", "__cluster_metadata"];
        assert_eq!(matching("__.*", &topics), topics[..1]);
    }

    #[test]
    fn what_is_no_regular_expression_says_so() {
        let none = Candidates::new("shop", &[], &[]);
        assert!(none.matching("orders-(").is_err());
        assert!(!is_match("orders-(", "orders-("));
        assert!(is_match("orders-.", "orders-1"));
    }
}
