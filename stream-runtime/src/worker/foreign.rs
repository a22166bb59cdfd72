//! Offsets of the app's group that no worker of the app has committed.
//!
//! A consumer that takes the app's group id is given partitions, and moves their offsets past records that the app never
//! saw. The group's protocol does not tell it from a worker. The text that workers write beside every offset does: see
//! [`signature`].

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::WorkerHandle;
use super::partition::Phase;
use super::shared::wall;
use super::thread::StreamThread;
use crate::error::{Error, Kind, quiet};
use crate::kafka::{Committed, TopicPartition};
use crate::task::{self, signature};

/// Time between two looks at the partitions of others.
const EVERY: Duration = Duration::from_secs(10);
/// Longest wait for an answer: somebody's transaction may be open. The member leaves its group only afterwards.
const PATIENCE: Duration = Duration::from_secs(5);
/// Seconds after an app's first commit with a text during which offsets without one are taken for those of workers built
/// before.
const UPGRADE: i64 = 3_600;

/// Choice for a partition whose offset no worker of the app has committed.
///
/// Such an offset is a consumer's that took the app's group id, or a person's who moved it. Where an app has never committed
/// itself, as one of before, it is always taken, once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnForeignCommit {
    /// Its partition stops and says so; the others go on.
    #[default]
    Stop,
    /// Its events are read from there on.
    Take,
}

/// Summary of the texts beside the app's offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signatures {
    /// Since when there are texts, in seconds of the epoch; 0: from the first commit on. `None`: there are none.
    since: Option<i64>,
    /// An offset has no text.
    unsigned: bool,
}

/// The same for the inputs of one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signed {
    /// Value that this task's commits write.
    pub(super) since: i64,
    /// True while its committed offsets lack it.
    pub(super) anew: bool,
    /// Since when other offsets of the app do.
    known: Option<i64>,
}

impl Signatures {
    pub(super) fn of(committed: &[Committed]) -> Self {
        let has = committed.iter().filter(|c| c.offset.is_some());
        let since = committed.iter().map(|c| signature::since(&c.metadata));
        Self {
            // The latest: while some partitions have just been taken from workers built before, others may follow.
            since: since.flatten().max(),
            unsigned: has
                .filter(|c| !signature::is_a_worker_s(&c.metadata))
                .count()
                > 0,
        }
    }

    /// Returns the value that a task is to write, and the one that others have. `wall` is the wall clock, epoch ms.
    pub(super) fn for_task(self, committed: &[task::Committed], wall: i64) -> Signed {
        let since = committed.iter().map(|c| signature::since(&c.metadata));
        let own = since.flatten().max();
        let first = if self.unsigned { wall / 1_000 } else { 0 };
        let unsigned =
            |c: &task::Committed| c.offset.is_some() && signature::since(&c.metadata).is_none();
        Signed {
            since: own.or(self.since).unwrap_or(first),
            anew: committed.iter().any(unsigned),
            known: self.since,
        }
    }
}

/// Returns whether an offset without a text is somebody else's, when the app's have had texts since then.
fn is_foreign(known: Option<i64>, wall: i64) -> bool {
    known.is_some_and(|since| wall / 1_000 - since >= UPGRADE)
}

fn text(app: &str, (topic, partition): (&str, i32), offset: i64) -> String {
    format!(
        "{topic}[{partition}]: its committed offset {offset} is no worker's of this app: a consumer with the group id `{app}` took part in the group, or somebody moved the offset. What lies before it may never have been processed. End that consumer, then `--on-foreign-commit take` goes on from there, or `reset` begins anew"
    )
}

impl StreamThread {
    /// Looks at whose the offsets are at which a task is to begin.
    ///
    /// # Errors
    /// One is somebody else's, and is not to be taken.
    pub(super) fn check_foreign(&self, at: usize) -> Result<(), Error> {
        let partition = &self.partitions[at];
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
            let foreign = marked || is_foreign(recovering.signed.known, wall());
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
        for (topology, count) in self.worker.topologies.iter().zip(&self.worker.counts) {
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
        if self.looking.last.elapsed() < EVERY || self.assigned.is_none() {
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
            match visitor.and_then(|visitor| visitor.committed(&all, PATIENCE)) {
                Ok(committed) => seen.compare(&committed, &worker.app, &worker.handle),
                Err(fault) => tracing::debug!("{fault}; looking again later"),
            }
            seen.busy.store(false, Ordering::Release);
        });
    }
}

/// State of the looks at the partitions of others.
pub(super) struct Looking {
    last: Instant,
    seen: Arc<Strangers>,
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
struct Strangers {
    busy: AtomicBool,
    unsigned: Mutex<BTreeSet<TopicPartition>>,
}

impl Strangers {
    /// Tells the worker of offsets without a text that had none at the last look either: who has just taken a partition from
    /// a worker built before commits them again at once.
    fn compare(&self, committed: &[Committed], app: &str, handle: &WorkerHandle) {
        let unsigned = committed
            .iter()
            .filter(|c| c.offset.is_some() && !signature::is_a_worker_s(&c.metadata));
        let unsigned: Vec<&Committed> = unsigned.collect();
        let now: BTreeSet<TopicPartition> = unsigned
            .iter()
            .map(|c| (Arc::clone(&c.topic), c.partition))
            .collect();
        let before = {
            let mut seen = self.unsigned.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *seen, now)
        };
        let known = Signatures::of(committed).since;
        let mut strangers = unsigned
            .iter()
            .filter(|c| before.contains(&(Arc::clone(&c.topic), c.partition)));
        let first = strangers.next().filter(|_| is_foreign(known, wall()));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(partition: i32, offset: Option<i64>, text: &str) -> Committed {
        Committed {
            topic: Arc::from("in"),
            partition,
            offset,
            metadata: text.into(),
        }
    }

    fn of(text: &str) -> [task::Committed; 1] {
        [task::Committed {
            offset: Some(5),
            metadata: text.into(),
        }]
    }

    const NOW: i64 = 1_800_000_000_000;

    #[test]
    fn an_app_that_begins_writes_texts_from_its_first_commit_on() {
        let none = [committed(0, None, ""), committed(1, None, "")];
        let fresh = Signatures::of(&none).for_task(&[task::Committed::default()], NOW);
        assert_eq!((fresh.since, fresh.anew), (0, false));
        // Another one finds these, and an offset without a text beside them.
        let others = [committed(0, Some(7), "#=0"), committed(1, Some(9), "")];
        let other = Signatures::of(&others).for_task(&of(""), NOW);
        assert_eq!((other.since, other.anew), (0, true));
        assert!(is_foreign(other.known, NOW));
    }

    #[test]
    fn an_app_of_before_is_taken_and_its_other_workers_have_an_hour() {
        let none = [committed(0, Some(3), ""), committed(1, Some(4), "")];
        let taken = Signatures::of(&none).for_task(&of(""), NOW);
        assert_eq!((taken.since, taken.anew), (NOW / 1_000, true));
        assert!(!is_foreign(taken.known, NOW), "nobody has written a text");
        let text = format!("#={}", NOW / 1_000);
        let half = [committed(0, Some(3), &text), committed(1, Some(4), "")];
        let later = Signatures::of(&half).for_task(&of(""), NOW + 60_000);
        assert_eq!(later.since, NOW / 1_000, "the hour does not begin again");
        assert!(!is_foreign(later.known, NOW + 60_000));
        assert!(is_foreign(later.known, NOW + 3_600_000));
    }

    #[test]
    fn incarnations_alone_are_a_worker_s_of_before() {
        let text = "sums=00000000000000000000000000000001";
        let before = [committed(0, Some(3), text)];
        let signed = Signatures::of(&before).for_task(&of(text), NOW);
        assert_eq!((signed.since, signed.anew, signed.known), (0, true, None));
    }

    #[test]
    fn an_offset_without_a_text_is_told_of_at_the_second_look() {
        let handle = super::super::handle::idle();
        let seen = Strangers::default();
        let others = [committed(0, Some(7), "#=0"), committed(1, Some(9), "")];
        seen.compare(&others, "app", &handle);
        assert!(!handle.unready().iter().any(|line| line.contains("in[1]")));
        seen.compare(&others, "app", &handle);
        let lines = handle.unready();
        let told = lines.iter().find(|line| line.contains("in[1]")).unwrap();
        for part in ["offset 9", "group id `app`", "--on-foreign-commit take"] {
            assert!(told.contains(part), "{told}");
        }
        let signed = [committed(0, Some(7), "#=0"), committed(1, Some(9), "#=0")];
        seen.compare(&signed, "app", &handle);
        assert!(!handle.unready().iter().any(|line| line.contains("in[1]")));
    }
}
