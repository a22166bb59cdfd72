//! What one commit takes from a task, and what happens to it.

use std::rc::Rc;
use std::sync::Arc;

use super::calls::Crontab;
use super::hop::Hop;
use super::record_buffer::Outgoing;
use super::signature;
use super::task::Task;
use super::watermark::put_watermark;
use crate::error::Error;
use crate::mutants::{self, Mutant};
use crate::store::RowWrite;
use crate::table::{Chunk, MARK_KEY, Mark, NO_TIME, RowBatch, Scan, TablePartition};

/// Key and value of a record.
pub type KeyValue<'a> = (&'a [u8], &'a [u8]);

impl Task {
    /// Gathers what is acknowledged since the last commit; what is in flight stays out. `false` when there is nothing.
    ///
    /// # Errors
    /// A row does not serialize, or is larger than its changelog takes: see [`Task::be_careful`], then abort.
    pub fn prepare(&mut self) -> Result<bool, Error> {
        let shared = &self.shared;
        let prepared = &mut self.prepared;
        prepared.offsets.clear();
        prepared.offsets.extend(
            shared
                .inputs
                .inboxes
                .iter()
                .map(|i| i.borrow().commit_offset()),
        );
        prepared.stream_time = shared.clock.stream_time.get();
        shared.clock.dirty.set(0);
        prepared.marks.clear();
        shared.send_unreadable();
        let mut changed =
            prepared.offsets != prepared.committed || !shared.effects.batch.borrow().is_empty();
        changed |= prepared.unsigned;
        for hop in &shared.times.hops {
            changed |= hop.prepare(shared);
        }
        prepared.hops.clear();
        let times = shared.times.hops.iter().map(|hop| hop.time(shared));
        prepared.hops.extend(times);
        prepared.sources = shared.times.sources.as_ref().map(|sources| {
            let mut bytes = Vec::new();
            sources.encode(&mut bytes);
            bytes.into()
        });
        let heard = prepared.sources != prepared.committed_sources;
        for crontab in &shared.calls.crontabs {
            changed |= crontab.prepare();
        }
        let ahead = |table: &Rc<dyn TablePartition>| table.time() > prepared.stream_time;
        let together = !shared.tables.iter().any(ahead);
        for (i, table) in shared.tables.iter().enumerate() {
            table.prepare()?;
            let mut rows = 0;
            table.with_batch(&mut |batch| rows = batch.len());
            let moved = rows > 0
                || table.cursor_moved()
                || prepared.stream_time != prepared.committed_time
                || heard;
            changed |= moved;
            if !moved || self.topology.tables[i].changelog.is_none() {
                prepared.marks.push(None);
                continue;
            }
            let mut mark = self.marks[i].clone().unwrap_or_else(|| {
                Mark::begin(
                    *uuid::Uuid::new_v4().as_bytes(),
                    shared.settings.exactly_once,
                )
            });
            // Until the others have come as far as a table that is ahead, the marks are not those of one commit.
            mark.exactly_once = shared.settings.exactly_once && together;
            mark.table = Some(Arc::clone(&self.described[i].1));
            let time = table.time();
            mark.stream_time = (time != NO_TIME).then_some(time);
            mark.set_sources(prepared.sources.clone());
            let mut cursor = Vec::new();
            mark.closed = table.cursor(&mut cursor).then_some(cursor);
            mark.inputs = self
                .topology
                .inputs
                .iter()
                .zip(&prepared.offsets)
                .map(|(input, offset)| (input.topic.clone(), *offset))
                .collect();
            let mut bytes = Vec::new();
            mark.encode(&mut bytes)?;
            prepared.marks.push(Some((bytes, mark)));
        }
        Ok(changed)
    }

    /// The prepared outputs in order: topic and record.
    pub fn each_output<E>(
        &self,
        mut f: impl FnMut(&str, Outgoing<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let batch = self.shared.effects.batch.borrow();
        batch
            .iter()
            .try_for_each(|out| f(&self.shared.outputs.topics[out.topic], out))
    }

    /// The prepared rows of a table and its mark (key and value), to send to its changelog.
    pub fn with_changes(&self, table: usize, f: &mut dyn FnMut(&RowBatch, Option<KeyValue<'_>>)) {
        let mark = self
            .prepared
            .marks
            .get(table)
            .and_then(Option::as_ref)
            .map(|(bytes, _)| (MARK_KEY, bytes.as_slice()));
        self.shared.tables[table].with_batch(&mut |rows| f(rows, mark));
    }

    /// The watermarks of the prepared commit: the repartition topic, the headers, the time for Kafka's stamp. Each goes
    /// to every partition of its topic, behind all records of the commit.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn each_watermark<E>(
        &self,
        mut f: impl FnMut(&str, &[u8], i64) -> Result<(), E>,
    ) -> Result<(), E> {
        let shared = &self.shared;
        let mut headers = Vec::new();
        for hop in &shared.times.hops {
            let Some(word) = hop.telling() else {
                continue;
            };
            headers.clear();
            put_watermark(&[word], &mut headers);
            let time = word.stamp().unwrap_or(shared.times.wall.get());
            f(
                &shared.outputs.topics[hop.output],
                &headers,
                shared.stamp(time),
            )?;
        }
        Ok(())
    }

    /// The offsets of the prepared commit, one per input: always all of them.
    pub fn offsets(&self) -> impl Iterator<Item = (&str, i64)> {
        self.topology
            .inputs
            .iter()
            .zip(&self.prepared.offsets)
            .map(|(input, offset)| (input.topic.as_str(), *offset))
    }

    /// The offsets that the prepared commit must hold, by input: all of them, moved or not. Without any, as when only
    /// windows have closed, no transaction would be checked against the group.
    pub fn commit_offsets(&self) -> impl Iterator<Item = (usize, i64)> {
        let moved = |(at, offset): &(usize, i64)| self.prepared.committed.get(*at) != Some(offset);
        let all = self.prepared.offsets.iter().copied().enumerate();
        all.filter(move |offset| !mutants::is(Mutant::Offsets) || moved(offset))
    }

    /// Says since when the app's commits have had the text that [`signature`] describes; `again`: those that this task
    /// found do not have it, and it commits them again although nothing has moved.
    pub fn sign(&mut self, since: i64, again: bool) {
        (self.prepared.since, self.prepared.unsigned) = (since, again);
    }

    /// Says who commits: the thread that the transactions are of.
    pub fn is_written_by(&mut self, writer: String) {
        self.prepared.writer = Some(writer);
    }

    /// Returns the text beside the offsets: whose they are, the incarnations of the task's changelogs, and how far its
    /// crontabs are.
    pub fn commit_metadata(&self) -> String {
        let crontabs = self.shared.calls.crontabs.iter();
        let hops = self.prepared.hops.iter().copied();
        let sources = self.prepared.sources.as_deref();
        self.metadata(crontabs.filter_map(Crontab::prepared), hops, sources)
    }

    /// The same of the last commit.
    pub fn committed_metadata(&self) -> String {
        let crontabs = self.shared.calls.crontabs.iter();
        let hops = self.shared.times.hops.iter().map(Hop::committed);
        let sources = self.prepared.committed_sources.as_deref();
        self.metadata(crontabs.filter_map(Crontab::committed), hops, sources)
    }

    fn metadata(
        &self,
        crontabs: impl Iterator<Item = String>,
        hops: impl Iterator<Item = i64>,
        sources: Option<&[u8]>,
    ) -> String {
        let mut out = String::new();
        signature::begin(self.prepared.since, &mut out);
        if let Some(writer) = &self.prepared.writer {
            signature::put_writer(writer, &mut out);
        }
        for crontab in crontabs {
            out.push(';');
            out.push_str(&crontab);
        }
        for (hop, time) in self.shared.times.hops.iter().zip(hops) {
            if time != NO_TIME && !hop.is_kept_by_its_task() {
                signature::put_time(&hop.name(&self.shared), time, &mut out);
            }
        }
        if self.topology.keeps_sources_beside_offsets()
            && let Some(sources) = sources
        {
            signature::put_sources(sources, &mut out);
        }
        for (i, table) in self.topology.tables.iter().enumerate() {
            let prepared = self
                .prepared
                .marks
                .get(i)
                .and_then(Option::as_ref)
                .map(|(_, mark)| mark);
            if let Some(mark) = prepared.or(self.marks[i].as_ref()) {
                out.push(';');
                out.push_str(table.descriptor.name);
                out.push('=');
                out.push_str(
                    &uuid::Uuid::from_bytes(mark.incarnation)
                        .simple()
                        .to_string(),
                );
            }
        }
        out
    }

    /// The prepared commit is durable.
    pub fn committed(&mut self) {
        let shared = &self.shared;
        for (i, table) in shared.tables.iter().enumerate() {
            table.committed();
            if let Some((_, mark)) = self.prepared.marks.get_mut(i).and_then(Option::take) {
                self.marks[i] = Some(mark);
            }
        }
        shared.calls.crontabs.iter().for_each(Crontab::commit);
        for (hop, time) in shared.times.hops.iter().zip(&self.prepared.hops) {
            hop.keep(*time);
            hop.commit(shared);
        }
        self.prepared.committed_sources = self.prepared.sources.take();
        shared.effects.batch.borrow_mut().clear();
        shared.effects.acked.set(0);
        self.prepared.committed_time = self.prepared.stream_time;
        self.prepared.unsigned = false;
        std::mem::swap(&mut self.prepared.committed, &mut self.prepared.offsets);
        shared.effects.blame.committed(&self.prepared.committed);
    }

    /// Everything since the last commit is void: tables, outputs, agents and inboxes go back to it. Returns the offset
    /// of each input to seek to.
    ///
    /// # Errors
    /// The store does not read.
    pub fn aborted(&mut self) -> Result<Vec<i64>, Error> {
        self.remake_agents();
        let shared = &self.shared;
        shared.effects.blame.aborted();
        shared.clock.dirty.set(0);
        shared.clock.next_due.set(i64::MAX);
        shared.clock.stream_time.set(self.prepared.committed_time);
        if let (Some(sources), Some(committed)) =
            (&shared.times.sources, &self.prepared.committed_sources)
        {
            sources.go_back(committed)?;
        }
        shared.times.hops.iter().for_each(Hop::abort);
        for table in &shared.tables {
            if mutants::is(Mutant::Overlay) {
                table.committed();
            }
            table.aborted()?;
        }
        let due = shared
            .tables
            .iter()
            .map(|t| t.due_at().min(t.expires_at()))
            .min()
            .unwrap_or(i64::MAX);
        shared.clock.next_due.set(due);
        for crontab in &shared.calls.crontabs {
            crontab.aborted();
            shared.calls.next_tick.set(0);
        }
        shared.effects.batch.borrow_mut().clear();
        shared.effects.acked.set(0);
        shared.failure.borrow_mut().take();
        for (inbox, offset) in shared.inputs.inboxes.iter().zip(&self.prepared.committed) {
            inbox.borrow_mut().restart(*offset);
        }
        Ok(self.prepared.committed.clone())
    }

    /// A row of a table as of the last commit: its bytes, by its layout key.
    ///
    /// # Errors
    /// The key does not read, or the store.
    pub fn read_committed(
        &self,
        table: usize,
        layout_key: &[u8],
    ) -> Result<Option<Vec<u8>>, Error> {
        self.shared.tables[table].committed_row(layout_key, self.committed_time(table))
    }

    /// Rows of a table as of the last commit, some at a time.
    ///
    /// # Errors
    /// A row does not read, or the store.
    pub fn scan_committed(&self, table: usize, scan: &Scan) -> Result<Chunk, Error> {
        self.shared.tables[table].committed_rows(scan, self.committed_time(table))
    }

    /// Stream time as of the last commit.
    fn committed_time(&self, table: usize) -> i64 {
        // A table without changelog has no mark.
        self.marks[table].as_ref().map_or_else(
            || self.shared.clock.stream_time.get(),
            |mark| mark.stream_time.unwrap_or(NO_TIME),
        )
    }

    /// Rows of a table for the store, the commit they are of, and the mark of that commit; `bare`: also when no row
    /// changed.
    pub fn take_round(
        &mut self,
        table: usize,
        bare: bool,
    ) -> Option<(Vec<RowWrite>, u64, Option<Mark>)> {
        let (rows, commit) = self.shared.tables[table].take_unstored(bare)?;
        Some((rows, commit, self.marks[table].clone()))
    }

    /// Rows of a table that await the store.
    pub fn unstored(&self, table: usize) -> usize {
        self.shared.tables[table].unstored()
    }

    /// Whether a table's cache is full of rows that await the store: nothing should be added before a round is done.
    pub fn is_full(&self) -> bool {
        self.shared.tables.iter().any(|table| table.is_full())
    }

    /// How a round of [`Task::take_round`] ended.
    pub fn round_done(&mut self, table: usize, commit: u64, durable: bool) {
        if durable {
            self.shared.tables[table].stored(commit);
        } else {
            self.shared.tables[table].not_stored();
        }
    }
}
