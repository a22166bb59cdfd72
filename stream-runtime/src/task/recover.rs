//! Bringing a task back to its last commit: rows and marks from the changelogs, then the check against the group's
//! offsets.

use crate::error::Error;
use crate::mutants::{self, Mutant};
use crate::table::{Description, MARK_TAG, Mark, NO_TIME, ROW_TAG};

use super::signature;
use super::task::Task;

/// Where an input begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At this offset.
    Offset(i64),
    /// Nobody has ever committed: by the app's `start`.
    Default,
}

/// What the group has committed for one input.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    /// The offset; `None` when there is none.
    pub offset: Option<i64>,
    /// The text beside it.
    pub metadata: String,
}

impl Task {
    /// Takes a record of a table's changelog.
    ///
    /// # Errors
    /// It does not read.
    pub fn restore(&mut self, table: usize, key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        match key.split_first() {
            Some((&ROW_TAG, layout_key)) => self.shared.tables[table].restore(layout_key, value),
            Some((&MARK_TAG, _)) => {
                if let Some(bytes) = value {
                    self.set_mark(table, bytes)?;
                }
                Ok(())
            }
            _ => Err(Error::table(format!(
                "the changelog of table `{}`, partition {}, holds a record that is not this framework's: use a topic of its own, or `reset`",
                self.topology.tables[table].descriptor.name, self.shared.partition
            ))),
        }
    }

    /// Takes a mark, of the changelog or of the store's checkpoint.
    ///
    /// # Errors
    /// It does not read, or the state is not what the program has.
    pub fn set_mark(&mut self, table: usize, bytes: &[u8]) -> Result<(), Error> {
        let named = |error: Error| error.context(self.name_of(table));
        let mark = Mark::decode(bytes).map_err(named)?;
        let (own, encoded) = &self.described[table];
        // Programs that did not say what a table is: taken as it is, and described with the next commit.
        if let Some(was) = mark.table.as_deref()
            && *was != **encoded
        {
            let was = Description::decode(was).map_err(named)?;
            let confirmed = self.shared.settings.rows_confirmed;
            let taken = own.takes(&was, confirmed);
            taken.map_err(|why| named(Error::table(why)))?;
        }
        self.marks[table] = Some(mark);
        Ok(())
    }

    /// A table for messages: its name, where it stands, its changelog partition.
    fn name_of(&self, table: usize) -> String {
        let plan = &self.topology.tables[table];
        let changelog = plan.changelog.as_deref().unwrap_or_default();
        format!(
            "table `{}` ({}), changelog {changelog}[{}]",
            plan.descriptor.name, plan.descriptor.place, self.shared.partition
        )
    }

    /// The changelog of a table is read, or was written by the last commit, up to this offset.
    pub fn changelog_at(&self, table: usize, end: i64) {
        self.logs[table].end.set(end);
    }

    /// The mark of a table as of the last commit or as restored so far.
    pub fn mark(&self, table: usize) -> Option<&Mark> {
        self.marks[table].as_ref()
    }

    /// The changelogs are replayed: checks the marks against what the group has committed (one entry per input) and
    /// says where each input begins.
    ///
    /// # Errors
    /// A mark is ahead of the committed offsets (someone reset offsets without the tables), or a changelog that the
    /// group knows is gone: both name the cure.
    pub fn recovered(&mut self, committed: &[Committed]) -> Result<Vec<StartAt>, Error> {
        self.check_incarnations(committed)?;
        for crontab in &self.shared.calls.crontabs {
            crontab.recovered(committed.iter().map(|have| have.metadata.as_str()));
        }
        let partition = self.shared.partition;
        let exactly_once = self.marks.iter().flatten().any(|mark| mark.exactly_once);
        let mut starts = Vec::with_capacity(committed.len());
        for (input, have) in self.topology.inputs.iter().zip(committed) {
            match (have.offset, self.marked_offset(&input.topic, false)) {
                (Some(have), Some(mark)) if mark > have && exactly_once => {
                    return Err(Error::table(format!(
                        "{}[{partition}]: the group's committed offset is {have}, the tables are at {mark}: someone moved the offsets without the tables; `reset` moves both",
                        input.topic
                    )));
                }
                (Some(have), _) => starts.push(StartAt::Offset(have)),
                (None, _) => match self.marked_offset(&input.topic, true) {
                    Some(mark) => {
                        tracing::warn!(
                            topic = input.topic,
                            partition,
                            offset = mark,
                            "the group has no committed offset; beginning where the tables are"
                        );
                        starts.push(StartAt::Offset(mark));
                    }
                    None => starts.push(StartAt::Default),
                },
            }
        }
        let time = self.marked_time();
        self.shared.clock.stream_time.set(time);
        self.prepared.committed_time = time;
        self.recover_sources(committed)?;
        for (table, mark) in self.shared.tables.iter().zip(&self.marks) {
            let cursor = mark.as_ref().and_then(|mark| mark.closed.as_deref());
            table.recovered(cursor, time_of(mark.as_ref()))?;
        }
        let due = self
            .shared
            .tables
            .iter()
            .map(|t| t.due_at().min(t.expires_at()))
            .min()
            .unwrap_or(i64::MAX);
        self.shared.clock.next_due.set(due);
        Ok(starts)
    }

    /// Returns whether the marks are of one transaction.
    fn is_exact(&self) -> bool {
        self.marks.iter().flatten().all(|mark| mark.exactly_once)
    }

    /// Returns whether each table that has a changelog has a mark.
    fn have_marks(&self) -> bool {
        let logged = self.topology.tables.iter().zip(&self.marks);
        let mut logged = logged.filter(|(table, _)| table.changelog.is_some());
        logged.all(|(_, mark)| mark.is_some())
    }

    /// Returns the offset of an input that the marks say: the largest, or the one that `all` tables have come to.
    /// At-least-once that is none while one has no mark: the first commit may have been cut off before its rows.
    fn marked_offset(&self, topic: &str, all: bool) -> Option<i64> {
        let marks = self.marks.iter().flatten();
        let offsets = marks.filter_map(|mark| mark.inputs.get(topic).copied());
        if !all || self.is_exact() {
            return offsets.max();
        }
        offsets.min().filter(|_| self.have_marks())
    }

    /// Returns the stream time that the tables go on from. Of a commit that was cut off, at-least-once, some tables
    /// have their rows and others not: the oldest mark counts, or what comes again would be late for those that lack
    /// it.
    fn marked_time(&self) -> i64 {
        let times = self.marks.iter().flatten();
        let times = times.map(|mark| time_of(Some(mark)));
        let time = match self.is_exact() {
            true => times.max(),
            false => times.min().filter(|_| self.have_marks()),
        };
        time.unwrap_or(NO_TIME)
    }

    /// Takes how far the sources of stream time were, and how far the task was as a source itself.
    fn recover_sources(&mut self, committed: &[Committed]) -> Result<(), Error> {
        let shared = &self.shared;
        for hop in &shared.times.hops {
            let name = hop.name(shared);
            let times = committed
                .iter()
                .filter_map(|c| signature::time(&c.metadata, &name));
            if let Some(time) = times.max() {
                hop.restore(time);
            }
        }
        let Some(sources) = &shared.times.sources else {
            return Ok(());
        };
        let time = self.marked_time();
        for (table, mark) in self.marks.iter().enumerate() {
            if mutants::is(Mutant::Forgotten) {
                break;
            }
            // Of a later one only what its own table has.
            let mark = mark.as_ref().filter(|mark| time_of(Some(mark)) == time);
            if let Some(known) = mark.and_then(|mark| mark.sources.as_deref()) {
                sources
                    .restore(known)
                    .map_err(|error| error.context(self.name_of(table)))?;
            }
        }
        if self.topology.keeps_sources_beside_offsets() {
            let texts = committed.iter();
            for known in texts.filter_map(|c| signature::sources(&c.metadata)) {
                sources.restore(&known)?;
            }
        }
        let mut bytes = Vec::new();
        sources.encode(&mut bytes);
        self.prepared.committed_sources = Some(bytes.into());
        Ok(())
    }

    /// Says which generation of the group the task is of: before it recovers.
    pub fn begin_in(&mut self, generation: i32) {
        self.shared.times.generation.set(generation);
        if let Some(sources) = &self.shared.times.sources {
            sources.begin(generation);
        }
    }

    /// The worker has sought the inputs: events may begin.
    pub fn begin_at(&mut self, offsets: &[i64]) {
        for (inbox, offset) in self.shared.inputs.inboxes.iter().zip(offsets) {
            inbox.borrow_mut().restart(*offset);
        }
        self.prepared.committed = offsets.to_vec();
    }

    fn check_incarnations(&self, committed: &[Committed]) -> Result<(), Error> {
        let named = committed
            .iter()
            .flat_map(|c| c.metadata.split(';'))
            .filter_map(|pair| pair.split_once('='));
        for (name, incarnation) in named {
            let Some(i) = self
                .topology
                .tables
                .iter()
                .position(|t| t.descriptor.name == name && t.changelog.is_some())
            else {
                continue;
            };
            let here = self.marks[i]
                .as_ref()
                .map(|m| uuid::Uuid::from_bytes(m.incarnation).simple().to_string());
            if here.as_deref() != Some(incarnation) {
                let partition = self.shared.partition;
                return Err(not_the_named(name, partition, here.is_some()));
            }
        }
        Ok(())
    }
}

/// Returns the stream time of a mark; [`NO_TIME`] without.
fn time_of(mark: Option<&Mark>) -> i64 {
    mark.and_then(|mark| mark.stream_time).unwrap_or(NO_TIME)
}

/// The error of a changelog that is not the one that the group's offsets name; `is_one`: it holds a mark, of another.
pub(crate) fn not_the_named(table: &str, partition: i32, is_one: bool) -> Error {
    let became = if is_one {
        "was created again"
    } else {
        "is gone or empty"
    };
    Error::table(format!(
        "the changelog of table `{table}`, partition {partition}, {became}: the group's offsets belong to another one; put it back as it was, or `reset` starts again"
    ))
}
