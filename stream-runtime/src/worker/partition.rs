//! One task on its stream thread: its queues, its changelogs, what it is doing.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clocks::{IdleClock, LullClock};
use super::metrics::Meters;
use super::recovery::Recovery;
use super::sent::Sent;
use super::signatures::Signed;
use super::status::TaskName;
use crate::kafka::{
    Batch, Fault, Fetched, PartitionQueue, Reader, TopicPartition, TopicPartitionOffset,
};
use crate::store::Tree;
use crate::task::{Committed, Inbox, RawRecord, Retrying, Task, encode_headers};

/// An inbox this full is not filled further: its bytes are freed when it has run empty.
const FULL: usize = 4 << 20;

/// A task with everything its thread needs for it.
pub(super) struct Partition {
    pub(super) name: TaskName,
    pub(super) task: Task,
    /// One per input, in the order of the sub-topology.
    pub(super) inputs: Vec<Input>,
    /// One per table, in the order of the sub-topology.
    pub(super) tables: Vec<TableState>,
    pub(super) phase: Phase,
    pub(super) idle: IdleClock,
    /// The fresh look at the inputs' ends that closing by `idle` needs has been asked for.
    pub(super) idle_asked: bool,
    /// Clocks of the inputs whose silence is told.
    pub(super) lulls: Vec<LullClock>,
    pub(super) turn: LastTurn,
    pub(super) meters: Meters,
    /// The handler that was waiting for its next attempt as of the last turn.
    pub(super) retrying: Option<Retrying>,
    /// Late (record, window) pairs that the log knows of.
    pub(super) late: u64,
    /// What its outputs came to.
    pub(super) sent: Sent,
    /// Behind a hop: stream time when it was looked at last, since when a source holds it there, and whether the log
    /// says so.
    pub(super) held: (i64, Option<Instant>, bool),
}

/// How far a task was after its last turn.
#[derive(Default)]
pub(super) struct LastTurn {
    /// Events acknowledged.
    pub(super) seen: u64,
    /// It brought records.
    pub(super) brought: bool,
    /// Ticks acknowledged.
    pub(super) ticks: u64,
    /// Watermarks taken.
    pub(super) heard: u64,
}

/// What a task is doing.
pub(super) enum Phase {
    /// Its tables are being read; the inputs wait.
    Recovering(Box<Recovering>),
    /// It processes events.
    Running,
    /// It failed and starts again at `until`; `None`: not by itself. `last`: it ran, and what it had
    /// acknowledged still has to be committed.
    Failed { last: bool, until: Option<Instant> },
}

/// What a task needs until its inputs can begin.
pub(super) struct Recovering {
    // Its queues go before their reader.
    pub(super) recovery: Recovery,
    pub(super) _reader: Option<Rc<Reader>>,
    /// What the group has committed, one entry per input.
    pub(super) committed: Vec<Committed>,
    /// Where inputs begin that nobody committed.
    pub(super) defaults: Vec<i64>,
    /// First offset and end of each input's log.
    pub(super) logs: Vec<(i64, i64)>,
    /// Texts beside the committed offsets.
    pub(super) signed: Signed,
}

/// An input partition.
pub(super) struct Input {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) queue: PartitionQueue,
    /// Offset to read first.
    pub(super) start: i64,
    /// As of the last commit that succeeded, or as found at the start; -1 when there was none.
    pub(super) committed: i64,
    /// Of a repartition topic: records before this offset have been taken away.
    pub(super) purged: i64,
    /// Records have come since its end was reached.
    pub(super) news: Cell<bool>,
}

impl Input {
    /// Read from a place; nobody has committed it.
    pub(super) fn at((place, queue): (&TopicPartitionOffset, PartitionQueue)) -> Self {
        Self {
            topic: Arc::clone(&place.topic),
            partition: place.partition,
            queue,
            start: place.offset,
            committed: -1,
            purged: 0,
            news: Cell::new(true),
        }
    }
}

/// A table's partition: its place in changelog and store.
pub(super) struct TableState {
    /// `None` for `changelog = false`.
    pub(super) changelog: Option<Arc<str>>,
    pub(super) tree: Option<Arc<dyn Tree>>,
    /// Next offset of the changelog behind the last commit.
    pub(super) next: i64,
    /// The round under way.
    pub(super) round: Option<Round>,
    /// What this task's last round said: the changelog's next offset, and when, wall clock in ms.
    pub(super) stored: Option<(i64, i64)>,
    /// How old, in ms, the store's word on how far it is may become: an older one than twice this is not trusted.
    pub(super) fresh: i64,
    /// The incarnation that the group's offsets name for the table, if any.
    pub(super) named: Option<[u8; 16]>,
}

impl TableState {
    /// Returns whether the store is to say how far it is although no row has changed: after so many marks, which come
    /// with time alone, or after so long, recovery would read them all or the whole changelog.
    pub(super) fn is_behind(&self, wall: i64) -> bool {
        const MARKS: i64 = 1_000;
        self.changelog.is_some()
            && self.stored.is_none_or(|(next, at)| {
                self.next - next >= MARKS || wall.saturating_sub(at) >= self.fresh
            })
    }
}

/// A round of the store that is under way.
pub(super) struct Round {
    pub(super) ticket: u64,
    /// The commit that its rows are of.
    pub(super) commit: u64,
    /// What it says: the changelog's next offset, and when, wall clock in ms.
    pub(super) stored: (i64, i64),
}

/// What reading an input came to.
pub(super) struct Read {
    /// Records, and ends of partitions behind records.
    pub(super) items: usize,
    /// Watermarks, and ends further on behind nothing else: no events, but offsets to commit.
    pub(super) passed: usize,
    pub(super) error: Option<Fault>,
}

impl Partition {
    pub(super) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    /// It failed, and does not come back by itself.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.phase, Phase::Failed { until: None, .. })
    }

    /// Moves what was fetched into the inboxes that have room. Stops at the first error.
    pub(super) fn read(&mut self, batch: &mut Batch, headers: &mut Vec<u8>) -> Read {
        let mut read = Read {
            items: 0,
            passed: 0,
            error: None,
        };
        for (at, input) in self.inputs.iter().enumerate() {
            let mut inbox = self.task.inbox(at);
            if !inbox.has_room(batch.size(), FULL) {
                continue;
            }
            input.queue.read(batch, |fetched| match fetched {
                Fetched::Record(record) => {
                    headers.clear();
                    encode_headers(record.headers.iter(), headers);
                    let record = RawRecord {
                        offset: record.offset,
                        timestamp: record.timestamp,
                        key: record.key,
                        value: record.value,
                        headers,
                    };
                    if inbox.push(record) {
                        read.items += 1;
                        input.news.set(true);
                    } else {
                        read.passed += 1;
                    }
                }
                Fetched::End { offset } => {
                    // Behind watermarks or markers of transactions it is not an event, but an offset to commit.
                    if input.news.take() {
                        read.items += 1;
                    } else if offset > inbox.position() {
                        read.passed += 1;
                    }
                    inbox.advance(offset);
                    inbox.reached_end();
                }
                Fetched::Error { code, text } => {
                    let doing = format!(
                        "read {}-{} at offset {}",
                        input.topic,
                        input.partition,
                        inbox.position()
                    );
                    read.error
                        .get_or_insert(Fault::of_code(doing, code).because(&text));
                }
            });
        }
        read
    }

    /// Whether there may be something to commit: it runs, or it has stopped since the last commit.
    pub(super) fn may_commit(&self) -> bool {
        matches!(
            self.phase,
            Phase::Running | Phase::Failed { last: true, .. }
        )
    }

    /// What it had acknowledged is committed, or void.
    pub(super) fn spent(&mut self) {
        if let Phase::Failed { last, .. } = &mut self.phase {
            *last = false;
        }
    }

    /// Whether all inputs have been read to what was their end.
    pub(super) fn is_at_end(&self) -> bool {
        (0..self.inputs.len()).all(|at| self.task.inbox(at).at_end())
    }

    /// Everything that came is processed and committed, as far as this thread knows.
    pub(super) fn is_settled(&self, wall: i64) -> bool {
        let committed = self.inputs.iter().enumerate().all(|(at, input)| {
            let position = self.task.inbox(at).position();
            // Where nothing was ever read there is nothing to commit.
            position == input.committed || (input.committed < 0 && position == input.start)
        });
        let told = !self.task.is_dirty();
        committed && told && self.is_at_end() && self.task.is_quiet() && !self.task.can_idle(wall)
    }

    /// The input partitions, in the order of the inputs.
    pub(super) fn sources(&self) -> impl Iterator<Item = TopicPartition> + '_ {
        self.inputs
            .iter()
            .map(|input| (Arc::clone(&input.topic), input.partition))
    }

    /// The positions of the inputs: next offsets to read.
    pub(super) fn positions(&self) -> Vec<i64> {
        (0..self.inputs.len())
            .map(|at| Inbox::position(&self.task.inbox(at)))
            .collect()
    }

    /// Where to read the inputs on from.
    pub(super) fn places(&self, offsets: &[i64]) -> Vec<TopicPartitionOffset> {
        self.inputs
            .iter()
            .zip(offsets)
            .map(|(input, offset)| {
                TopicPartitionOffset::new(Arc::clone(&input.topic), input.partition, *offset)
            })
            .collect()
    }

    /// Says in the log how many records came too late since it was said last.
    pub(super) fn say_late(&mut self) {
        let late = self.task.late();
        if late > self.late {
            tracing::warn!(
                partition = self.label(),
                late = late - self.late,
                total = late,
                "records came after their windows had closed, and changed nothing there: a larger `grace` takes them"
            );
        }
        self.late = late;
    }

    /// Returns what holds its time back, and since when; the log says it after a minute.
    pub(super) fn held(&mut self) -> Option<(String, Instant)> {
        const SAID: Duration = Duration::from_secs(60);
        let (time, by) = (self.task.stream_time(), self.task.held_back_by());
        let stands = by.is_some() && time == self.held.0;
        let since = match self.held.1.filter(|_| stands) {
            Some(since) => since,
            None => Instant::now(),
        };
        self.held = (time, by.as_ref().map(|_| since), self.held.2 && stands);
        let by = by.filter(|_| stands)?;
        if since.elapsed() >= SAID && !self.held.2 {
            self.held.2 = true;
            tracing::warn!(
                partition = self.label(),
                "stream time has been held back for {} s by {by}: windows that are over by the others stay open",
                since.elapsed().as_secs()
            );
        }
        Some((by, since))
    }

    /// For messages: the inputs' names and the partition.
    pub(super) fn label(&self) -> String {
        let timely = self.task.topology().timely();
        let topics = self.inputs.iter().take(timely).map(|input| &*input.topic);
        let topics: Vec<&str> = topics.collect();
        format!("{}[{}]", topics.join("+"), self.name.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_behind_after_many_marks_or_a_long_time() {
        let mut table = TableState {
            changelog: Some("log".into()),
            tree: None,
            next: 1_500,
            round: None,
            stored: None,
            fresh: 3_600_000,
            named: None,
        };
        assert!(table.is_behind(0), "nobody knows what the last task left");
        table.stored = Some((501, 1_000));
        assert!(!table.is_behind(3_600_999));
        assert!(table.is_behind(3_601_000));
        table.next = 1_501;
        assert!(table.is_behind(1_000));
        table.changelog = None;
        assert!(!table.is_behind(1_000));
    }
}
