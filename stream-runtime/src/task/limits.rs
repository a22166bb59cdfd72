//! What topics take: what can be known of it is asked before anything is sent.

use std::collections::HashMap;
use std::rc::Rc;

use super::record_buffer::RecordBuffer;
use crate::error::Failure;
use crate::table::RowLimit;
use crate::topology::{Plan, Source};

/// `max.message.bytes` of a topic that nobody has told otherwise, and `message.max.bytes` of a client likewise.
pub const MESSAGE_BYTES: usize = 1_048_588;
/// What a batch and its only record add to key, value and headers, at most.
const FRAME: usize = 100;

/// What is known of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicLimit {
    /// Its `max.message.bytes`; `None`: not known, or not compared with what is sent, which is compressed before.
    pub bytes: Option<usize>,
    /// Why it takes no record without a key; `None`: it does.
    pub keyed: Option<String>,
}

/// What the client and the topics take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The client's `message.max.bytes`.
    pub client: usize,
    /// By name.
    pub topics: HashMap<String, TopicLimit>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            client: MESSAGE_BYTES,
            topics: HashMap::new(),
        }
    }
}

impl Limits {
    /// What an app says of its topics: which take no record without a key.
    pub fn of(plan: &Plan) -> Self {
        let mut limits = Limits::default();
        let mut keyed = |topic: &str, why: String| {
            let entry = limits.topics.entry(topic.to_owned()).or_default();
            entry.keyed.get_or_insert(why);
        };
        for topic in plan.topics.values().filter(|topic| topic.compact) {
            keyed(topic.name, "which is `compact`".to_owned());
        }
        let takes_none = |key: &str| key.starts_with("Option<");
        for topology in &plan.topologies {
            for agent in topology.agents.iter().map(|agent| agent.descriptor) {
                let mut tables = topology.tables.iter().map(|table| table.descriptor);
                let table = tables.find(|table| (table.type_id)() == (agent.item)());
                if let (Some(table), Source::Topics(topics)) = (table, agent.source)
                    && !takes_none(table.key)
                {
                    for topic in topics {
                        keyed(topic, format!("which table `{}` is made of", table.name));
                    }
                }
            }
        }
        for global in plan.globals() {
            if global.global.source.is_some() && !takes_none(global.table.key) {
                let why = format!("which table `{}` is made of", global.table.name);
                keyed(&global.topic, why);
            }
        }
        limits
    }

    /// The bytes of key, value and headers that a topic takes, and the setting that says so.
    pub fn room(&self, topic: &str) -> (usize, String) {
        let own = self.topics.get(topic).and_then(|limit| limit.bytes);
        match own.map(|bytes| bytes.saturating_sub(FRAME)) {
            Some(bytes) if bytes < self.client => {
                (bytes, format!("`max.message.bytes` of {topic}"))
            }
            _ => (self.client, "the client's `message.max.bytes`".to_owned()),
        }
    }

    /// The same of a table's rows.
    pub fn rows(&self, changelog: Option<&str>) -> RowLimit {
        let (bytes, setting) = match changelog {
            Some(topic) => self.room(topic),
            None => (usize::MAX, String::new()),
        };
        RowLimit {
            bytes,
            setting: setting.into(),
        }
    }
}

/// What an output of a task takes.
#[derive(Debug)]
pub(crate) struct OutputLimit {
    bytes: usize,
    setting: Rc<str>,
    keyed: Option<Rc<str>>,
}

impl OutputLimit {
    pub(crate) fn new(limits: &Limits, topic: &str) -> Self {
        let (bytes, setting) = limits.room(topic);
        let keyed = limits.topics.get(topic);
        let keyed = keyed.and_then(|limit| limit.keyed.as_deref());
        OutputLimit {
            bytes,
            setting: setting.into(),
            keyed: keyed.map(Rc::from),
        }
    }
}

/// The topics that a task sends to.
pub(crate) struct OutputTopics {
    pub(crate) topics: Vec<Rc<str>>,
    /// What each of them takes.
    pub(crate) limits: Vec<OutputLimit>,
    /// Index of the topic that each table's late records go to.
    pub(crate) late: Vec<Option<usize>>,
    /// Index of the topic that each table's unreadable rows go to.
    pub(crate) unreadable: Vec<Option<usize>>,
}

impl OutputTopics {
    /// Takes the record that was pushed last out again when its topic would not take it; `size` is what it weighs.
    pub(crate) fn admit(
        &self,
        staging: &mut RecordBuffer,
        name: &str,
        topic: usize,
        size: usize,
    ) -> Result<(), Failure> {
        let limit = &self.limits[topic];
        if size <= limit.bytes && (limit.keyed.is_none() || staging.last_has_key()) {
            return Ok(());
        }
        self.refuse(staging, name, topic, size)
    }

    #[cold]
    fn refuse(
        &self,
        staging: &mut RecordBuffer,
        name: &str,
        topic: usize,
        size: usize,
    ) -> Result<(), Failure> {
        let (limit, output) = (&self.limits[topic], &self.topics[topic]);
        let text = match &limit.keyed {
            Some(why) if !staging.last_has_key() => format!(
                "a {name} without a key for {output}, {why}: a compacted topic needs a key, as does a table; return `(key, record)`, send it with a key, or give the record a `key` field"
            ),
            _ => format!(
                "a {name} of {size} bytes for {output}, which takes {}, by {}: send less, or raise that",
                limit.bytes, limit.setting
            ),
        };
        staging.pop();
        Err(Failure::from(text).rejected())
    }
}
