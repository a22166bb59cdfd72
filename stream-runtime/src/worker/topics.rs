//! The topics of an app at start: which exist, which are made, and whether they fit together.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

mod wait;
mod wanted;

use super::{Stop, WorkerSettings};
use crate::error::Error;
use crate::kafka::{Admin, TopicView};
use crate::topology::{OutputKind, Plan};
pub(super) use wait::{list, pause};
use wait::{make, wait_for_external};
pub(super) use wanted::check;
use wanted::{dead_letters_of, inputs_to_count, wanted};

/// How long a changelog that the app makes keeps its tombstones.
pub(super) const TOMBSTONES: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Largest message Kafka takes unless told otherwise.
const MAX_MESSAGE: i64 = 1_048_588;
/// What a dead letter's headers may add to its source.
const HEADERS: i64 = 64 * 1_024;

pub(super) type Existing = BTreeMap<String, TopicView>;

/// What the topics say that the clients have to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes that each dead-letter topic takes in one message; a longer value is cut.
    pub(super) dead_letters: HashMap<String, usize>,
    /// Bytes of the largest message that any of them takes: the producer must let it through.
    pub(super) message: usize,
    /// Partitions of all inputs together.
    pub(super) partitions: usize,
    /// Partitions of the topics that global tables are read from.
    pub(super) globals: HashMap<String, i32>,
    /// Partitions of each sub-topology's inputs.
    pub(super) counts: Vec<i32>,
    /// How long each changelog keeps its tombstones: a store older than half of it is not trusted.
    pub(super) tombstones: HashMap<String, Duration>,
}

/// Makes what is missing and checks the rest. Waits for external topics.
///
/// # Errors
/// The broker refuses, does not answer for a minute, or topics do not fit together.
pub(super) fn prepare(
    plan: &Plan,
    settings: &WorkerSettings,
    admin: &Admin,
    stop: &Stop,
) -> Result<Limits, Error> {
    let mut existing = list(admin, stop)?;
    existing = wait_for_external(plan, admin, stop, existing)?;
    // Inputs whose count nobody says get the broker's; what must match them is made after.
    let first = inputs_to_count(plan, settings, &existing);
    existing = make(admin, stop, existing, &first)?;
    let mut rest = wanted(plan, settings, &existing);
    for topic in &mut rest {
        if let Some(source) = dead_letters_of(plan, &topic.name)
            && existing.contains_key(source)
        {
            let limit = max_message(admin, source)?;
            topic.config.push((
                "max.message.bytes".to_owned(),
                (limit + HEADERS).to_string(),
            ));
        }
    }
    existing = make(admin, stop, existing, &rest)?;
    plan.topologies
        .iter()
        .try_for_each(|topology| check(topology, &existing))?;
    let outputs = plan
        .topologies
        .iter()
        .flat_map(|topology| &topology.outputs);
    let mut dead_letters = HashMap::new();
    for output in outputs.filter(|output| output.kind == OutputKind::DeadLetters) {
        let limit = usize::try_from(max_message(admin, &output.topic)?).unwrap_or(usize::MAX);
        dead_letters.insert(output.topic.clone(), limit);
    }
    let partitions = |name: &str| {
        existing
            .get(name)
            .map_or(1, |view| view.partitions.max(1) as usize)
    };
    let mut tombstones = HashMap::new();
    let tables = plan.topologies.iter().flat_map(|t| &t.tables);
    for changelog in tables.filter_map(|table| table.changelog.as_deref()) {
        let config = admin.config(changelog).map_err(Error::from)?;
        let kept = config.get("delete.retention.ms");
        let kept = kept
            .and_then(|ms| ms.parse().ok())
            .map(Duration::from_millis);
        tombstones.insert(changelog.to_owned(), kept.unwrap_or(TOMBSTONES));
    }
    let largest = dead_letters.values().copied().max().unwrap_or(0);
    Ok(Limits {
        dead_letters,
        message: largest.max(MAX_MESSAGE as usize),
        partitions: plan.input_topics().into_iter().map(partitions).sum(),
        globals: plan
            .globals()
            .into_iter()
            .map(|global| {
                let count = partitions(&global.topic) as i32;
                (global.topic, count)
            })
            .collect(),
        counts: plan
            .topologies
            .iter()
            .map(|topology| {
                topology
                    .inputs
                    .first()
                    .map_or(0, |input| partitions(&input.topic) as i32)
            })
            .collect(),
        tombstones,
    })
}

/// `max.message.bytes` of a topic.
fn max_message(admin: &Admin, topic: &str) -> Result<i64, Error> {
    let config = admin.config(topic).map_err(Error::from)?;
    let limit = config
        .get("max.message.bytes")
        .and_then(|value| value.parse().ok());
    Ok(limit.unwrap_or(MAX_MESSAGE))
}
