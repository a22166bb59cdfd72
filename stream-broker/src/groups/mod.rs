//! Floor 2: consumer groups of the classic protocol, and their offsets.
//!
//! No socket and no clock in here: requests come in as calls that carry the time, and those that must wait for others
//! (join, sync) are answered through a channel.

mod commit;
mod describe;
mod group;
mod leave;
mod membership;
mod offsets;
mod requests;
mod store;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) use offsets::{Commit, CommitItem, FetchedOffset};

pub(crate) use requests::{Join, NotJoined, Place, Sync, Who};
#[cfg(test)]
pub(crate) use requests::{Joined, Synced};

use crate::log::Journal;
use group::Group;

/// All groups.
#[derive(Debug)]
pub(crate) struct Groups {
    groups: BTreeMap<String, Group>,
    journal: Journal,
    /// How long the first members of a group wait for more.
    initial_delay: Duration,
}

impl Groups {
    /// Opens the groups under this directory.
    pub(crate) fn open(
        directory: &Path,
        initial_delay: Duration,
        now: Instant,
    ) -> io::Result<Self> {
        let mut groups = BTreeMap::new();
        let journal = Journal::open(&directory.join("groups.journal"), |bytes| {
            store::apply(&mut groups, bytes, now)
        })?;
        Ok(Self {
            groups,
            journal,
            initial_delay,
        })
    }

    /// Does what time has brought: members that were silent too long, rebalances that waited long enough.
    pub(crate) fn tick(&mut self, now: Instant) {
        let names: Vec<String> = self
            .groups
            .iter()
            .filter(|(_, group)| group.is_due(now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.expire(&name, now);
        }
    }
}

#[cfg(test)]
mod tests;
