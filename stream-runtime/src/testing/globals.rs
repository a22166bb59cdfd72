//! Global tables of a [`TestApp`](super::TestApp): what every worker would have read.

use std::collections::HashMap;
use std::sync::Arc;

use super::cluster::Cluster;
use crate::error::Error;
use crate::table::{AnyReplica, replica_of};
use crate::task::States;
use crate::topology::Plan;
use crate::worker::WorkerHandle;

/// A global table, and how far it is read.
struct Global {
    name: &'static str,
    topic: String,
    is_changelog: bool,
    replica: Arc<dyn AnyReplica>,
    next: HashMap<i32, usize>,
}

/// All global tables of an app.
pub(super) struct Globals(Vec<Global>);

impl Globals {
    pub(super) fn of(plan: &Plan) -> Result<Self, Error> {
        let mut globals = Vec::new();
        for planned in plan.globals() {
            globals.push(Global {
                name: planned.table.name,
                replica: replica_of(planned.table, planned.global)?,
                is_changelog: planned.global.source.is_none(),
                topic: planned.topic,
                next: HashMap::new(),
            });
        }
        Ok(Globals(globals))
    }

    /// The app's resources and the rows.
    pub(super) fn beside(&self, states: Arc<States>) -> Arc<States> {
        let mut all = (*states).clone();
        for global in &self.0 {
            all.insert(global.replica.id(), Arc::clone(&global.replica).as_any());
        }
        Arc::new(all)
    }

    /// What runs beside the streams finds them at the worker.
    pub(super) fn tell(&self, worker: &WorkerHandle) {
        for global in &self.0 {
            let replica = Arc::clone(&global.replica);
            worker.replicas.complete(global.name, replica);
        }
    }

    /// Reads what has come. A record that does not read is left out, as a worker does.
    pub(super) fn follow(&mut self, cluster: &Cluster) -> Result<(), Error> {
        for global in &mut self.0 {
            for partition in 0..cluster.partitions {
                let next = global.next.entry(partition).or_default();
                if global.is_changelog {
                    let key = (global.topic.clone(), partition);
                    let log = cluster.changelogs.get(&key).map_or(&[][..], Vec::as_slice);
                    for (key, value) in &log[*next..] {
                        global.replica.take(Some(key), value.as_deref())?;
                    }
                    *next = log.len();
                } else {
                    let log = cluster.log(&global.topic, partition);
                    for entry in &log[*next..] {
                        let _ = global
                            .replica
                            .take(entry.key.as_deref(), entry.value.as_deref());
                    }
                    *next = log.len();
                }
            }
        }
        Ok(())
    }

    /// Every worker starts again: it reads them again.
    pub(super) fn forget(&mut self) {
        for global in &mut self.0 {
            global.replica.clear();
            global.next.clear();
        }
    }
}
