//! The topics of an app at start: which exist, which are made, and whether they fit together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

mod existing;
mod musts;
mod wait;
mod wanted;
mod watch;

use super::settings::WorkerSettings;
use super::shutdown_signal::ShutdownSignal;
use crate::error::{Error, Kind};
use crate::kafka::{Admin, Properties};
use crate::task;
use crate::topology::{OutputKind, Plan};
pub(super) use existing::{Existing, SHORT_TOMBSTONES, existing, is_bound};
pub(crate) use musts::{Must, musts};
use wait::{configs, make, wait_for_external};
pub(super) use wait::{list, pause};
pub(super) use wanted::{check, grown};
use wanted::{dead_letters_of, inputs_to_count, wanted};
pub(super) use watch::{Unfit, Watch};
/// Topics that are named in a line of the log.
const NAMED_TOPICS: usize = 3;
/// Largest message Kafka takes unless told otherwise.
const MAX_MESSAGE_BYTES: i64 = 1_048_588;
/// Bytes of a batch unless a topic takes less: librdkafka's own bound.
const BATCH_BYTES: usize = 1_000_000;
/// What a dead letter's headers may add to its source.
const HEADER_BYTES: i64 = 64 * 1_024;

/// What the topics say that the clients have to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes that each dead-letter topic takes in one message; a longer value is cut.
    pub(super) dead_letters: HashMap<String, usize>,
    /// Bytes of the largest message that any of them takes: the producer must let it through.
    pub(super) message: usize,
    /// Bytes of the largest batch that all of them take.
    pub(super) batch: usize,
    /// What each topic that is written takes, as far as that is known.
    pub(super) records: task::Limits,
    /// Partitions of all inputs together.
    pub(super) partitions: usize,
    /// Partitions of the topics that global tables are read from.
    pub(super) globals: HashMap<String, i32>,
    /// Partitions of each sub-topology's inputs.
    pub(super) counts: Vec<i32>,
    /// How long each changelog keeps its tombstones: a store older than half of it is not trusted.
    pub(super) tombstones: HashMap<String, Duration>,
    /// What the app's own topics must have.
    pub(super) musts: Vec<Must>,
}

/// Makes what is missing and checks the rest. Waits for external topics.
///
/// # Errors
/// The broker refuses, does not answer for a minute, topics do not fit together, or one has settings with which results
/// would be wrong.
pub(super) fn prepare(
    plan: &Plan,
    settings: &WorkerSettings,
    admin: &Admin,
    stop: &ShutdownSignal,
) -> Result<Limits, Error> {
    let mut existing = list(admin, stop)?;
    existing = wait_for_external(plan, admin, stop, existing)?;
    // Inputs whose count nobody says get the broker's; what must match them is made after.
    let first = inputs_to_count(plan, settings, &existing);
    existing = make(admin, stop, existing, &first)?;
    let mut rest = wanted(plan, settings, &existing);
    let source =
        |topic: &str| dead_letters_of(plan, topic).filter(|source| existing.contains_key(*source));
    let sources = rest
        .iter()
        .filter_map(|topic| source(&topic.name))
        .collect();
    let limits = configs(admin, stop, &sources)?;
    for topic in &mut rest {
        if let Some(source) = source(&topic.name) {
            let limit = max_message(&limits, source);
            topic.config.push((
                "max.message.bytes".to_owned(),
                (limit + HEADER_BYTES).to_string(),
            ));
        }
    }
    existing = make(admin, stop, existing, &rest)?;
    plan.topologies
        .iter()
        .try_for_each(|topology| check(topology, &existing))?;
    let outputs = || plan.topologies.iter().flat_map(|t| &t.outputs);
    let tables = plan.topologies.iter().flat_map(|t| &t.tables);
    let changelogs = || {
        tables
            .clone()
            .filter_map(|table| table.changelog.as_deref())
    };
    let names = outputs().map(|output| output.topic.as_str());
    let musts = musts(plan);
    let names = names.chain(musts.iter().map(|must| must.topic.as_str()));
    let names: BTreeSet<&str> = names.collect();
    let configs = configs(admin, stop, &names)?;
    say_unknown(&names, &configs);
    fit(&musts, &configs, &broker(settings))?;
    let mut dead_letters = HashMap::new();
    let aside = |kind| matches!(kind, OutputKind::DeadLetters | OutputKind::Unreadable);
    for output in outputs().filter(|output| aside(output.kind)) {
        let limit = max_message(&configs, &output.topic);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        dead_letters.insert(output.topic.clone(), limit);
    }
    let mut records = task::Limits::of(plan);
    for output in outputs().filter(|output| output.kind != OutputKind::DeadLetters) {
        let Some(config) = configs.get(&output.topic) else {
            continue;
        };
        let limit = records.topics.entry(output.topic.clone()).or_default();
        limit.bytes = taken(config);
        let policy = config.get("cleanup.policy");
        if policy.is_some_and(|policy| policy.contains("compact")) {
            let why = || "whose `cleanup.policy` is `compact`".to_owned();
            limit.keyed.get_or_insert_with(why);
        }
    }
    let partitions = |name: &str| {
        existing
            .get(name)
            .map_or(1, |view| view.partitions.max(1) as usize)
    };
    let mut tombstones = HashMap::new();
    for changelog in changelogs() {
        let config = configs.get(changelog);
        tombstones.insert(changelog.to_owned(), kept(config));
        let limit = records.topics.entry(changelog.to_owned()).or_default();
        limit.bytes = config.and_then(taken);
    }
    let known = records.topics.values().filter_map(|limit| limit.bytes);
    let all = dead_letters.values().copied().chain(known);
    let (smallest, largest) = all.fold(
        (BATCH_BYTES, MAX_MESSAGE_BYTES as usize),
        |(least, most), bytes| (least.min(bytes), most.max(bytes)),
    );
    Ok(Limits {
        dead_letters,
        message: largest,
        batch: smallest.max(1),
        records,
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
        musts,
    })
}

/// The brokers, as the user names them.
pub(super) fn broker(settings: &WorkerSettings) -> String {
    let named = settings.properties.get("bootstrap.servers");
    named.unwrap_or("BROKER").to_owned()
}

/// Says which topics the broker tells nothing of.
fn say_unknown(names: &BTreeSet<&str>, configs: &BTreeMap<String, BTreeMap<String, String>>) {
    let unknown = names.iter().filter(|name| !configs.contains_key(**name));
    let unknown: Vec<&str> = unknown.copied().collect();
    let more = match unknown.len().saturating_sub(NAMED_TOPICS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    if !unknown.is_empty() {
        tracing::warn!(
            "the broker does not tell the settings of {}{more}: the right DescribeConfigs is missing; they are not checked, stores older than half a day are rebuilt, and dead letters are cut to Kafka's default",
            unknown[..unknown.len().min(NAMED_TOPICS)].join(", ")
        );
    }
}

/// The settings that exist are those that results depend on.
fn fit(
    musts: &[Must],
    configs: &BTreeMap<String, BTreeMap<String, String>>,
    broker: &str,
) -> Result<(), Error> {
    let known = musts
        .iter()
        .filter_map(|must| Some((must, configs.get(&must.topic)?)));
    let mut texts = Vec::new();
    for (must, config) in known {
        let wrong = must.wrong(config);
        if !wrong.is_empty() {
            texts.push(must.text(&wrong, broker));
        } else if let Some(slow) = must.slow(config) {
            tracing::warn!("{slow}");
        }
    }
    match texts.is_empty() {
        true => Ok(()),
        false => Err(Error::new(Kind::Topology, texts.join("\n"))),
    }
}

impl Limits {
    /// What records may weigh with this client.
    pub(super) fn taken(&self, properties: &Properties) -> task::Limits {
        let mut taken = self.records.clone();
        let client = properties.get("message.max.bytes");
        let client = client.and_then(|bytes| bytes.parse().ok());
        taken.client = client.unwrap_or(self.message);
        let codec = properties.get("compression.codec");
        if codec.is_some_and(|codec| codec != "none") {
            // The topic's bound is for what is compressed.
            taken
                .topics
                .values_mut()
                .for_each(|limit| limit.bytes = None);
        }
        taken
    }
}

/// `max.message.bytes` in a topic's settings, where they can be read.
fn taken(config: &BTreeMap<String, String>) -> Option<usize> {
    config.get("max.message.bytes")?.parse().ok()
}

/// `max.message.bytes` of a topic; Kafka's own default where it cannot be read.
fn max_message(configs: &BTreeMap<String, BTreeMap<String, String>>, topic: &str) -> i64 {
    let limit = configs
        .get(topic)
        .and_then(|config| config.get("max.message.bytes")?.parse().ok());
    limit.unwrap_or(MAX_MESSAGE_BYTES)
}

/// How long a changelog keeps its tombstones; Kafka's default, which is shorter than ours, where that is not known.
fn kept(config: Option<&BTreeMap<String, String>>) -> Duration {
    let kept = config.and_then(|config| config.get("delete.retention.ms")?.parse().ok());
    kept.map_or(SHORT_TOMBSTONES, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelog_whose_settings_are_unknown_is_taken_to_keep_tombstones_for_a_day() {
        let config = |ms: &str| BTreeMap::from([("delete.retention.ms".to_owned(), ms.to_owned())]);
        assert_eq!(kept(Some(&config("1000"))), Duration::from_secs(1));
        assert_eq!(kept(None), Duration::from_secs(86_400));
        assert_eq!(max_message(&BTreeMap::new(), "letters"), MAX_MESSAGE_BYTES);
    }
}
