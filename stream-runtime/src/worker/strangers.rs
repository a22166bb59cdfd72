//! Who commits in the group without being a worker.

use super::handle::WorkerHandle;
use super::signatures::{Signatures, is_foreign, text};
use crate::clock::wall_ms;
use crate::error::quiet;
use crate::kafka::{Committed, TopicPartition};
use crate::sync::Mutex;
use crate::task::signature;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// State of the looks at the partitions of others.
pub(super) struct Looking {
    pub(super) last: Instant,
    pub(super) seen: Arc<Strangers>,
}

impl Looking {
    pub(super) fn new() -> Self {
        Self {
            last: Instant::now(),
            seen: Arc::default(),
        }
    }
}

/// Partitions without a text at the last look.
#[derive(Default)]
pub(super) struct Strangers {
    pub(super) busy: AtomicBool,
    pub(super) unsigned: Mutex<BTreeSet<TopicPartition>>,
}

impl Strangers {
    /// Tells the worker of offsets without a text that had none at the last look either: who has just taken a partition
    /// from a worker built before commits them again at once.
    pub(super) fn compare(&self, committed: &[Committed], app: &str, handle: &WorkerHandle) {
        let unsigned = committed
            .iter()
            .filter(|c| c.offset.is_some() && !signature::is_a_worker_s(&c.metadata));
        let unsigned: Vec<&Committed> = unsigned.collect();
        let now: BTreeSet<TopicPartition> = unsigned
            .iter()
            .map(|c| (Arc::clone(&c.topic), c.partition))
            .collect();
        let before = {
            let mut seen = self.unsigned.lock();
            std::mem::replace(&mut *seen, now)
        };
        let known = Signatures::of(committed).since;
        let mut strangers = unsigned
            .iter()
            .filter(|c| before.contains(&(Arc::clone(&c.topic), c.partition)));
        let first = strangers.next().filter(|_| is_foreign(known, wall_ms()));
        let Some(first) = first else {
            handle.others(None);
            return;
        };
        let place = (&*first.topic, first.partition);
        let mut why = text(app, place, first.offset.unwrap_or_default());
        match strangers.count() {
            0 => {}
            more => why.push_str(&format!(" (and {more} more partitions)")),
        }
        if let Some(more) = quiet::news("offsets", &why) {
            tracing::error!("{why}{}", quiet::and(more));
        }
        handle.others(Some(why));
    }
}
