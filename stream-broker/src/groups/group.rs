//! One group: its members, its state, and the steps from one generation to the next.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::offsets::Offsets;
use super::requests::{JoinReply, Joined, NotJoined, SyncReply, Synced, Who};
use crate::wire::Code;

/// Where a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No members; perhaps offsets.
    Empty,
    /// Waits for its members to join the next generation.
    PreparingRebalance,
    /// Waits for the leader's assignment.
    CompletingRebalance,
    Stable,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// A member of a group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) instance: Option<String>,
    pub(super) client: String,
    pub(super) host: String,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) assignment: Bytes,
    /// Waits for the next generation.
    pub(super) joining: Option<JoinReply>,
    /// Waits for its assignment.
    pub(super) syncing: Option<SyncReply>,
    /// Whether it has asked for its part of the current generation.
    pub(super) asked: bool,
    /// Silent beyond this, it is removed.
    pub(super) deadline: Instant,
}

impl Member {
    fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    pub(super) fn subscription(&self, protocol: Option<&str>) -> Bytes {
        let found = self
            .protocols
            .iter()
            .find(|(name, _)| Some(name.as_str()) == protocol);
        found
            .map(|(_, subscription)| subscription.clone())
            .unwrap_or_default()
    }

    /// Whether it is heard of by waiting for an answer.
    fn is_waiting(&self) -> bool {
        self.joining
            .as_ref()
            .is_some_and(|reply| !reply.is_closed())
            || self
                .syncing
                .as_ref()
                .is_some_and(|reply| !reply.is_closed())
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.deadline = now + self.session_timeout;
    }
}

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) state: State,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Members with a name of their own that stays the same over restarts.
    pub(super) instances: HashMap<String, String>,
    /// Ids that were given out and not used yet, and until when they hold.
    pub(super) pending: HashMap<String, Instant>,
    /// When the current step is over, whoever is missing.
    pub(super) step_deadline: Option<Instant>,
    /// Whether the first members wait for more, even when all known ones are there.
    pub(super) gathering: bool,
    pub(super) offsets: Offsets,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            state: State::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: HashMap::new(),
            pending: HashMap::new(),
            step_deadline: None,
            gathering: false,
            offsets: Offsets::default(),
        }
    }
}

impl Group {
    /// Whether time alone changes something here.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.step_deadline.is_some_and(|deadline| deadline <= now)
            || self.pending.values().any(|deadline| *deadline <= now)
            || self
                .members
                .values()
                .any(|member| member.deadline <= now && !member.is_waiting())
    }

    /// Members that were silent too long.
    pub(super) fn silent(&self, now: Instant) -> Vec<String> {
        let silent = self
            .members
            .iter()
            .filter(|(_, member)| member.deadline <= now && !member.is_waiting());
        silent.map(|(id, _)| id.clone()).collect()
    }

    /// Checks that a request is from a member.
    pub(super) fn check_member(&self, who: &Who) -> Result<(), Code> {
        if let Some(instance) = &who.instance {
            return match self.instances.get(instance) {
                None => Err(Code::UnknownMemberId),
                Some(id) if *id != who.member => Err(Code::FencedInstanceId),
                Some(_) => Ok(()),
            };
        }
        if self.members.contains_key(&who.member) {
            Ok(())
        } else {
            Err(Code::UnknownMemberId)
        }
    }

    /// Checks that a request is from a member of this generation.
    pub(super) fn check_generation(&self, who: &Who) -> Result<(), Code> {
        self.check_member(who)?;
        if who.generation == self.generation {
            Ok(())
        } else {
            Err(Code::IllegalGeneration)
        }
    }

    /// Whether a member with these protocols can join.
    pub(super) fn accepts(&self, protocol_type: &str, protocols: &[(String, Bytes)]) -> bool {
        if protocol_type.is_empty() || protocols.is_empty() {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols
                .iter()
                .any(|(name, _)| self.members.values().all(|member| member.supports(name)))
    }

    /// Adds a member that waits for the next generation.
    pub(super) fn add(&mut self, id: &str, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), id.to_owned());
        }
        self.leader.get_or_insert_with(|| id.to_owned());
        self.members.insert(id.to_owned(), member);
    }

    /// Removes a member; whoever waits for its answers gets this code.
    pub(super) fn remove(&mut self, id: &str, code: Code) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        if let Some(instance) = &member.instance
            && self
                .instances
                .get(instance)
                .is_some_and(|owner| owner == id)
        {
            self.instances.remove(instance);
        }
        if let Some(reply) = member.joining {
            let _ = reply.send(Err(NotJoined {
                code,
                member: id.to_owned(),
            }));
        }
        if let Some(reply) = member.syncing {
            let _ = reply.send(Err(code));
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Asks all members to join the next generation.
    pub(super) fn prepare(&mut self, initial_delay: Duration, now: Instant) {
        if self.state == State::PreparingRebalance {
            return;
        }
        for member in self.members.values_mut() {
            if let Some(reply) = member.syncing.take() {
                let _ = reply.send(Err(Code::RebalanceInProgress));
                member.heard(now);
            }
        }
        self.gathering = self.state == State::Empty && !initial_delay.is_zero();
        let wait = if self.gathering {
            initial_delay
        } else {
            self.rebalance_timeout()
        };
        self.step_deadline = Some(now + wait);
        self.state = State::PreparingRebalance;
    }

    /// The longest that any member may take.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        self.members
            .values()
            .map(|member| member.rebalance_timeout)
            .max()
            .unwrap_or_default()
    }

    /// Whether every known member has joined and no given id is outstanding.
    pub(super) fn is_complete(&self) -> bool {
        !self.gathering
            && self.pending.is_empty()
            && self.members.values().all(|member| member.joining.is_some())
    }

    /// Starts the next generation with those who have joined.
    pub(super) fn begin_generation(&mut self, now: Instant) {
        self.gathering = false;
        let missing: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| member.joining.is_none() && member.instance.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for id in missing {
            self.remove(&id, Code::UnknownMemberId);
        }
        if self.members.values().all(|member| member.joining.is_none()) && !self.members.is_empty()
        {
            // Only members with a name of their own are left, and their sessions have not ended: wait on.
            self.step_deadline = Some(now + self.rebalance_timeout());
            return;
        }
        let leads = |id: &String| {
            self.members
                .get(id)
                .is_some_and(|member| member.joining.is_some())
        };
        if !self.leader.as_ref().is_some_and(leads) {
            self.leader = self
                .members
                .iter()
                .find(|(_, it)| it.joining.is_some())
                .map(|(id, _)| id.clone());
        }
        self.generation += 1;
        if self.members.is_empty() {
            self.protocol = None;
            self.state = State::Empty;
            self.step_deadline = None;
            return;
        }
        self.protocol = self.vote();
        self.state = State::CompletingRebalance;
        self.step_deadline = Some(now + self.rebalance_timeout());
        let joined: Vec<_> = self
            .members
            .iter()
            .filter(|(_, it)| it.joining.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for id in joined {
            let answer = self.joined(&id, false);
            if let Some(member) = self.members.get_mut(&id) {
                member.heard(now);
                member.asked = false;
                if let Some(reply) = member.joining.take() {
                    let _ = reply.send(Ok(answer));
                }
            }
        }
    }

    /// The protocol that all support and most prefer.
    fn vote(&self) -> Option<String> {
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in self.members.values() {
            let choice = member
                .protocols
                .iter()
                .find(|(name, _)| self.members.values().all(|it| it.supports(name)));
            let Some((choice, _)) = choice else { continue };
            match votes.iter_mut().find(|(name, _)| name == choice) {
                Some((_, count)) => *count += 1,
                None => votes.push((choice, 1)),
            }
        }
        votes
            .iter()
            .rev()
            .max_by_key(|(_, count)| *count)
            .map(|(name, _)| (*name).to_owned())
    }

    /// What a member is told of the current generation.
    pub(super) fn joined(&self, id: &str, skip_assignment: bool) -> Joined {
        let protocol = self.protocol.as_deref();
        let leader = self.leader.clone().unwrap_or_default();
        let members = if leader == id {
            let all = self.members.iter();
            all.map(|(id, it)| (id.clone(), it.instance.clone(), it.subscription(protocol)))
                .collect()
        } else {
            Vec::new()
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader,
            member: id.to_owned(),
            members,
            skip_assignment,
        }
    }

    /// A member's assignment.
    pub(super) fn synced(&self, id: &str) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self
                .members
                .get(id)
                .map(|member| member.assignment.clone())
                .unwrap_or_default(),
        }
    }

    /// Answers everybody who waits for an assignment.
    pub(super) fn answer_syncs(&mut self, now: Instant, refused: Option<Code>) {
        let waiting: Vec<_> = self
            .members
            .iter()
            .filter(|(_, it)| it.syncing.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for id in waiting {
            let answer = refused.map_or_else(|| Ok(self.synced(&id)), Err);
            if let Some(member) = self.members.get_mut(&id) {
                member.heard(now);
                if let Some(reply) = member.syncing.take() {
                    let _ = reply.send(answer);
                }
            }
        }
    }
}
