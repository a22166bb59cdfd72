//! What every partition is doing: one word for the log, the terminal and whoever asks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use crate::sync::Mutex;
use crate::topology::Plan;

/// How often the log says how far a recovery is.
const SAID: Duration = Duration::from_secs(5);
/// Partitions whose begin the log tells of one by one.
const FEW: usize = 8;

/// What a task is doing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PartitionState {
    /// Given to this worker; its offsets are being asked for.
    Assigned,
    /// Its tables are being read.
    Recovering(Progress),
    /// Events are processed.
    Running,
    /// An event, or the partition as a whole, failed and is tried again.
    Retrying(Retry),
    /// It stopped; the text says why and what to do.
    Failed(String),
    /// It went to another worker.
    Revoked,
}

/// How far a recovery is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Progress {
    /// Changelog offsets passed.
    pub(crate) done: u64,
    /// Changelog offsets to pass.
    pub(crate) total: u64,
    /// Offsets a second so far.
    pub(crate) rate: f64,
}

/// What failed, and when it is tried again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Retry {
    /// Agent, topic, partition and offset, or what the partition failed with.
    pub(crate) why: String,
    /// Attempts that failed in a row.
    pub(crate) failed: u32,
    /// When the next one begins.
    pub(crate) at: Instant,
}

impl Progress {
    /// Seconds left at the rate so far; `None` while there is none.
    pub(crate) fn seconds_left(&self) -> Option<f64> {
        (self.rate > 0.0).then(|| self.total.saturating_sub(self.done) as f64 / self.rate)
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} changelog records, {:.0}/s",
            self.done, self.total, self.rate
        )?;
        match self.seconds_left() {
            Some(left) => write!(f, ", {left:.0} s left"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.at.saturating_duration_since(Instant::now());
        write!(
            f,
            "attempt {} in {:.1} s: {}",
            self.failed + 1,
            left.as_secs_f64(),
            self.why
        )
    }
}

impl PartitionState {
    /// The names of all states.
    pub(crate) const NAMES: [&str; 6] = [
        "assigned",
        "recovering",
        "running",
        "retrying",
        "failed",
        "revoked",
    ];

    /// It is on its way to run.
    fn waits(&self) -> bool {
        matches!(
            self,
            PartitionState::Assigned | PartitionState::Recovering(_)
        )
    }

    /// The state's name, the same wherever it is shown.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            PartitionState::Assigned => "assigned",
            PartitionState::Recovering(_) => "recovering",
            PartitionState::Running => "running",
            PartitionState::Retrying(_) => "retrying",
            PartitionState::Failed(_) => "failed",
            PartitionState::Revoked => "revoked",
        }
    }
}

impl fmt::Display for PartitionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            PartitionState::Recovering(progress) => write!(f, ": {progress}"),
            PartitionState::Retrying(retry) => write!(f, ", {retry}"),
            PartitionState::Failed(why) => write!(f, ": {why}"),
            PartitionState::Assigned | PartitionState::Running | PartitionState::Revoked => Ok(()),
        }
    }
}

/// A task's name: sub-topology and partition.
pub(crate) type TaskName = (usize, i32);

/// A partition as it is now.
#[derive(Debug, Clone)]
pub(crate) struct PartitionView {
    pub(crate) task: TaskName,
    /// For people: the inputs' names and the partition, as `orders+payments[3]`.
    pub(crate) label: String,
    pub(crate) state: PartitionState,
    /// Source that holds its time back, and for how many seconds.
    pub(crate) held: Option<(String, u64)>,
}

/// Facts that the partitions of a sub-topology have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// The names of its topics.
    pub(crate) inputs: Vec<String>,
    /// The names of its agents; of one that only gives records another key, which agent they are for.
    pub(crate) agents: Vec<String>,
}

/// The states of a worker's partitions. Written when a state changes, never per record.
#[derive(Debug)]
pub(crate) struct Status {
    /// Of each sub-topology.
    groups: Mutex<Vec<Group>>,
    states: Mutex<BTreeMap<TaskName, Entry>>,
    begun: Mutex<Begun>,
}

/// Partitions that have begun to run since the log told of some.
#[derive(Debug)]
struct Begun {
    partitions: usize,
    /// Changelog records that they have read.
    records: u64,
    since: Instant,
}

impl Begun {
    /// Tells how many partitions have begun, when that is all of them, or they take their time.
    fn say(&mut self, left: usize) {
        if left > 0 && self.since.elapsed() < SAID {
            return;
        }
        let more = match left {
            0 => String::new(),
            left => format!(", {left} to come"),
        };
        tracing::info!(
            "running: {} more partitions, {} changelog records read{more}",
            self.partitions,
            self.records
        );
        *self = Begun::default();
    }
}

impl Default for Begun {
    fn default() -> Self {
        Begun {
            partitions: 0,
            records: 0,
            since: Instant::now(),
        }
    }
}

#[derive(Debug)]
struct Entry {
    state: PartitionState,
    since: Instant,
    /// When the log said something of it last.
    said: Instant,
    /// Source that holds its time back, and since when.
    held: Option<(String, Instant)>,
}

impl Entry {
    fn new(state: PartitionState, since: Instant, said: Instant) -> Self {
        Entry {
            state,
            since,
            said,
            held: None,
        }
    }
}

impl Status {
    /// Of a worker that runs this plan; no partition has come yet.
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            groups: Mutex::new(groups(plan)),
            states: Mutex::default(),
            begun: Mutex::default(),
        }
    }

    /// The worker begins, perhaps again, with this plan.
    pub(super) fn begin(&self, plan: &Plan) {
        *self.lock_groups() = groups(plan);
        self.lock().clear();
    }

    /// A task's name for people, as `orders+payments[3]`.
    pub(super) fn label(&self, (topology, partition): TaskName) -> String {
        let groups = self.lock_groups();
        let inputs = groups.get(topology).map(|group| group.inputs.join("+"));
        format!("{}[{partition}]", inputs.as_deref().unwrap_or("?"))
    }

    /// What the partitions of each sub-topology have in common.
    pub(crate) fn groups(&self) -> Vec<Group> {
        self.lock_groups().clone()
    }

    /// An event of a task is tried again, or is so no more: the log says that where the handler failed.
    pub(super) fn retries(&self, task: TaskName, state: PartitionState) {
        let now = Instant::now();
        tracing::debug!(partition = self.label(task), "{state}");
        self.lock().insert(task, Entry::new(state, now, now));
    }

    /// Something holds back the time of a task since then, or nothing does.
    pub(super) fn holds(&self, task: TaskName, held: Option<(String, Instant)>) {
        if let Some(entry) = self.lock().get_mut(&task) {
            entry.held = held;
        }
    }

    /// A task's state changed, or its recovery went on: the log says so. Of many that begin it has one line for all.
    pub(super) fn set(&self, task: TaskName, state: PartitionState) {
        let now = Instant::now();
        let mut states = self.lock();
        let before = states.get(&task);
        let same = before.is_some_and(|entry| entry.state.name() == state.name());
        let since = before.filter(|_| same).map_or(now, |entry| entry.since);
        let mut said = before.filter(|_| same).map_or(now, |entry| entry.said);
        let partition = self.label(task);
        match &state {
            PartitionState::Recovering(progress) if now.duration_since(said) >= SAID => {
                said = now;
                tracing::info!(partition, "recovering: {progress}");
            }
            PartitionState::Running if !same => {
                let recovered = before.and_then(|entry| match &entry.state {
                    PartitionState::Recovering(progress) => {
                        Some((progress.total, entry.since.elapsed().as_secs_f64()))
                    }
                    _ => None,
                });
                let text = match recovered {
                    Some((records, seconds)) => {
                        format!("running, {records} changelog records read in {seconds:.1} s")
                    }
                    None => "running".to_owned(),
                };
                if states.len() <= FEW {
                    tracing::info!(partition, "{text}");
                } else {
                    tracing::debug!(partition, "{text}");
                    let mut begun = self.begun();
                    begun.partitions += 1;
                    begun.records += recovered.map_or(0, |(records, _)| records);
                    let waits = |(name, entry): &(&TaskName, &Entry)| {
                        **name != task && PartitionState::waits(&entry.state)
                    };
                    begun.say(states.iter().filter(waits).count());
                }
            }
            PartitionState::Retrying(_) => tracing::warn!(partition, "{state}"),
            PartitionState::Failed(_) => tracing::error!(partition, "{state}"),
            _ if !same => tracing::debug!(partition, "{state}"),
            _ => {}
        }
        states.insert(task, Entry::new(state, since, said));
    }

    fn begun(&self) -> MutexGuard<'_, Begun> {
        self.begun.lock()
    }

    /// All partitions, in the order of sub-topology and partition.
    pub(crate) fn snapshot(&self) -> Vec<PartitionView> {
        let view = |(task, entry): (&TaskName, &Entry)| PartitionView {
            task: *task,
            label: self.label(*task),
            state: entry.state.clone(),
            held: entry
                .held
                .as_ref()
                .map(|(by, since)| (by.clone(), since.elapsed().as_secs())),
        };
        self.lock().iter().map(view).collect()
    }

    /// Partitions that failed, and why.
    pub(crate) fn failures(&self) -> Vec<(String, String)> {
        let failed = |view: PartitionView| match view.state {
            PartitionState::Failed(why) => Some((view.label, why)),
            _ => None,
        };
        self.snapshot().into_iter().filter_map(failed).collect()
    }

    /// Whether a task has stopped here.
    pub(super) fn has_failed(&self, task: TaskName) -> bool {
        let states = self.lock();
        let state = states.get(&task).map(|entry| &entry.state);
        matches!(state, Some(PartitionState::Failed(_)))
    }

    fn lock_groups(&self) -> MutexGuard<'_, Vec<Group>> {
        self.groups.lock()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskName, Entry>> {
        self.states.lock()
    }
}

fn groups(plan: &Plan) -> Vec<Group> {
    let groups = plan.topologies.iter().map(|topology| Group {
        inputs: topology
            .timely_inputs()
            .map(|input| input.topic.clone())
            .collect(),
        agents: topology
            .agents
            .iter()
            .map(|agent| match agent.feeds {
                None => agent.descriptor.name.to_owned(),
                Some(other) => format!("another key for {other}"),
            })
            .collect(),
    });
    groups.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status {
            groups: Mutex::new(vec![Group {
                inputs: vec!["orders".to_owned(), "payments".to_owned()],
                agents: vec!["pay".to_owned()],
            }]),
            states: Mutex::default(),
            begun: Mutex::default(),
        }
    }

    #[test]
    fn progress_says_how_long() {
        let progress = Progress {
            done: 250,
            total: 1000,
            rate: 250.0,
        };
        assert_eq!(
            PartitionState::Recovering(progress).to_string(),
            "recovering: 250 of 1000 changelog records, 250/s, 3 s left"
        );
        assert_eq!(
            Progress {
                rate: 0.0,
                ..progress
            }
            .seconds_left(),
            None
        );
    }

    #[test]
    fn a_retry_says_what_failed_and_when_it_goes_on() {
        let retry = Retry {
            why: "the disk is full".into(),
            failed: 2,
            at: Instant::now(),
        };
        assert_eq!(
            PartitionState::Retrying(retry).to_string(),
            "retrying, attempt 3 in 0.0 s: the disk is full"
        );
    }

    #[test]
    fn failures_are_listed_by_their_topics() {
        let status = status();
        status.set((0, 1), PartitionState::Running);
        status.set((0, 0), PartitionState::Failed("why".into()));
        assert_eq!(
            status.failures(),
            [("orders+payments[0]".to_owned(), "why".to_owned())]
        );
        assert_eq!(status.snapshot().len(), 2);
    }

    #[test]
    fn a_state_begins_when_its_name_changes() {
        let status = status();
        let at = |done| {
            PartitionState::Recovering(Progress {
                done,
                total: 9,
                rate: 0.0,
            })
        };
        status.set((0, 0), at(1));
        let began = status.lock()[&(0, 0)].since;
        status.set((0, 0), at(2));
        assert_eq!(status.lock()[&(0, 0)].since, began);
        status.set((0, 0), PartitionState::Running);
        assert!(status.lock()[&(0, 0)].since > began);
    }
}
