//! What the topics of a [`TestApp`](super::TestApp) refuse, as a broker does.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::task::{Limits, MESSAGE_BYTES};
use crate::topology::Plan;
use crate::worker::Standing;

/// A topic's settings, as far as they decide what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    compact: bool,
    message_bytes: usize,
    before_ms: i64,
    after_ms: i64,
}

impl Default for Rules {
    /// Kafka's own.
    fn default() -> Self {
        Rules {
            compact: false,
            message_bytes: MESSAGE_BYTES,
            before_ms: i64::MAX,
            after_ms: 3_600_000,
        }
    }
}

impl Rules {
    /// One setting, by Kafka's name for it.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = || {
            let number = value.parse::<i64>().ok().filter(|number| *number >= 0);
            number.ok_or_else(|| format!("{name} is a number, not {value:?}"))
        };
        match name {
            "cleanup.policy" => self.compact = value.split(',').any(|p| p.trim() == "compact"),
            "max.message.bytes" => {
                self.message_bytes = usize::try_from(number()?).unwrap_or(usize::MAX);
            }
            "message.timestamp.before.max.ms" => self.before_ms = number()?,
            "message.timestamp.after.max.ms" => self.after_ms = number()?,
            _ => {
                return Err(format!(
                    "a test knows cleanup.policy, max.message.bytes, message.timestamp.before.max.ms and message.timestamp.after.max.ms, not {name}"
                ));
            }
        }
        Ok(())
    }

    /// Why a record is refused, if it is.
    pub(super) fn refuse(
        &self,
        key: Option<&[u8]>,
        size: usize,
        time: i64,
        wall: i64,
    ) -> Option<String> {
        if self.compact && key.is_none() {
            return Some("InvalidRecord: a compacted topic needs a key".to_owned());
        }
        // What a batch adds to its only record.
        if size + 70 > self.message_bytes {
            return Some(format!(
                "MessageSizeTooLarge: the topic's `max.message.bytes` is {}",
                self.message_bytes
            ));
        }
        let name = if wall.saturating_sub(time) > self.before_ms {
            "before"
        } else if time.saturating_sub(wall) > self.after_ms {
            "after"
        } else {
            return None;
        };
        Some(format!(
            "InvalidTimestamp: its time is out of the topic's bounds, by `message.timestamp.{name}.max.ms`"
        ))
    }
}

/// The topics' rules, and how they have answered.
#[derive(Debug, Default)]
pub(super) struct Broker {
    pub(super) rules: BTreeMap<String, Rules>,
    pub(super) standing: HashMap<String, Standing>,
    pub(super) taken: HashSet<String>,
}

impl Broker {
    /// Settings as a test gave them, and what the app declares.
    pub(super) fn new(mut rules: BTreeMap<String, Rules>, compact: &[&str]) -> Self {
        for topic in compact {
            rules.entry((*topic).to_owned()).or_default().compact = true;
        }
        Broker {
            rules,
            ..Broker::default()
        }
    }

    /// What a worker reads of these settings when it starts.
    pub(super) fn tell(&self, limits: &mut Limits, plan: &Plan) {
        for topology in &plan.topologies {
            let outputs = topology.outputs.iter().map(|output| &output.topic);
            let logs = topology.tables.iter();
            let logs = logs.filter_map(|table| table.changelog.as_ref());
            for topic in outputs.chain(logs) {
                let limit = limits.topics.entry(topic.clone()).or_default();
                limit.bytes = Some(MESSAGE_BYTES);
            }
        }
        for (topic, rules) in &self.rules {
            let limit = limits.topics.entry(topic.clone()).or_default();
            limit.bytes = Some(rules.message_bytes);
            limits.client = limits.client.max(rules.message_bytes);
            if rules.compact {
                let why = || "whose `cleanup.policy` is `compact`".to_owned();
                limit.keyed.get_or_insert_with(why);
            }
        }
    }

    /// Why a topic refuses a record, if it does.
    pub(super) fn refuse(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        size: usize,
        (time, wall): (i64, i64),
    ) -> Option<String> {
        self.rules.get(topic)?.refuse(key, size, time, wall)
    }

    /// A topic has taken a record.
    pub(super) fn took(&mut self, topic: &str) {
        if !self.taken.contains(topic) {
            self.taken.insert(topic.to_owned());
        }
        if !self.standing.is_empty() {
            self.standing.remove(topic);
        }
    }
}
