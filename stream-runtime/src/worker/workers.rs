//! `{app}-workers`: each worker tells where it can be asked and which partitions of tables run there. Everybody
//! follows.
//!
//! The topic has one partition, so that what is told has one order. A worker tells when its partitions change and every
//! few seconds; in the end it takes its entry away. One that was killed tells nothing more: it is found out by asking.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::kafka::RecordView;
use crate::sync::Mutex;

/// What is told has this form; a reader leaves out a later one that it does not understand.
pub(super) const FORMAT: u32 = 1;
/// What a worker says that it knows when it takes the watermarks behind hops for what they are; those of before asked
/// for it.
pub(super) const WATERMARKS: &str = "watermarks";
/// The same when it reads the one header that records there have; it is asked for.
pub(super) const HOP: &str = "hop";
/// After so long without a word a worker is asked last, and called silent.
pub(super) const SILENT: Duration = Duration::from_secs(20);
/// After so long it is forgotten.
pub(super) const GONE: Duration = Duration::from_secs(600);

/// What a worker tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) format: u32,
    /// `host:port` for the other workers.
    pub(super) address: String,
    /// Of the framework.
    pub(super) version: String,
    /// The group's generation.
    pub(super) generation: i32,
    /// Tables and the partitions of them that run there.
    pub(super) tables: BTreeMap<String, Vec<i32>>,
    /// When it was told, by its own clock, in epoch milliseconds.
    pub(super) at: i64,
    /// What it knows that earlier versions do not; they said nothing here.
    #[serde(default)]
    pub(super) knows: Vec<String>,
}

/// What a worker has, for the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// The group's generation.
    pub(super) generation: i32,
    /// Tables and the partitions of them that run here.
    pub(super) tables: BTreeMap<String, Vec<i32>>,
}

/// A worker that may have a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its identity: another worker at its address is not it.
    pub(crate) worker: String,
    pub(crate) address: String,
    /// Seconds since its last word, when these are many.
    pub(crate) silent: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) told: Told,
    pub(super) offset: i64,
    pub(super) heard: Instant,
}

/// The workers of an app as they tell it. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workers(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) entries: HashMap<String, Entry>,
    /// Read to what was the end.
    pub(super) filled: bool,
    /// Next offset to be read, once that is so.
    pub(super) next: Option<i64>,
    /// Why nothing is heard.
    pub(super) trouble: Option<String>,
}

impl Workers {
    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock()
    }

    /// Who has a partition of a table, the likeliest first: of the newest generation, and who said so last.
    pub(crate) fn owners(&self, table: &str, partition: i32) -> Vec<Owner> {
        let known = self.lock();
        let has = |told: &Told| {
            let partitions = told.tables.get(table);
            partitions.is_some_and(|all| all.contains(&partition))
        };
        let mut found: Vec<_> = known.entries.iter().filter(|(_, e)| has(&e.told)).collect();
        found.sort_by_key(|(_, entry)| {
            let silent = entry.heard.elapsed() > SILENT;
            (silent, -i64::from(entry.told.generation), -entry.offset)
        });
        let owner = |(worker, entry): (&String, &Entry)| Owner {
            worker: worker.clone(),
            address: entry.told.address.clone(),
            silent: Some(entry.heard.elapsed())
                .filter(|silent| *silent > SILENT)
                .map(|silent| silent.as_secs()),
        };
        found.into_iter().map(owner).collect()
    }

    /// How many workers have told of themselves lately.
    pub(crate) fn count(&self) -> usize {
        let known = self.lock();
        let entries = known.entries.values();
        entries.filter(|e| e.heard.elapsed() <= SILENT).count()
    }

    /// Returns the workers beside `own` that were heard of lately and take watermarks for bad records.
    pub(super) fn without_watermarks(&self, own: &str) -> Vec<Owner> {
        let known = self.lock();
        let others = known.entries.iter().filter(|(worker, entry)| {
            let knows = entry.told.knows.iter().any(|what| what == HOP);
            *worker != own && !knows && entry.heard.elapsed() <= SILENT
        });
        let others = others.map(|(worker, entry)| Owner {
            worker: worker.clone(),
            address: entry.told.address.clone(),
            silent: Some(entry.heard.elapsed().as_secs()),
        });
        others.collect()
    }

    /// Whether all that was told before has been read.
    pub(crate) fn is_filled(&self) -> bool {
        self.lock().filled
    }

    /// The end of what was told; `None` as long as it has not been reached, or nothing is heard.
    pub(super) fn next(&self) -> Option<i64> {
        let known = self.lock();
        known.next.filter(|_| known.trouble.is_none())
    }

    /// Why nothing is heard of the others, if so.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    pub(super) fn take(&self, record: &RecordView<'_>) {
        let Some(worker) = record.key.and_then(|key| std::str::from_utf8(key).ok()) else {
            return;
        };
        let told = record
            .value
            .and_then(|value| serde_json::from_slice(value).ok());
        let mut known = self.lock();
        match told {
            Some(told) => {
                let told: Told = told;
                if told.format > FORMAT {
                    return;
                }
                // One that was told long ago, by the record's own stamp, was not told just now.
                let age = crate::clock::wall_ms().saturating_sub(record.timestamp);
                let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
                let heard = Instant::now().checked_sub(age);
                let entry = Entry {
                    told,
                    offset: record.offset,
                    heard: heard.unwrap_or_else(Instant::now),
                };
                known.entries.insert(worker.to_owned(), entry);
            }
            None => drop(known.entries.remove(worker)),
        }
    }

    pub(super) fn forget_the_gone(&self) {
        let mut known = self.lock();
        known
            .entries
            .retain(|_, entry| entry.heard.elapsed() < GONE);
    }
}
