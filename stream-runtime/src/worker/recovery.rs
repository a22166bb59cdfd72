//! Bringing a task's tables back from store and changelog.
//!
//! A store that is not where to begin is emptied only after the changelog has shown the mark that the group's offsets
//! name: where the changelog is gone, or is another one, the store may be the last copy of the rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::status::Progress;
use crate::error::{Error, Kind};
use crate::kafka::{Batch, Fault, Fetched, PartitionQueue, TopicPartitionOffset};
use crate::store::{Checkpoint, Tree};
use crate::table::{MARK_TAG, Mark};
use crate::task::{Task, not_the_named};

/// The replay of a task's changelogs.
pub(super) struct Recovery {
    replays: Vec<Replay>,
    total: u64,
    began: Instant,
    shown: Instant,
}

/// The replay of one table's changelog partition.
struct Replay {
    table: usize,
    topic: Arc<str>,
    partition: i32,
    tree: Option<Arc<dyn Tree>>,
    /// `None` when there is nothing to read (any more).
    queue: Option<PartitionQueue>,
    next: i64,
    target: i64,
    moved: Instant,
    /// The incarnation the store was written for.
    incarnation: Option<[u8; 16]>,
    /// The one that the group's offsets name.
    named: Option<[u8; 16]>,
    /// Why the store is not where to begin. The changelog is looked through for its mark, and nothing of it taken.
    doubt: Option<String>,
    /// Incarnation of the last mark seen in that look.
    seen: Option<[u8; 16]>,
    /// Why the store is to be emptied: the changelog has been seen to be the right one.
    distrusted: Option<String>,
    /// The first row that does not read, and its offset. What the last mark, behind the rows, says of them comes first.
    odd: Option<(i64, Error)>,
    /// Why the last mark is refused, and its offset.
    refused: Option<(i64, Error)>,
}

/// What a turn of a recovery came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// Nothing has come.
    Waits,
    Moved,
    /// A store was not what it said and has been emptied: make the task again.
    Again,
}

/// What is known of a changelog partition before its replay.
pub(super) struct Changelog {
    pub(super) table: usize,
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) tree: Option<Arc<dyn Tree>>,
    /// First offset in the log.
    pub(super) low: i64,
    /// End of the log, open transactions included.
    pub(super) end: i64,
    /// The incarnation that the group's offsets name for the table, if any.
    pub(super) named: Option<[u8; 16]>,
    /// How long tombstones stay in the log.
    pub(super) tombstones: Duration,
}

impl Changelog {
    /// Why a store's checkpoint is not where to begin; `None`: it is.
    fn distrusts(&self, checkpoint: &Checkpoint, wall: i64) -> Option<String> {
        let (offset, low, end) = (checkpoint.changelog_offset, self.low, self.end);
        if offset > end {
            return Some(format!(
                "it is at offset {offset}, past the changelog's end {end}"
            ));
        }
        if offset < low {
            return Some(format!(
                "it is at offset {offset}, below the changelog's first {low}"
            ));
        }
        if self
            .named
            .is_some_and(|named| named != checkpoint.incarnation)
        {
            return Some("it is of another changelog".to_owned());
        }
        let age = wall.saturating_sub(checkpoint.written_at);
        if age > i64::try_from((self.tombstones / 2).as_millis()).unwrap_or(i64::MAX) {
            return Some(format!(
                "it is {} old, and the changelog may have dropped tombstones since",
                crate::duration::format(age / 1_000 * 1_000)
            ));
        }
        None
    }
}

/// Empties a store whose rows come back from the changelog.
fn empty(tree: &dyn Tree, why: &str) -> Result<(), Error> {
    tracing::warn!(
        table = tree.table(),
        partition = tree.partition(),
        "the store is rebuilt from the changelog: {why}"
    );
    Ok(tree.clear()?)
}

impl Recovery {
    /// Takes each store's checkpoint, or finds out why not; reading begins with [`open`](Self::open).
    pub(super) fn new(
        task: &mut Task,
        changelogs: Vec<Changelog>,
        wall: i64,
    ) -> Result<Self, Error> {
        let now = Instant::now();
        let mut replays = Vec::with_capacity(changelogs.len());
        for log in changelogs {
            let mut from = log.low;
            let (mut incarnation, mut refused, mut doubt) = (None, None, None);
            if let Some(tree) = &log.tree {
                let checkpoint = tree.checkpoint()?;
                let why = match &checkpoint {
                    Some(checkpoint) => log.distrusts(checkpoint, wall),
                    None if tree.is_empty()? => None,
                    None => Some("it does not say how far it is".to_owned()),
                };
                match (checkpoint, why) {
                    (Some(checkpoint), None) => {
                        from = checkpoint.changelog_offset;
                        if !checkpoint.mark.is_empty() {
                            incarnation = Some(checkpoint.incarnation);
                            let taken = task.set_mark(log.table, &checkpoint.mark);
                            // A later one, in the changelog, may say otherwise.
                            refused = taken.err().map(|error| (from, error));
                        }
                    }
                    (None, None) => {}
                    (_, Some(why)) if log.named.is_some() => doubt = Some(why),
                    // No offset of the group knows of these rows: a `reset` elsewhere.
                    (_, Some(why)) => empty(&**tree, &why)?,
                }
            }
            if from == log.low && from > 0 && doubt.is_none() {
                tracing::warn!(
                    "{}[{}] begins at offset {from}: its records before were deleted, by its `cleanup.policy` or by hand; rows that were written only there are missing",
                    log.topic,
                    log.partition
                );
            }
            replays.push(Replay {
                table: log.table,
                topic: log.topic,
                partition: log.partition,
                tree: log.tree,
                queue: None,
                next: from,
                target: log.end,
                moved: now,
                incarnation,
                named: log.named,
                doubt,
                seen: None,
                distrusted: None,
                odd: None,
                refused,
            });
        }
        let total = replays.iter().map(|replay| replay.left()).sum();
        Ok(Self {
            replays,
            total,
            began: now,
            shown: now,
        })
    }

    /// Where to read, for each changelog of which something is to be read.
    pub(super) fn places(&self) -> impl Iterator<Item = TopicPartitionOffset> + '_ {
        let open = self.replays.iter().filter(|replay| replay.left() > 0);
        open.map(|replay| {
            TopicPartitionOffset::new(Arc::clone(&replay.topic), replay.partition, replay.next)
        })
    }

    /// The queues of [`places`](Self::places), in that order.
    pub(super) fn open(&mut self, queues: &mut impl Iterator<Item = PartitionQueue>) {
        for replay in self.replays.iter_mut().filter(|replay| replay.left() > 0) {
            replay.queue = queues.next();
            replay.moved = Instant::now();
        }
    }

    /// Reads what has come, unless the task's cache is full. Without any for `patience`, while there is more to come,
    /// it is an error. `storing`: rows of the task are being written to the store.
    pub(super) fn turn(
        &mut self,
        task: &mut Task,
        batch: &mut Batch,
        patience: Duration,
        storing: bool,
    ) -> Result<Turned, Error> {
        let mut turned = Turned::Waits;
        for replay in &mut self.replays {
            match replay.turn(task, batch, patience, storing)? {
                Turned::Waits => {}
                Turned::Moved => turned = Turned::Moved,
                Turned::Again => return Ok(Turned::Again),
            }
        }
        Ok(turned)
    }

    /// Whether every changelog is read to its target.
    pub(super) fn is_done(&self) -> bool {
        let done = |replay: &Replay| {
            let doubted = replay.doubt.is_some() || replay.distrusted.is_some();
            replay.left() == 0 && !doubted && replay.refused.is_none()
        };
        self.replays.iter().all(done)
    }

    /// Next offset of each table's changelog.
    pub(super) fn next(&self) -> impl Iterator<Item = (usize, i64)> + '_ {
        self.replays
            .iter()
            .map(|replay| (replay.table, replay.next))
    }

    pub(super) fn progress(&self) -> Progress {
        let left: u64 = self.replays.iter().map(Replay::left).sum();
        let done = self.total.saturating_sub(left);
        let seconds = self.began.elapsed().as_secs_f64();
        Progress {
            done,
            total: self.total,
            rate: if seconds > 0.0 {
                done as f64 / seconds
            } else {
                0.0
            },
        }
    }

    /// The progress, when it is time to show it: four times a second.
    pub(super) fn shows(&mut self) -> Option<Progress> {
        if self.shown.elapsed() < Duration::from_millis(250) {
            return None;
        }
        self.shown = Instant::now();
        Some(self.progress())
    }
}

impl Replay {
    fn left(&self) -> u64 {
        u64::try_from(self.target - self.next).unwrap_or(0)
    }

    fn turn(
        &mut self,
        task: &mut Task,
        batch: &mut Batch,
        patience: Duration,
        storing: bool,
    ) -> Result<Turned, Error> {
        if let Some(why) = &self.distrusted {
            // What is being written would come back after it was emptied.
            if storing {
                return Ok(Turned::Waits);
            }
            if let Some(tree) = &self.tree {
                empty(&**tree, why)?;
            }
            return Ok(Turned::Again);
        }
        let looks = self.doubt.is_some();
        let Some(queue) = &self.queue else {
            return match (self.verdict(), looks) {
                (Some(error), _) => Err(error),
                (None, true) => self.judge(task),
                (None, false) => Ok(Turned::Waits),
            };
        };
        if task.is_full() && !looks {
            self.moved = Instant::now();
            return Ok(Turned::Waits);
        }
        let mut fault = None::<Fault>;
        let (next, table, seen) = (&mut self.next, self.table, &mut self.seen);
        let (odd, refused) = (&mut self.odd, &mut self.refused);
        let count = queue.read(batch, |fetched| match fetched {
            Fetched::Record(record) => {
                // Rows behind the target are newer than our takeover: nobody else may write them.
                let key = record.key.unwrap_or_default();
                let offset = record.offset;
                let is_mark = key.first() == Some(&MARK_TAG);
                if looks {
                    if let Some(bytes) = record.value.filter(|_| is_mark) {
                        let mark = Mark::decode(bytes).map(|mark| *seen = Some(mark.incarnation));
                        *refused = mark.err().map(|cause| (offset, cause));
                    }
                } else if is_mark {
                    let taken = task.restore(table, key, record.value);
                    *refused = taken.err().map(|cause| (offset, cause));
                } else if odd.is_none()
                    && let Err(cause) = task.restore(table, key, record.value)
                {
                    *odd = Some((offset, cause));
                }
                *next = (*next).max(record.offset + 1);
            }
            Fetched::End { offset } => *next = (*next).max(offset),
            Fetched::Error { code, text } => {
                fault.get_or_insert(Fault::of_code("read the changelog", code).because(&text));
            }
        });
        if let Some(error) = self.verdict() {
            return Err(error);
        }
        let name = task.topology().tables[self.table].descriptor.name;
        let place = || {
            format!(
                "table `{name}`, changelog {}[{}] at offset {}, to {}",
                self.topic, self.partition, self.next, self.target
            )
        };
        if count > 0 {
            self.moved = Instant::now();
        }
        if let Some(fault) = fault {
            if fault.is_out_of_range() {
                // It was cut or made again meanwhile: the next attempt asks where it begins and ends, and goes by that.
                return Err(Error::new(Kind::Broker, format!("{}: {fault}", place())));
            }
            tracing::warn!("{}: {fault}", place());
        }
        if self.next >= self.target {
            self.queue = None;
            if looks {
                return self.judge(task);
            }
            let mark = task.mark(self.table).map(|mark| mark.incarnation);
            if self.incarnation.is_some() && mark != self.incarnation {
                (self.seen, self.doubt) = (mark, Some("it is of another changelog".to_owned()));
                return self.judge(task);
            }
        } else if self.moved.elapsed() > patience {
            let text = format!(
                "{}: no progress for {} s: another program's transaction may be open there, or the broker is in trouble; look at the broker",
                place(),
                patience.as_secs()
            );
            return Err(Error::new(Kind::Broker, text));
        }
        Ok(if count > 0 {
            Turned::Moved
        } else {
            Turned::Waits
        })
    }

    /// Why the state cannot be taken, once all of it has been read.
    fn verdict(&mut self) -> Option<Error> {
        if self.left() > 0 {
            return None;
        }
        let (offset, error) = self.refused.take().or(self.odd.take())?;
        let place = format!("{}[{}] at offset {offset}", self.topic, self.partition);
        Some(error.context(place))
    }

    /// The changelog is read to its end: it is the one that the group's offsets name, and the store may go, or it is
    /// not.
    ///
    /// # Errors
    /// It is not. The store is as it was.
    fn judge(&mut self, task: &Task) -> Result<Turned, Error> {
        let why = self.doubt.take().unwrap_or_default();
        if self.named.is_none() || self.seen == self.named {
            self.distrusted = Some(why);
            return Ok(Turned::Moved);
        }
        let name = task.topology().tables[self.table].descriptor.name;
        let error = not_the_named(name, self.partition, self.seen.is_some());
        Err(error.context(format!(
            "the store of table `{name}`, partition {}, is kept: {why}",
            self.partition
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const TOMBSTONES: Duration = Duration::from_secs(7 * 86_400);

    fn checkpoint(offset: i64) -> Checkpoint {
        Checkpoint {
            changelog_offset: offset,
            mark: vec![1],
            written_at: 10 * DAY,
            incarnation: [7; 16],
        }
    }

    #[test]
    fn a_store_is_trusted_within_the_log_and_its_tombstones() {
        let why = |offset, named, wall| {
            let log = Changelog {
                table: 0,
                topic: "log".into(),
                partition: 0,
                tree: None,
                low: 5,
                end: 20,
                named,
                tombstones: TOMBSTONES,
            };
            log.distrusts(&checkpoint(offset), wall)
        };
        assert_eq!(why(5, None, 11 * DAY), None);
        assert_eq!(why(20, Some([7; 16]), 13 * DAY), None);
        assert!(why(4, None, 11 * DAY).unwrap().contains("below"));
        assert!(why(21, None, 11 * DAY).unwrap().contains("past"));
        assert!(why(9, Some([8; 16]), 11 * DAY).unwrap().contains("another"));
        assert!(why(9, None, 14 * DAY).unwrap().contains("tombstones"));
    }
}
