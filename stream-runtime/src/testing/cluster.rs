//! Topics, changelogs and committed offsets in memory: what survives a crash.

use std::collections::BTreeMap;

use crate::key::{partition_of, partition_of_none};
use crate::task::watermark::words_of;

/// A record in a topic's partition.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) timestamp: i64,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

impl Entry {
    /// Returns whether it says something of time alone.
    fn is_watermark(&self) -> bool {
        let first = self.headers.first();
        let first = first.map(|(name, value)| (name.as_str(), Some(value.as_slice())));
        words_of(self.key.as_deref(), self.value.as_deref(), first).is_some()
    }
}

/// Key and value in a changelog.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// What the brokers hold.
#[derive(Default)]
pub(super) struct Cluster {
    pub(super) partitions: i32,
    topics: BTreeMap<String, Vec<Vec<Entry>>>,
    pub(super) changelogs: BTreeMap<(String, i32), Vec<Change>>,
    /// Offset and text by topic and partition.
    pub(super) offsets: BTreeMap<(String, i32), (i64, String)>,
    keyless: i32,
}

impl Cluster {
    /// Empty, with this many partitions for every topic.
    pub(super) fn new(partitions: i32) -> Self {
        Cluster {
            partitions,
            ..Cluster::default()
        }
    }

    /// Appends a record to the one partition for records without a key.
    pub(super) fn append_together(&mut self, topic: &str, entry: Entry) {
        let partition = partition_of_none(self.partitions);
        self.logs(topic)[partition as usize].push(entry);
    }

    /// Appends a record to a partition.
    pub(super) fn append_to(&mut self, topic: &str, partition: i32, entry: Entry) {
        if let Some(log) = self.logs(topic).get_mut(partition as usize) {
            log.push(entry);
        }
    }

    /// Appends a record where Kafka's partitioner puts it.
    pub(super) fn append(&mut self, topic: &str, entry: Entry) {
        let partition = match &entry.key {
            Some(key) => partition_of(key, self.partitions),
            None => {
                self.keyless = (self.keyless + 1) % self.partitions;
                self.keyless
            }
        };
        self.logs(topic)[partition as usize].push(entry);
    }

    fn logs(&mut self, topic: &str) -> &mut Vec<Vec<Entry>> {
        let partitions = self.partitions as usize;
        self.topics
            .entry(topic.to_owned())
            .or_insert_with(|| vec![Vec::new(); partitions])
    }

    /// The records of a partition; empty when the topic is not there.
    pub(super) fn log(&self, topic: &str, partition: i32) -> &[Entry] {
        self.topics
            .get(topic)
            .and_then(|logs| logs.get(partition as usize))
            .map_or(&[], Vec::as_slice)
    }

    /// All records of a topic, partition by partition; watermarks are none.
    pub(super) fn all(&self, topic: &str) -> impl Iterator<Item = (i32, usize, &Entry)> {
        let logs = self.topics.get(topic).map_or(&[][..], Vec::as_slice);
        (0..).zip(logs).flat_map(|(partition, log)| {
            log.iter()
                .enumerate()
                .filter(|(_, e)| !e.is_watermark())
                .map(move |(offset, e)| (partition, offset, e))
        })
    }
}
