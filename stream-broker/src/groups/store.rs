//! What is kept of groups in their journal.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Groups;
use super::group::{Group, Member, State};
use super::offsets::CommitItem;
use super::requests::Place;
use crate::log::Outcome;

/// A member as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredMember {
    id: String,
    instance: Option<String>,
    client: String,
    host: String,
    session_timeout_ms: u64,
    rebalance_timeout_ms: u64,
    subscription: Vec<u8>,
    assignment: Vec<u8>,
}

/// One entry of the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Entry {
    Offsets {
        group: String,
        items: Vec<CommitItem>,
    },
    Pending {
        group: String,
        producer_id: i64,
        items: Vec<CommitItem>,
    },
    Ended {
        groups: Vec<String>,
        producer_id: i64,
        committed: bool,
    },
    Forgotten {
        group: String,
        places: Vec<Place>,
    },
    /// A generation whose assignment is known, or that has no members.
    Generation {
        group: String,
        generation: i32,
        protocol_type: Option<String>,
        protocol: Option<String>,
        leader: Option<String>,
        members: Vec<StoredMember>,
    },
    Deleted {
        group: String,
    },
}

impl Entry {
    fn bytes(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).unwrap_or_default()
    }

    fn generation(name: &str, group: &Group) -> Self {
        let protocol = group.protocol.as_deref();
        let members = group.members.iter().map(|(id, it)| StoredMember {
            id: id.clone(),
            instance: it.instance.clone(),
            client: it.client.clone(),
            host: it.host.clone(),
            session_timeout_ms: it.session_timeout.as_millis() as u64,
            rebalance_timeout_ms: it.rebalance_timeout.as_millis() as u64,
            subscription: it.subscription(protocol).to_vec(),
            assignment: it.assignment.to_vec(),
        });
        Self::Generation {
            group: name.to_owned(),
            generation: group.generation,
            protocol_type: group.protocol_type.clone(),
            protocol: group.protocol.clone(),
            leader: group.leader.clone(),
            members: members.collect(),
        }
    }
}

impl Groups {
    pub(super) fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let bytes: Vec<_> = entries.iter().map(Entry::bytes).collect();
        self.journal.append(&bytes)
    }

    /// Stores a group's generation.
    pub(super) fn store_group(&mut self, name: &str) -> io::Result<()> {
        let Some(group) = self.groups.get(name) else {
            return Ok(());
        };
        let entry = Entry::generation(name, group);
        self.write(&[entry])?;
        self.shorten();
        Ok(())
    }

    /// Rewrites the journal when it has grown too long.
    pub(super) fn shorten(&mut self) {
        if !self.journal.is_overgrown() {
            return;
        }
        let entries = self.groups.iter().flat_map(|(name, group)| {
            let items = group
                .offsets
                .committed
                .iter()
                .map(|(place, it)| CommitItem::join(place, it))
                .collect();
            let pending =
                group
                    .offsets
                    .pending
                    .iter()
                    .map(|(producer_id, pending)| Entry::Pending {
                        group: name.clone(),
                        producer_id: *producer_id,
                        items: pending
                            .iter()
                            .map(|(place, it)| CommitItem::join(place, it))
                            .collect(),
                    });
            [
                Entry::generation(name, group),
                Entry::Offsets {
                    group: name.clone(),
                    items,
                },
            ]
            .into_iter()
            .chain(pending)
            .map(|entry| entry.bytes())
            .collect::<Vec<_>>()
        });
        if let Err(error) = self.journal.rewrite(entries) {
            tracing::warn!(%error, "cannot rewrite the groups' journal");
        }
    }
}

/// Applies an entry that was read back. Members get a whole session to be heard of.
pub(super) fn apply(
    groups: &mut BTreeMap<String, Group>,
    bytes: &[u8],
    now: Instant,
) -> Result<(), rmp_serde::decode::Error> {
    match rmp_serde::from_slice(bytes)? {
        Entry::Offsets { group, items } => {
            let offsets = &mut groups.entry(group).or_default().offsets;
            offsets
                .committed
                .extend(items.into_iter().map(CommitItem::split));
        }
        Entry::Pending {
            group,
            producer_id,
            items,
        } => {
            let offsets = &mut groups.entry(group).or_default().offsets;
            offsets
                .pending
                .entry(producer_id)
                .or_default()
                .extend(items.into_iter().map(CommitItem::split));
        }
        Entry::Ended {
            groups: ended,
            producer_id,
            committed,
        } => {
            let outcome = if committed {
                Outcome::Commit
            } else {
                Outcome::Abort
            };
            for name in ended {
                groups
                    .entry(name)
                    .or_default()
                    .offsets
                    .end(producer_id, outcome);
            }
        }
        Entry::Forgotten { group, places } => {
            let offsets = &mut groups.entry(group).or_default().offsets;
            offsets.committed.retain(|place, _| !places.contains(place));
        }
        Entry::Generation {
            group,
            generation,
            protocol_type,
            protocol,
            leader,
            members,
        } => {
            let group = groups.entry(group).or_default();
            group.generation = generation;
            group.members.clear();
            group.instances.clear();
            group.state = if members.is_empty() {
                State::Empty
            } else {
                State::Stable
            };
            for member in members {
                let (id, member) = restored(member, protocol.as_deref(), now);
                group.add(&id, member, protocol_type.as_deref().unwrap_or_default());
            }
            (group.protocol_type, group.protocol, group.leader) = (protocol_type, protocol, leader);
        }
        Entry::Deleted { group } => {
            groups.remove(&group);
        }
    }
    Ok(())
}

fn restored(stored: StoredMember, protocol: Option<&str>, now: Instant) -> (String, Member) {
    let session_timeout = Duration::from_millis(stored.session_timeout_ms);
    let protocols = protocol.map(|name| (name.to_owned(), Bytes::from(stored.subscription)));
    let member = Member {
        instance: stored.instance,
        client: stored.client,
        host: stored.host,
        session_timeout,
        rebalance_timeout: Duration::from_millis(stored.rebalance_timeout_ms),
        protocols: protocols.into_iter().collect(),
        assignment: Bytes::from(stored.assignment),
        joining: None,
        syncing: None,
        asked: true,
        deadline: now + session_timeout,
    };
    (stored.id, member)
}
