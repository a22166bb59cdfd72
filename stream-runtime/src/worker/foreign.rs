//! Offsets of the app's group that no worker of the app has committed.
//!
//! A consumer that takes the app's group id is given partitions, and moves their offsets past records that the app
//! never saw. The group's protocol does not tell it from a worker. The text that workers write beside every offset
//! does: see [`signature`].

use super::settings::OnForeignCommit;
use super::signatures::is_foreign;
use super::signatures::text;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::partition::Phase;
use super::thread::StreamThread;
use crate::clock::wall_ms;
use crate::error::{Error, Kind, quiet};
use crate::kafka::TopicPartition;
use crate::task::signature;

/// Time between two looks at the partitions of others.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Longest wait for an answer: somebody's transaction may be open. The member leaves its group only afterwards.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(5);

impl StreamThread {
    /// Looks at whose the offsets are at which a task is to begin.
    ///
    /// # Errors
    /// One is somebody else's, and is not to be taken.
    pub(super) fn check_foreign(&self, at: usize) -> Result<(), Error> {
        let partition = &self.tasks.partitions[at];
        let Phase::Recovering(recovering) = &partition.phase else {
            return Ok(());
        };
        let strangers = partition.inputs.iter().zip(&recovering.committed);
        let strangers = strangers.filter_map(|(input, committed)| {
            let offset = committed.offset?;
            (!signature::is_a_worker_s(&committed.metadata)).then_some((input, offset))
        });
        for (input, offset) in strangers {
            let app = &self.worker.app;
            // With a mark there has always been a text.
            let marked =
                (0..partition.tables.len()).any(|table| partition.task.mark(table).is_some());
            let foreign = marked || is_foreign(recovering.signed.known, wall_ms());
            let found = text(app, (&input.topic, input.partition), offset);
            if foreign && self.worker.settings.on_foreign_commit == OnForeignCommit::Stop {
                return Err(Error::new(Kind::Refused, found));
            }
            let line = match foreign {
                true => format!(
                    "{}[{}]: going on at {offset}, which no worker of this app has committed",
                    input.topic, input.partition
                ),
                false => format!(
                    "{}[{}]: going on at {offset}, which no worker of this version has committed: an app of before, or somebody who set it on purpose; it is taken once",
                    input.topic, input.partition
                ),
            };
            if let Some(more) = quiet::news("offsets", &line) {
                tracing::warn!("{line}{}", quiet::and(more));
            }
        }
        Ok(())
    }

    /// All inputs of the app.
    pub(super) fn all_inputs(&self) -> Vec<TopicPartition> {
        let mut all = BTreeSet::new();
        for (topology, count) in self
            .worker
            .topologies
            .iter()
            .zip(&self.worker.topics.counts)
        {
            for input in &topology.inputs {
                let topic: Arc<str> = Arc::from(input.topic.as_str());
                all.extend((0..*count).map(|partition| (Arc::clone(&topic), partition)));
            }
        }
        all.into_iter().collect()
    }

    /// Looks from time to time at the offsets of partitions that are with others: one of them may be no worker.
    pub(super) fn look_for_others(&mut self) {
        let settings = &self.worker.settings;
        // One thread of a worker is enough.
        if self.number > 0 || settings.on_foreign_commit == OnForeignCommit::Take {
            return;
        }
        if self.looking.last.elapsed() < LOOK_INTERVAL || self.group.assigned.is_none() {
            return;
        }
        self.looking.last = Instant::now();
        let all = self.all_inputs();
        if self.worker.handle.has(all.len()) {
            self.worker.handle.others(None);
            return;
        }
        let seen = Arc::clone(&self.looking.seen);
        if seen.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let worker = Arc::clone(&self.worker);
        tokio::task::spawn_blocking(move || {
            let visitor = worker.admin.visitor(&worker.app);
            match visitor.and_then(|visitor| visitor.committed(&all, OFFSETS_TIMEOUT)) {
                Ok(committed) => seen.compare(&committed, &worker.app, &worker.handle),
                Err(fault) => tracing::debug!("{fault}; looking again later"),
            }
            seen.busy.store(false, Ordering::Release);
        });
    }
}
