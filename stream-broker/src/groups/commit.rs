//! Committing and fetching a group's offsets.

use std::io;
use std::time::Instant;

use super::Groups;
use super::group::{Group, State};
use super::offsets::{Commit, CommitItem, FetchedOffset};
use super::requests::Place;
use super::store::Entry;
use crate::log::Outcome;
use crate::wire::Code;

impl Groups {
    /// OffsetCommit.
    pub(crate) fn commit(&mut self, commit: Commit, now: Instant) -> Result<(), Code> {
        self.check_commit(&commit, false)?;
        let entry = Entry::Offsets {
            group: commit.group.clone(),
            items: commit.items.clone(),
        };
        self.write(&[entry])
            .map_err(|error| unwritten(&commit.group, &error))?;
        let group = self.groups.entry(commit.group).or_default();
        group
            .offsets
            .committed
            .extend(commit.items.into_iter().map(CommitItem::split));
        if let Some(member) = group.members.get_mut(&commit.who.member) {
            member.heard(now);
        }
        self.shorten();
        Ok(())
    }

    /// TxnOffsetCommit: the offsets hold once the producer's transaction is committed.
    pub(crate) fn commit_in_transaction(
        &mut self,
        commit: Commit,
        producer_id: i64,
    ) -> Result<(), Code> {
        self.check_commit(&commit, true)?;
        let entry = Entry::Pending {
            group: commit.group.clone(),
            producer_id,
            items: commit.items.clone(),
        };
        self.write(&[entry])
            .map_err(|error| unwritten(&commit.group, &error))?;
        let offsets = &mut self.groups.entry(commit.group).or_default().offsets;
        let pending = offsets.pending.entry(producer_id).or_default();
        pending.extend(commit.items.into_iter().map(CommitItem::split));
        Ok(())
    }

    fn check_commit(&self, commit: &Commit, in_transaction: bool) -> Result<(), Code> {
        let who = &commit.who;
        let Some(group) = self.groups.get(&commit.group) else {
            return if who.generation < 0 {
                Ok(())
            } else {
                Err(Code::IllegalGeneration)
            };
        };
        if who.generation < 0 && group.state == State::Empty {
            return Ok(());
        }
        if who.generation >= 0 || !who.member.is_empty() || who.instance.is_some() {
            group.check_generation(who)?;
        } else if !in_transaction {
            return Err(Code::UnknownMemberId);
        }
        if !in_transaction && group.state == State::CompletingRebalance {
            return Err(Code::RebalanceInProgress);
        }
        Ok(())
    }

    /// A producer's transaction has ended: its offsets hold from now on, or never. Asking again changes nothing.
    pub(crate) fn end_transaction<'a>(
        &mut self,
        groups: impl Iterator<Item = &'a String>,
        producer_id: i64,
        outcome: Outcome,
    ) -> io::Result<()> {
        let touched: Vec<String> = groups
            .filter(|name| {
                self.groups
                    .get(*name)
                    .is_some_and(|it| it.offsets.pending.contains_key(&producer_id))
            })
            .cloned()
            .collect();
        if touched.is_empty() {
            return Ok(());
        }
        let committed = outcome == Outcome::Commit;
        self.write(&[Entry::Ended {
            groups: touched.clone(),
            producer_id,
            committed,
        }])?;
        for name in touched {
            if let Some(group) = self.groups.get_mut(&name) {
                group.offsets.end(producer_id, outcome);
            }
        }
        self.shorten();
        Ok(())
    }

    /// OffsetFetch: of these partitions, or of all that have an offset. With `stable`, offsets that an open
    /// transaction may change are refused for now.
    pub(crate) fn fetch(
        &self,
        group: &str,
        wanted: Option<Vec<(String, Vec<i32>)>>,
        stable: bool,
    ) -> Vec<(String, Vec<FetchedOffset>)> {
        let group = self.groups.get(group);
        let wanted = wanted.unwrap_or_else(|| {
            let mut all: Vec<(String, Vec<i32>)> = Vec::new();
            for (topic, partition) in group
                .iter()
                .flat_map(|group| group.offsets.committed.keys())
            {
                match all.last_mut() {
                    Some((last, partitions)) if last == topic => partitions.push(*partition),
                    _ => all.push((topic.clone(), vec![*partition])),
                }
            }
            all
        });
        let one =
            |topic: &String, partition: i32| fetched(group, (topic.clone(), partition), stable);
        let each = wanted.into_iter().map(|(topic, partitions)| {
            let offsets = partitions
                .into_iter()
                .map(|partition| one(&topic, partition))
                .collect();
            (topic, offsets)
        });
        each.collect()
    }

    /// Forgets the offsets of a topic that was deleted.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        let forgotten: Vec<Entry> = self
            .groups
            .iter()
            .filter_map(|(name, group)| {
                let of_topic = group.offsets.committed.keys().filter(|(it, _)| it == topic);
                let places: Vec<Place> = of_topic.cloned().collect();
                (!places.is_empty()).then(|| Entry::Forgotten {
                    group: name.clone(),
                    places,
                })
            })
            .collect();
        if let Err(error) = self.write(&forgotten) {
            tracing::warn!(topic, %error, "cannot store that a deleted topic's offsets are forgotten");
        }
        for group in self.groups.values_mut() {
            group.offsets.committed.retain(|(it, _), _| it != topic);
            group
                .offsets
                .pending
                .values_mut()
                .for_each(|pending| pending.retain(|(it, _), _| it != topic));
        }
    }

    /// OffsetDelete: forgets single offsets; members of the group may not read those topics meanwhile.
    pub(crate) fn delete_offsets(&mut self, name: &str, places: Vec<Place>) -> Result<(), Code> {
        let group = self.groups.get(name).ok_or(Code::GroupIdNotFound)?;
        if !group.members.is_empty() {
            return Err(Code::NonEmptyGroup);
        }
        self.write(&[Entry::Forgotten {
            group: name.to_owned(),
            places: places.clone(),
        }])
        .map_err(|error| unwritten(name, &error))?;
        if let Some(group) = self.groups.get_mut(name) {
            group
                .offsets
                .committed
                .retain(|place, _| !places.contains(place));
        }
        Ok(())
    }
}

fn fetched(group: Option<&Group>, place: Place, stable: bool) -> FetchedOffset {
    let none = FetchedOffset {
        partition: place.1,
        offset: -1,
        leader_epoch: -1,
        metadata: String::new(),
        code: None,
    };
    let Some(offsets) = group.map(|group| &group.offsets) else {
        return none;
    };
    if stable
        && offsets
            .pending
            .values()
            .any(|pending| pending.contains_key(&place))
    {
        return FetchedOffset {
            code: Some(Code::UnstableOffsetCommit),
            ..none
        };
    }
    offsets
        .committed
        .get(&place)
        .map_or(none.clone(), |it| FetchedOffset {
            offset: it.offset,
            leader_epoch: it.leader_epoch,
            metadata: it.metadata.clone(),
            ..none
        })
}

/// Clients ask the coordinator again after this code, as they do at Apache Kafka when its disk fails.
pub(super) fn unwritten(group: &str, error: &io::Error) -> Code {
    tracing::warn!(group, %error, "cannot write a group's state to the data directory");
    Code::NotCoordinator
}
