//! What all connections share.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kafka_protocol::messages::BrokerId;

use crate::Config;
use crate::groups::{Groups, Place};
use crate::log::{Journal, LogError, Outcome};
use crate::topics::Catalog;
use crate::transactions::{Effects, Producer, Transactions};
use crate::wire::frame::Room;

/// The number of the one node there is.
pub(super) const NODE: BrokerId = BrokerId(1);

/// What all connections share. Locks are taken in this order: transactions, groups, a partition's log.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: SocketAddr,
    pub(super) catalog: Catalog,
    pub(super) retention_interval: Duration,
    /// For large frames.
    pub(super) room: Room,
    groups: Mutex<Groups>,
    transactions: Mutex<Transactions>,
}

/// Milliseconds since the epoch.
pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

impl Node {
    /// Opens everything in the data directory.
    pub(super) fn open(config: &Config, address: SocketAddr) -> io::Result<Self> {
        // All of them before anything is cut, removed or written.
        for journal in ["topics", "groups", "transactions"] {
            Journal::check(&config.data_dir.join(format!("{journal}.journal")))?;
        }
        let catalog = Catalog::open(&config.data_dir, config.default_partitions, now())?;
        let groups = Mutex::new(Groups::open(
            &config.data_dir,
            config.initial_rebalance_delay,
            Instant::now(),
        )?);
        let effects = Ends {
            catalog: &catalog,
            groups: &groups,
        };
        let transactions = Transactions::open(&config.data_dir, &effects, now())?;
        disown(&catalog, &transactions.unfinished());
        Ok(Self {
            address,
            catalog,
            retention_interval: config.retention_interval,
            room: Room::default(),
            groups,
            transactions: Mutex::new(transactions),
        })
    }

    pub(super) fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn transactions(&self) -> MutexGuard<'_, Transactions> {
        self.transactions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn effects(&self) -> impl Effects + '_ {
        Ends {
            catalog: &self.catalog,
            groups: &self.groups,
        }
    }

    /// Does what time has brought.
    pub(super) fn tick(&self) {
        self.groups().tick(Instant::now());
        self.transactions().tick(&self.effects(), now());
    }

    /// Compacts what is due, until told to stop.
    pub(super) fn compact(&self, stop: &dyn Fn() -> bool) {
        for topic in self
            .catalog
            .all()
            .into_iter()
            .filter(|topic| topic.config.log.compact)
        {
            for partition in &topic.partitions {
                if stop() {
                    return;
                }
                if let Err(error) = partition.compact(now(), stop) {
                    tracing::warn!(topic = topic.name, partition = partition.index, %error, "cannot compact");
                }
            }
        }
    }

    /// Removes what has been kept long enough.
    pub(super) fn retain(&self) {
        for topic in self.catalog.all() {
            for partition in &topic.partitions {
                if let Err(error) = partition.log().retain(now()) {
                    tracing::warn!(topic = topic.name, partition = partition.index, %error, "cannot remove old segments");
                }
            }
        }
    }

    /// Writes what makes the next start quick.
    pub(super) fn settle(&self) {
        for topic in self.catalog.all() {
            topic
                .partitions
                .iter()
                .for_each(|partition| partition.log().settle());
        }
    }
}

/// After a crash a log may hold the start of a transaction whose marker compaction has removed since the last
/// checkpoint. The coordinator knows which are really open.
fn disown(catalog: &Catalog, unfinished: &BTreeSet<i64>) {
    for topic in catalog.all() {
        for partition in &topic.partitions {
            let mut log = partition.log();
            for producer in log.producers().open_producers() {
                if !unfinished.contains(&producer) {
                    log.producers().disown(producer);
                }
            }
        }
    }
}

/// Where transactions end.
struct Ends<'a> {
    catalog: &'a Catalog,
    groups: &'a Mutex<Groups>,
}

impl Effects for Ends<'_> {
    fn exists(&self, (topic, partition): &Place) -> bool {
        self.catalog.partition(topic, *partition).is_some()
    }

    fn admit(&self, (topic, partition): &Place, producer: Producer) {
        if let Some(partition) = self.catalog.partition(topic, *partition) {
            partition
                .log()
                .producers()
                .admit(producer.id, producer.epoch);
        }
    }

    fn end(
        &self,
        (topic, partition): &Place,
        producer: Producer,
        outcome: Outcome,
    ) -> io::Result<()> {
        let Some(partition) = self.catalog.partition(topic, *partition) else {
            return Ok(());
        };
        partition
            .end(outcome, producer.id, producer.epoch, now())
            .map_err(|error| match error {
                LogError::Storage(error) => error,
                other => io::Error::other(format!("{topic} [{}]: {other:?}", partition.index)),
            })
    }

    fn end_offsets(
        &self,
        groups: &BTreeSet<String>,
        producer: Producer,
        outcome: Outcome,
    ) -> io::Result<()> {
        let mut all = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        all.end_transaction(groups.iter(), producer.id, outcome)
    }
}
