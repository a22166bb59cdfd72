//! Looks from time to time whether the settings that the app's results depend on are still what they must be.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use super::musts::Must;
use crate::kafka::Admin;
use crate::sync::Mutex;
use crate::worker::shutdown_signal::ShutdownSignal;

/// Interval between checks whether the worker ends.
const REST: Duration = Duration::from_millis(500);

/// Reasons why sub-topologies must not go on, by index, as they were last seen.
#[derive(Debug, Default)]
pub(in crate::worker) struct Unfit(Mutex<BTreeMap<usize, String>>);

impl Unfit {
    fn all(&self) -> MutexGuard<'_, BTreeMap<usize, String>> {
        self.0.lock()
    }

    /// Why this one must not go on, if so.
    pub(in crate::worker) fn why(&self, topology: usize) -> Option<String> {
        self.all().get(&topology).cloned()
    }
}

/// What looks. It holds nothing of its worker but this: a question to a broker that is away may outlive the worker.
pub(in crate::worker) struct Watch {
    pub(in crate::worker) admin: Arc<Admin>,
    pub(in crate::worker) stop: ShutdownSignal,
    pub(in crate::worker) unfit: Arc<Unfit>,
    pub(in crate::worker) musts: Vec<Must>,
    pub(in crate::worker) broker: String,
    pub(in crate::worker) every: Duration,
}

impl Watch {
    /// Looks until the worker is asked to stop. `tell` is told which sub-topology must not go on, and why.
    pub(in crate::worker) fn run(self, tell: impl Fn(usize, &str)) {
        let names: Vec<&str> = self.musts.iter().map(|must| must.topic.as_str()).collect();
        let mut told: BTreeMap<&str, String> = BTreeMap::new();
        loop {
            let rested = Instant::now();
            while rested.elapsed() < self.every {
                if self.stop.is_asked() || names.is_empty() {
                    return;
                }
                std::thread::sleep(REST.min(self.every));
            }
            let configs = match self.admin.configs(&names) {
                Ok(configs) => configs,
                Err(fault) => {
                    tracing::debug!("{fault}; looking again later");
                    continue;
                }
            };
            let mut unfit = BTreeMap::new();
            for must in &self.musts {
                // A topic that is gone, or may not be asked about, is what it was.
                let Some(config) = configs.get(&must.topic) else {
                    continue;
                };
                let wrong = must.wrong(config);
                if wrong.is_empty() {
                    if told.remove(must.topic.as_str()).is_some() {
                        tracing::info!(topic = must.topic, "its settings are right again");
                    }
                    continue;
                }
                let text = must.text(&wrong, &self.broker);
                if told.get(must.topic.as_str()) != Some(&text) {
                    tracing::error!("changed while the worker runs: {text}");
                    told.insert(&must.topic, text.clone());
                }
                for topology in &must.writers {
                    unfit.entry(*topology).or_insert_with(|| text.clone());
                }
            }
            let new: Vec<(usize, String)> = {
                let mut before = self.unfit.all();
                let new = unfit.iter().filter(|(at, _)| !before.contains_key(at));
                let new = new.map(|(at, text)| (*at, text.clone())).collect();
                *before = unfit;
                new
            };
            for (topology, text) in new {
                tell(topology, &text);
            }
        }
    }
}
