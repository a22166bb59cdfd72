//! Topics that are there or not: those that patterns find, and those that bring windows again. Looked for at start, and
//! while the worker runs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::context::WorkerContext;
use super::shutdown_signal::ShutdownSignal;
use super::topics::Existing;
use super::topics::{check, list, pause};
use crate::error::{Error, Kind};
use crate::kafka::{Admin, Properties};
use crate::topology::{PatternPlan, Plan, pattern};

/// Makes the plan of the app where the cluster has these topics.
pub(crate) type Replan<'a> = &'a (dyn Fn(&[String]) -> Result<Plan, Error> + Sync);

/// How often new topics are looked for, unless the setting says otherwise.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// The setting that says otherwise: librdkafka's own for what it does with patterns.
const SETTING: &str = "topic.metadata.refresh.interval.ms";
/// How often a pattern that matches nothing is named.
const REMIND_INTERVAL: Duration = Duration::from_secs(10);

/// The plan with the topics that its patterns match; waits until each of them matches one.
///
/// # Errors
/// The broker does not answer, what they match does not fit together, or the worker was asked to stop.
pub(super) fn first(
    plan: Plan,
    replan: Replan<'_>,
    admin: &Admin,
    stop: &ShutdownSignal,
) -> Result<Plan, Error> {
    let own: Vec<String> = plan.again_topics().collect();
    if plan.patterns.is_empty() && own.is_empty() {
        return Ok(plan);
    }
    let mut reminded = None::<Instant>;
    loop {
        let names: Vec<String> = list(admin, stop)?.into_keys().collect();
        if plan.patterns.is_empty() && !own.iter().any(|topic| names.contains(topic)) {
            return Ok(plan);
        }
        let plan = replan(&names)?;
        let Some(open) = plan.patterns.iter().find(|found| found.topics.is_empty()) else {
            for found in &plan.patterns {
                let topics = found.topics.join(", ");
                tracing::info!(
                    agent = found.agent,
                    "pattern `{}` matches {topics}",
                    found.pattern
                );
            }
            return Ok(plan);
        };
        if stop.is_asked() {
            return Err(Error::new(
                Kind::Stopped,
                "stopped while waiting for topics",
            ));
        }
        if reminded.is_none_or(|at| at.elapsed() >= REMIND_INTERVAL) {
            tracing::warn!(
                "waiting for a topic whose whole name matches `{}`, the pattern of agent `{}`",
                open.pattern,
                open.agent
            );
            reminded = Some(Instant::now());
        }
        pause(stop, Duration::from_millis(500));
    }
}

/// What a plan has of such topics.
pub(super) struct Running {
    patterns: Vec<PatternPlan>,
    /// The topics of windows that come again which are read.
    again: Vec<String>,
    /// Those that did not exist.
    awaited: Vec<String>,
}

impl Running {
    pub(super) fn of(plan: &Plan) -> Self {
        let inputs = plan.topologies.iter().flat_map(|topology| &topology.inputs);
        let read = inputs.filter(|input| input.again);
        let again: Vec<String> = read.map(|input| input.topic.clone()).collect();
        let awaited = plan.again_topics().filter(|topic| !again.contains(topic));
        Running {
            patterns: plan.patterns.clone(),
            awaited: awaited.collect(),
            again,
        }
    }

    /// Returns whether others may come.
    pub(super) fn is_open(&self) -> bool {
        !self.patterns.is_empty() || !self.awaited.is_empty()
    }
}

/// Looks for other topics until the worker ends or there are some that fit: then it is to start again with this plan.
pub(super) fn watch(worker: &WorkerContext, running: &Running, replan: Replan<'_>) -> Option<Plan> {
    let every = every(&worker.settings.properties, LOOK_INTERVAL);
    let mut watch = Watch {
        running: &running.patterns,
        again: running.again.clone(),
        replan,
        told: BTreeSet::new(),
        gone: BTreeSet::new(),
    };
    loop {
        match every {
            Some(every) => pause(&worker.stop, every),
            None => pause(&worker.stop, Duration::MAX),
        }
        if worker.stop.is_asked() {
            return None;
        }
        let found = running
            .awaited
            .iter()
            .find(|topic| matches!(worker.admin.topic(topic), Ok(Some(_))));
        if watch.running.is_empty() && found.is_none() {
            continue;
        }
        let existing = match worker.admin.topics() {
            Ok(existing) => existing,
            Err(fault) => {
                tracing::debug!("{fault}; looking for new topics later");
                continue;
            }
        };
        // It belongs to whoever has the others, so that the group has nothing to say about it.
        if let Some(plan) = watch.look_again(&running.awaited, &existing) {
            return Some(plan);
        }
        let Some(plan) = watch.look(&existing) else {
            continue;
        };
        if worker.settings.instance_id.is_none() {
            return Some(plan);
        }
        // The group gives a static member that comes back what it had, whatever it asks for.
        watch.tell("static", || {
            "a worker with an instance id takes other topics in only when it starts again after its session has ended"
                .to_owned()
        });
    }
}

/// How often topics are looked at: `usual`, unless the user says how often; `None`: never.
pub(super) fn every(properties: &Properties, usual: Duration) -> Option<Duration> {
    let Some(ms) = properties
        .get(SETTING)
        .and_then(|ms| ms.parse::<i64>().ok())
    else {
        return Some(usual);
    };
    let ms = u64::try_from(ms).ok().filter(|ms| *ms > 0)?;
    Some(Duration::from_millis(ms))
}

/// What was seen of the topics while the worker runs.
struct Watch<'a> {
    running: &'a [PatternPlan],
    /// The topics of windows that come again which are read.
    again: Vec<String>,
    replan: Replan<'a>,
    /// What was said once.
    told: BTreeSet<String>,
    /// Topics that the last look missed: one that another look misses too is gone.
    gone: BTreeSet<String>,
}

impl Watch<'_> {
    /// A plan with windows that come again, if the topic of some has been made.
    fn look_again(&mut self, awaited: &[String], existing: &Existing) -> Option<Plan> {
        let new: Vec<&String> = awaited
            .iter()
            .filter(|topic| existing.contains_key(*topic))
            .collect();
        let first = *new.first()?;
        let patterns = self.running.iter().flat_map(|found| &found.topics);
        let names: Vec<String> = patterns.chain(new.iter().copied()).cloned().collect();
        match self.fits(&names, existing) {
            Ok(plan) => {
                let topics: Vec<&str> = new.iter().map(|topic| topic.as_str()).collect();
                tracing::info!(
                    "starting again with {}: windows were sent again",
                    topics.join(", ")
                );
                Some(plan)
            }
            Err(error) => {
                self.tell(first, || {
                    format!("windows that were sent again are not read, because their topic does not fit: {error}")
                });
                None
            }
        }
    }

    /// A plan with other topics than those that are read, if some came that fit, or some went.
    fn look(&mut self, existing: &Existing) -> Option<Plan> {
        let ours: BTreeSet<&String> = self
            .running
            .iter()
            .flat_map(|found| &found.topics)
            .collect();
        let missing: BTreeSet<String> = ours
            .iter()
            .filter(|topic| !existing.contains_key(**topic))
            .map(|topic| (*topic).clone())
            .collect();
        let gone: BTreeSet<String> = missing.intersection(&self.gone).cloned().collect();
        self.gone = missing;
        let mut names: Vec<String> = ours.into_iter().cloned().collect();
        names.retain(|topic| !gone.contains(topic));
        let before = names.len();
        // One that does not fit keeps no other out: each is tried for itself.
        for (agent, topic) in self.new_topics(existing) {
            names.push(topic.clone());
            match self.fits(&names, existing) {
                Ok(plan)
                    if plan
                        .patterns
                        .iter()
                        .any(|found| found.topics.contains(&topic)) =>
                {
                    tracing::info!(agent, topic, "a new topic matches the agent's pattern");
                }
                // The app's own, which no pattern is meant for.
                Ok(_) => drop(names.pop()),
                Err(error) => {
                    names.pop();
                    self.tell(&topic, || {
                        format!(
                            "topic `{topic}` matches the pattern of agent `{agent}` and is not read, because it does not fit; the next start refuses it: {error}"
                        )
                    });
                }
            }
        }
        if names.len() == before && gone.is_empty() {
            return None;
        }
        let plan = self.fits(&names, existing).ok()?;
        // Nothing would be left to read: what was read stays, for when it comes back.
        if plan.patterns.iter().any(|found| found.topics.is_empty()) {
            return None;
        }
        for topic in gone {
            tracing::warn!(topic, "the topic is gone, and no longer read");
        }
        tracing::info!("starting again with the topics that the patterns match now");
        Some(plan)
    }

    /// Topics that match and are not read, each with the first agent whose pattern it matches.
    fn new_topics(&self, existing: &Existing) -> Vec<(&'static str, String)> {
        let names: Vec<String> = existing.keys().cloned().collect();
        let mut new = Vec::new();
        for found in self.running {
            let matching = |name: &&String| pattern::is_match(found.pattern, name);
            for name in names.iter().filter(matching) {
                let known = self.running.iter().any(|all| all.topics.contains(name));
                if !known && !new.iter().any(|(_, other)| other == name) {
                    new.push((found.agent, name.clone()));
                }
            }
        }
        new
    }

    /// The plan with these topics, if it is one.
    fn fits(&self, names: &[String], existing: &Existing) -> Result<Plan, Error> {
        let plan = (self.replan)(&[names, &self.again].concat())?;
        plan.topologies
            .iter()
            .try_for_each(|topology| check(topology, existing))?;
        Ok(plan)
    }

    fn tell(&mut self, what: &str, text: impl FnOnce() -> String) {
        if self.told.insert(what.to_owned()) {
            tracing::warn!("{}", text());
        }
    }
}
