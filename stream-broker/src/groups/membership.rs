//! Joining, synchronising and staying alive.

use std::time::Instant;

use bytes::Bytes;
use uuid::Uuid;

use super::Groups;
use super::group::{Group, Member, State};
use super::requests::{Join, JoinReply, NotJoined, SESSION, Sync, SyncReply, Who};
use crate::wire::Code;

impl Groups {
    /// JoinGroup.
    pub(crate) fn join(&mut self, join: Join, reply: JoinReply, now: Instant) {
        let name = join.group.clone();
        match self.try_join(join, now) {
            Ok(Step::Wait(id)) => {
                if let Some(member) = self
                    .groups
                    .get_mut(&name)
                    .and_then(|group| group.members.get_mut(&id))
                {
                    // Whoever waited under this id has asked again and looks at the newer answer.
                    member.joining = Some(reply);
                }
                self.advance(&name, now);
            }
            Ok(Step::Current { id, skip }) => {
                if let Some(group) = self.groups.get(&name) {
                    let _ = reply.send(Ok(group.joined(&id, skip)));
                }
            }
            Err(refusal) => {
                let _ = reply.send(Err(refusal));
            }
        }
    }

    fn try_join(&mut self, join: Join, now: Instant) -> Result<Step, NotJoined> {
        let refuse = |code, member: &str| {
            Err(NotJoined {
                code,
                member: member.to_owned(),
            })
        };
        if join.group.is_empty() {
            return refuse(Code::InvalidGroupId, &join.member);
        }
        if !SESSION.contains(&join.session_timeout) {
            return refuse(Code::InvalidSessionTimeout, &join.member);
        }
        if !self.groups.contains_key(&join.group) && !join.member.is_empty() {
            return refuse(Code::UnknownMemberId, &join.member);
        }
        let delay = self.initial_delay;
        let group = self.groups.entry(join.group.clone()).or_default();
        if !group.accepts(&join.protocol_type, &join.protocols) {
            return refuse(Code::InconsistentGroupProtocol, &join.member);
        }
        if join.member.is_empty() {
            if let Some(instance) = &join.instance {
                let id = format!("{instance}-{}", Uuid::new_v4());
                if let Some(old) = group.instances.get(instance).cloned() {
                    return Ok(replace(group, &old, id, join, delay, now));
                }
                group.add(&id, member_of(&join, now), &join.protocol_type);
                group.prepare(delay, now);
                return Ok(Step::Wait(id));
            }
            let id = format!("{}-{}", join.client, Uuid::new_v4());
            if join.id_first {
                group.pending.insert(id.clone(), now + join.session_timeout);
                return refuse(Code::MemberIdRequired, &id);
            }
            group.add(&id, member_of(&join, now), &join.protocol_type);
            group.prepare(delay, now);
            return Ok(Step::Wait(id));
        }
        if join.instance.is_none() && group.pending.remove(&join.member).is_some() {
            group.add(&join.member, member_of(&join, now), &join.protocol_type);
            group.prepare(delay, now);
            return Ok(Step::Wait(join.member));
        }
        let who = Who {
            member: join.member.clone(),
            instance: join.instance.clone(),
            generation: 0,
        };
        if let Err(code) = group.check_member(&who) {
            return refuse(code, &join.member);
        }
        Ok(rejoin(group, join, delay, now))
    }

    /// SyncGroup.
    pub(crate) fn sync(&mut self, sync: Sync, reply: SyncReply, now: Instant) {
        let Some(group) = self.groups.get_mut(&sync.group) else {
            let nameless = sync.group.is_empty();
            let _ = reply.send(Err(if nameless {
                Code::InvalidGroupId
            } else {
                Code::UnknownMemberId
            }));
            return;
        };
        if let Err(code) = check_sync(group, &sync) {
            let _ = reply.send(Err(code));
            return;
        }
        let id = &sync.who.member;
        match group.state {
            State::Empty => {
                let _ = reply.send(Err(Code::UnknownMemberId));
            }
            State::PreparingRebalance => {
                let _ = reply.send(Err(Code::RebalanceInProgress));
            }
            State::Stable => {
                if let Some(member) = group.members.get_mut(id) {
                    member.heard(now);
                    member.asked = true;
                }
                if group.members.values().all(|member| member.asked) {
                    group.step_deadline = None;
                }
                let _ = reply.send(Ok(group.synced(id)));
            }
            State::CompletingRebalance => {
                if let Some(member) = group.members.get_mut(id) {
                    member.heard(now);
                    member.asked = true;
                    member.syncing = Some(reply);
                }
                if group.leader.as_deref() == Some(id) {
                    self.assign(&sync.group, sync.assignments, now);
                }
            }
        }
    }

    fn assign(&mut self, name: &str, assignments: Vec<(String, Bytes)>, now: Instant) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        group
            .members
            .values_mut()
            .for_each(|member| member.assignment = Bytes::new());
        for (id, assignment) in assignments {
            if let Some(member) = group.members.get_mut(&id) {
                // A copy, for the request's frame must not live as long as the group.
                member.assignment = Bytes::copy_from_slice(&assignment);
            }
        }
        group.state = State::Stable;
        let stored = self.store_group(name);
        let delay = self.initial_delay;
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        match stored {
            Ok(()) => {
                // Those who have not asked yet must do so before the step is over.
                if group.members.values().all(|member| member.asked) {
                    group.step_deadline = None;
                }
                group.answer_syncs(now, None);
            }
            Err(error) => {
                tracing::warn!(group = name, %error, "cannot store a group's assignment; it rebalances again");
                group.answer_syncs(now, Some(Code::NotCoordinator));
                group.prepare(delay, now);
            }
        }
    }

    /// Heartbeat.
    pub(crate) fn heartbeat(&mut self, name: &str, who: &Who, now: Instant) -> Result<(), Code> {
        if name.is_empty() {
            return Err(Code::InvalidGroupId);
        }
        let group = self.groups.get_mut(name).ok_or(Code::UnknownMemberId)?;
        if group.state == State::Empty {
            return Err(Code::UnknownMemberId);
        }
        group.check_generation(who)?;
        if let Some(member) = group.members.get_mut(&who.member) {
            member.heard(now);
        }
        if group.state == State::PreparingRebalance {
            Err(Code::RebalanceInProgress)
        } else {
            Ok(())
        }
    }

    /// Starts the next generation if everybody is there.
    pub(super) fn advance(&mut self, name: &str, now: Instant) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        if group.state == State::PreparingRebalance && group.is_complete() {
            self.begin_generation(name, now);
        }
    }

    pub(super) fn begin_generation(&mut self, name: &str, now: Instant) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        group.begin_generation(now);
        tracing::debug!(
            group = name,
            generation = group.generation,
            state = group.state.name(),
            "new generation"
        );
        if group.state == State::Empty
            && let Err(error) = self.store_group(name)
        {
            tracing::warn!(group = name, %error, "cannot store that a group is empty");
        }
    }
}

/// What a join leads to.
enum Step {
    /// Wait for the next generation.
    Wait(String),
    /// Nothing has changed: the current generation is the answer.
    Current { id: String, skip: bool },
}

/// A member joins again under its id.
fn rejoin(group: &mut Group, join: Join, delay: std::time::Duration, now: Instant) -> Step {
    let id = join.member.clone();
    let leads = group.leader.as_deref() == Some(&id);
    let same = group
        .members
        .get(&id)
        .is_some_and(|member| member.protocols == join.protocols);
    let current = match group.state {
        State::CompletingRebalance => same,
        State::Stable => same && !leads,
        State::Empty | State::PreparingRebalance => false,
    };
    if let Some(member) = group.members.get_mut(&id) {
        member.heard(now);
        if current {
            return Step::Current { id, skip: false };
        }
        let fresh = member_of(&join, now);
        (
            member.protocols,
            member.session_timeout,
            member.rebalance_timeout,
        ) = (
            fresh.protocols,
            fresh.session_timeout,
            fresh.rebalance_timeout,
        );
    }
    group.prepare(delay, now);
    Step::Wait(id)
}

/// A member with a name of its own comes back under a new id and takes its old place.
fn replace(
    group: &mut Group,
    old: &str,
    id: String,
    join: Join,
    delay: std::time::Duration,
    now: Instant,
) -> Step {
    let leads = group.leader.as_deref() == Some(old);
    let before = group
        .members
        .get(old)
        .map(|member| member.subscription(group.protocol.as_deref()));
    let assignment = group
        .members
        .get(old)
        .map(|member| member.assignment.clone())
        .unwrap_or_default();
    group.remove(old, Code::FencedInstanceId);
    let member = Member {
        assignment,
        ..member_of(&join, now)
    };
    let after = member.subscription(group.protocol.as_deref());
    group.add(&id, member, &join.protocol_type);
    if leads {
        group.leader = Some(id.clone());
    }
    if group.state == State::Stable && before == Some(after) && (!leads || join.may_skip_assignment)
    {
        return Step::Current { id, skip: leads };
    }
    group.prepare(delay, now);
    Step::Wait(id)
}

fn member_of(join: &Join, now: Instant) -> Member {
    let copied =
        |(name, metadata): &(String, Bytes)| (name.clone(), Bytes::copy_from_slice(metadata));
    Member {
        instance: join.instance.clone(),
        client: join.client.clone(),
        host: join.host.clone(),
        session_timeout: join.session_timeout,
        rebalance_timeout: join.rebalance_timeout,
        protocols: join.protocols.iter().map(copied).collect(),
        assignment: Bytes::new(),
        joining: None,
        syncing: None,
        asked: false,
        deadline: now + join.session_timeout,
    }
}

fn check_sync(group: &Group, sync: &Sync) -> Result<(), Code> {
    group.check_generation(&sync.who)?;
    let differs = |asked: &Option<String>, is: &Option<String>| asked.is_some() && asked != is;
    if differs(&sync.protocol_type, &group.protocol_type)
        || differs(&sync.protocol, &group.protocol)
    {
        return Err(Code::InconsistentGroupProtocol);
    }
    Ok(())
}
