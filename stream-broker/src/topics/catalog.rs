//! The topics of this broker, kept in a journal.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::files;
use super::name::check_name;
use super::{Partition, Refusal, TopicConfig};
use crate::log::{Journal, Log};
use crate::wire::Code;

/// More partitions than this in one topic are a typing error on one node.
const MOST_PARTITIONS: i32 = 10_000;

/// A topic as it is now; a change makes another one.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    pub(crate) config: TopicConfig,
    pub(crate) partitions: Vec<Arc<Partition>>,
}

/// A topic to be created.
#[derive(Debug, Clone)]
pub(crate) struct NewTopic {
    pub(crate) name: String,
    /// -1: the broker's default.
    pub(crate) partitions: i32,
    pub(crate) replication_factor: i16,
    pub(crate) config: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Entry {
    Cluster(Uuid),
    Topic {
        name: String,
        id: Uuid,
        partitions: i32,
        config: BTreeMap<String, String>,
    },
    Deleted {
        name: String,
    },
}

impl Entry {
    fn bytes(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).unwrap_or_default()
    }

    fn of(topic: &Topic) -> Self {
        Self::Topic {
            name: topic.name.clone(),
            id: topic.id,
            partitions: topic.partitions.len() as i32,
            config: topic.config.given.clone(),
        }
    }
}

#[derive(Debug, Default)]
struct Topics {
    by_name: BTreeMap<String, Arc<Topic>>,
    names: HashMap<Uuid, String>,
}

/// The topics.
#[derive(Debug)]
pub(crate) struct Catalog {
    directory: PathBuf,
    pub(crate) cluster: Uuid,
    default_partitions: i32,
    topics: RwLock<Topics>,
    /// Held while topics change, so that changes come one after the other.
    journal: Mutex<Journal>,
    /// Deleted topics whose files could not be removed: the journal names them until the next start does it.
    undead: Mutex<Vec<Uuid>>,
}

impl Catalog {
    /// Opens the topics under this directory with all their logs.
    pub(crate) fn open(directory: &Path, default_partitions: i32, now: i64) -> io::Result<Self> {
        let logs = directory.join("topics");
        std::fs::create_dir_all(&logs)?;
        let path = directory.join("topics.journal");
        let (mut cluster, mut known, mut named) = (None, BTreeMap::new(), HashSet::new());
        let mut journal = Journal::open(&path, |bytes| {
            match rmp_serde::from_slice(bytes)? {
                Entry::Cluster(id) => cluster = Some(id),
                Entry::Topic {
                    name,
                    id,
                    partitions,
                    config,
                } => {
                    named.insert(id);
                    known.insert(name, (id, partitions, config));
                }
                Entry::Deleted { name } => {
                    known.remove(&name);
                }
            }
            Ok::<_, rmp_serde::decode::Error>(())
        })?;
        let live: BTreeMap<Uuid, i32> = known.values().map(|it| (it.0, it.1)).collect();
        files::check(&logs, &path, &named, &live)?;
        let cluster = match cluster {
            Some(cluster) => cluster,
            None => {
                let fresh = Uuid::new_v4();
                journal.append(&[Entry::Cluster(fresh).bytes()])?;
                fresh
            }
        };
        let mut topics = Topics::default();
        for (name, (id, count, given)) in known {
            let config = match TopicConfig::new(given) {
                Ok(config) => config,
                Err(refusal) => {
                    return Err(io::Error::other(format!(
                        "topic {name}: {}",
                        refusal.message
                    )));
                }
            };
            let partitions = open_partitions(&logs, &name, id, 0..count, &config, now)?;
            topics.names.insert(id, name.clone());
            topics.by_name.insert(
                name.clone(),
                Arc::new(Topic {
                    name,
                    id,
                    config,
                    partitions,
                }),
            );
        }
        for dead in named.iter().filter(|id| !live.contains_key(id)) {
            files::remove(&logs.join(dead.to_string()))?;
        }
        let topics = RwLock::new(topics);
        Ok(Self {
            directory: logs,
            cluster,
            default_partitions,
            topics,
            journal: Mutex::new(journal),
            undead: Mutex::default(),
        })
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_name
            .get(name)
            .cloned()
    }

    pub(crate) fn by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.by_name.get(topics.names.get(&id)?).cloned()
    }

    pub(crate) fn partition(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        self.get(topic)?.partition(index)
    }

    /// All topics, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.topics
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_name
            .values()
            .cloned()
            .collect()
    }

    /// Creates a topic, or with `dry` only says whether it could be. Its partition count is in what is returned.
    pub(crate) fn create(
        &self,
        new: &NewTopic,
        dry: bool,
        now: i64,
    ) -> Result<(Option<Arc<Topic>>, i32), Refusal> {
        check_name(&new.name)?;
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if self.get(&new.name).is_some() {
            return Err(Refusal::new(
                Code::TopicAlreadyExists,
                format!("Topic '{}' already exists.", new.name),
            ));
        }
        let alike = |other: &str| other.replace('.', "_") == new.name.replace('.', "_");
        if let Some(other) = self.all().iter().find(|topic| alike(&topic.name)) {
            let message = format!(
                "Topic '{}' collides with existing topic: {}",
                new.name, other.name
            );
            return Err(Refusal::new(Code::InvalidTopicException, message));
        }
        let count = match new.partitions {
            -1 => self.default_partitions,
            count if (1..=MOST_PARTITIONS).contains(&count) => count,
            count => {
                let message = format!(
                    "Number of partitions was {count}; it must be between 1 and {MOST_PARTITIONS}."
                );
                return Err(Refusal::new(Code::InvalidPartitions, message));
            }
        };
        if !matches!(new.replication_factor, -1 | 1) {
            let message = format!(
                "Unable to replicate {} time(s): there is 1 broker.",
                new.replication_factor
            );
            return Err(Refusal::new(Code::InvalidReplicationFactor, message));
        }
        let config = TopicConfig::new(new.config.clone())?;
        if dry {
            return Ok((None, count));
        }
        let id = Uuid::new_v4();
        // Written down before its files are made: killed between, no files are left that nobody names.
        let entry = Entry::Topic {
            name: new.name.clone(),
            id,
            partitions: count,
            config: config.given.clone(),
        };
        journal
            .append(&[entry.bytes()])
            .map_err(|error| Refusal::storage(&error))?;
        match open_partitions(&self.directory, &new.name, id, 0..count, &config, now) {
            Ok(partitions) => {
                let topic = Arc::new(Topic {
                    name: new.name.clone(),
                    id,
                    config,
                    partitions,
                });
                self.put(topic.clone());
                self.shorten(&mut journal);
                Ok((Some(topic), count))
            }
            Err(error) => {
                let name = new.name.clone();
                if let Err(error) = journal.append(&[Entry::Deleted { name }.bytes()]) {
                    tracing::warn!(topic = new.name, %error, "cannot take back a topic whose files cannot be made; after a restart it is there, empty");
                }
                self.bury(&new.name, id);
                Err(Refusal::storage(&error))
            }
        }
    }

    /// Removes the files of a topic that the journal says is deleted.
    fn bury(&self, name: &str, id: Uuid) {
        if let Err(error) = files::remove(&self.directory.join(id.to_string())) {
            tracing::warn!(topic = name, %error, "cannot remove the files of a deleted topic; the next start will");
            let mut undead = self.undead.lock().unwrap_or_else(PoisonError::into_inner);
            undead.push(id);
        }
    }

    /// Deletes a topic and everything in it.
    pub(crate) fn delete(&self, name: &str) -> Result<(), Refusal> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(topic) = self.get(name) else {
            return Err(Refusal::new(
                Code::UnknownTopicOrPartition,
                "This server does not host this topic-partition.",
            ));
        };
        let entry = Entry::Deleted {
            name: name.to_owned(),
        };
        journal
            .append(&[entry.bytes()])
            .map_err(|error| Refusal::storage(&error))?;
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.by_name.remove(name);
        topics.names.remove(&topic.id);
        drop(topics);
        topic
            .partitions
            .iter()
            .for_each(|partition| partition.dismiss());
        self.bury(name, topic.id);
        self.shorten(&mut journal);
        Ok(())
    }

    /// Gives a topic more partitions.
    pub(crate) fn grow(&self, name: &str, count: i32, dry: bool, now: i64) -> Result<(), Refusal> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(topic) = self.get(name) else {
            return Err(Refusal::new(
                Code::UnknownTopicOrPartition,
                "This server does not host this topic-partition.",
            ));
        };
        let now_has = topic.partitions.len() as i32;
        if count <= now_has || count > MOST_PARTITIONS {
            let message = format!(
                "The topic {name} currently has {now_has} partition(s); {count} would not be an increase."
            );
            return Err(Refusal::new(Code::InvalidPartitions, message));
        }
        if dry {
            return Ok(());
        }
        let grown = open_partitions(
            &self.directory,
            name,
            topic.id,
            now_has..count,
            &topic.config,
            now,
        );
        let more = grown.map_err(|error| Refusal::storage(&error))?;
        let partitions = topic.partitions.iter().cloned().chain(more).collect();
        self.replace(
            &mut journal,
            Topic {
                name: name.to_owned(),
                id: topic.id,
                config: topic.config.clone(),
                partitions,
            },
        )
    }

    /// Gives a topic another configuration.
    pub(crate) fn configure(
        &self,
        name: &str,
        given: BTreeMap<String, String>,
        dry: bool,
    ) -> Result<(), Refusal> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(topic) = self.get(name) else {
            return Err(Refusal::new(
                Code::UnknownTopicOrPartition,
                "This server does not host this topic-partition.",
            ));
        };
        let config = TopicConfig::new(given)?;
        if dry {
            return Ok(());
        }
        let log = config.log.clone();
        let partitions = topic.partitions.clone();
        self.replace(
            &mut journal,
            Topic {
                name: name.to_owned(),
                id: topic.id,
                config,
                partitions,
            },
        )?;
        topic
            .partitions
            .iter()
            .for_each(|partition| partition.log().configure(log.clone()));
        Ok(())
    }

    fn replace(&self, journal: &mut Journal, topic: Topic) -> Result<(), Refusal> {
        journal
            .append(&[Entry::of(&topic).bytes()])
            .map_err(|error| Refusal::storage(&error))?;
        self.put(Arc::new(topic));
        self.shorten(journal);
        Ok(())
    }

    fn put(&self, topic: Arc<Topic>) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.names.insert(topic.id, topic.name.clone());
        topics.by_name.insert(topic.name.clone(), topic);
    }

    fn shorten(&self, journal: &mut Journal) {
        if journal.is_overgrown() {
            let topics = self.all();
            let entries = topics.iter().map(|topic| Entry::of(topic).bytes());
            let undead = self.undead.lock().unwrap_or_else(PoisonError::into_inner);
            let gone = undead.iter().flat_map(|id| {
                let name = id.to_string();
                let entry = Entry::Topic {
                    name: name.clone(),
                    id: *id,
                    partitions: 0,
                    config: BTreeMap::new(),
                };
                [entry.bytes(), Entry::Deleted { name }.bytes()]
            });
            let cluster = std::iter::once(Entry::Cluster(self.cluster).bytes());
            let all = cluster.chain(gone).chain(entries);
            if let Err(error) = journal.rewrite(all) {
                tracing::warn!(%error, "cannot rewrite the topics' journal");
            }
        }
    }
}

impl Topic {
    pub(crate) fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        self.partitions.get(usize::try_from(index).ok()?).cloned()
    }
}

fn open_partitions(
    directory: &Path,
    topic: &str,
    id: Uuid,
    indexes: std::ops::Range<i32>,
    config: &TopicConfig,
    now: i64,
) -> io::Result<Vec<Arc<Partition>>> {
    let directory = directory.join(id.to_string());
    indexes
        .map(|index| {
            let log = Log::open(&directory.join(index.to_string()), config.log.clone(), now)?;
            Ok(Arc::new(Partition::new(topic, index, log)))
        })
        .collect()
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
