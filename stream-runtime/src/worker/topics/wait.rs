//! Topics that are made, or waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::existing::Existing;
use crate::error::{Error, Kind};
use crate::kafka::{Admin, Fault, FaultKind, TopicSettings};
use crate::topology::Plan;
use crate::worker::shutdown_signal::ShutdownSignal;

/// How long a broker that does not answer is waited for at start.
const BROKER_TIMEOUT: Duration = Duration::from_secs(60);
/// How often something that is waited for is named.
const REMIND_INTERVAL: Duration = Duration::from_secs(10);

/// Creates topics and waits until the cluster shows them.
pub(super) fn make(
    admin: &Admin,
    stop: &ShutdownSignal,
    existing: Existing,
    wanted: &[TopicSettings],
) -> Result<Existing, Error> {
    for topic in wanted {
        tracing::info!(
            topic = topic.name,
            partitions = topic.partitions,
            "creating topic"
        );
    }
    patiently(stop, || admin.create(wanted)).map_err(|fault| {
        let unauthorized = fault.is_unauthorized();
        let error = Error::from(fault);
        if unauthorized {
            error.context("make the topics beforehand (`plan` lists them), or grant the right")
        } else {
            error
        }
    })?;
    until(admin, stop, existing, |existing| {
        wanted
            .iter()
            .filter(|topic| !existing.contains_key(&topic.name))
            .map(|topic| topic.name.clone())
            .collect()
    })
}

/// The topics of the cluster; waits for a broker that does not answer.
pub(in crate::worker) fn list(admin: &Admin, stop: &ShutdownSignal) -> Result<Existing, Error> {
    Ok(patiently(stop, || admin.topics())?)
}

/// Configurations of topics; waits for a broker that does not answer.
pub(super) fn configs(
    admin: &Admin,
    stop: &ShutdownSignal,
    names: &BTreeSet<&str>,
) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
    let names: Vec<&str> = names.iter().copied().collect();
    Ok(patiently(stop, || admin.configs(&names))?)
}

/// Asks the broker, and again as long as it does not answer.
fn patiently<T>(stop: &ShutdownSignal, ask: impl Fn() -> Result<T, Fault>) -> Result<T, Fault> {
    let (start, mut reminded) = (Instant::now(), None::<Instant>);
    loop {
        let fault = match ask() {
            Ok(answer) => return Ok(answer),
            Err(fault) => fault,
        };
        let passes = !matches!(fault.kind(), FaultKind::Refused | FaultKind::Record);
        if !passes || start.elapsed() > BROKER_TIMEOUT || stop.is_asked() {
            return Err(fault);
        }
        if reminded.is_none_or(|at| at.elapsed() >= REMIND_INTERVAL) {
            tracing::warn!("{fault}; trying again");
            reminded = Some(Instant::now());
        }
        pause(stop, Duration::from_millis(500));
    }
}

pub(super) fn wait_for_external(
    plan: &Plan,
    admin: &Admin,
    stop: &ShutdownSignal,
    existing: Existing,
) -> Result<Existing, Error> {
    until(admin, stop, existing, |existing| {
        let inputs = plan
            .topologies
            .iter()
            .flat_map(|t| &t.inputs)
            .map(|input| input.topic.as_str());
        let outputs = plan
            .topologies
            .iter()
            .flat_map(|t| &t.outputs)
            .map(|output| output.topic.as_str());
        let globals = plan.globals();
        let outputs = outputs.chain(globals.iter().map(|global| global.topic.as_str()));
        let external = |name: &&str| plan.topics.get(*name).is_some_and(|topic| topic.external);
        let names: BTreeSet<&str> = inputs.chain(outputs).filter(external).collect();
        names
            .into_iter()
            .filter(|name| !existing.contains_key(*name))
            .map(str::to_owned)
            .collect()
    })
}

/// Lists topics until none is missing.
fn until(
    admin: &Admin,
    stop: &ShutdownSignal,
    mut existing: Existing,
    missing: impl Fn(&Existing) -> Vec<String>,
) -> Result<Existing, Error> {
    // Topics that were just made are there within a second.
    let mut remind = Instant::now() + Duration::from_secs(1);
    loop {
        let names = missing(&existing);
        if names.is_empty() {
            return Ok(existing);
        }
        if stop.is_asked() {
            return Err(Error::new(
                Kind::Stopped,
                "stopped while waiting for topics",
            ));
        }
        if Instant::now() >= remind {
            tracing::warn!(
                "waiting for topics that do not exist, and are not this app's to make: {}",
                names.join(", ")
            );
            remind = Instant::now() + REMIND_INTERVAL;
        }
        pause(stop, Duration::from_millis(50));
        existing = list(admin, stop)?;
    }
}

/// Rests; shorter when the worker is asked to stop.
pub(in crate::worker) fn pause(stop: &ShutdownSignal, time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time && !stop.is_asked() {
        std::thread::sleep(Duration::from_millis(20).min(time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_question_at_start_that_times_out_is_asked_again() {
        let stop = ShutdownSignal::new();
        for kind in [FaultKind::Retriable, FaultKind::Other] {
            let asked = Cell::new(0);
            let answer = patiently(&stop, || {
                asked.set(asked.get() + 1);
                match asked.get() {
                    1 => Err(Fault::new(kind, "ask", "OperationTimedOut")),
                    _ => Ok("an answer"),
                }
            });
            assert_eq!(answer, Ok("an answer"));
        }
        let refused = || Err::<(), _>(Fault::new(FaultKind::Refused, "ask", "no right"));
        assert!(patiently(&stop, refused).is_err());
    }
}
