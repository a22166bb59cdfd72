//! Leaving, on purpose or by silence.

use std::time::Instant;

use super::Groups;
use super::group::State;
use super::requests::Who;
use crate::wire::Code;

impl Groups {
    /// LeaveGroup, for one member; a named instance is enough.
    pub(crate) fn leave(&mut self, name: &str, who: &Who, now: Instant) -> Result<(), Code> {
        let group = self.groups.get_mut(name).ok_or(Code::UnknownMemberId)?;
        if group.pending.remove(&who.member).is_some() {
            self.advance(name, now);
            return Ok(());
        }
        let id = match &who.instance {
            Some(instance) if who.member.is_empty() => group
                .instances
                .get(instance)
                .cloned()
                .ok_or(Code::UnknownMemberId)?,
            _ => {
                group.check_member(who)?;
                who.member.clone()
            }
        };
        tracing::debug!(group = name, member = id, "a member leaves");
        self.drop_members(name, &[id], now);
        Ok(())
    }

    /// Takes members out and lets the others rebalance.
    fn drop_members(&mut self, name: &str, ids: &[String], now: Instant) {
        let delay = self.initial_delay;
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        for id in ids {
            group.remove(id, Code::UnknownMemberId);
        }
        if matches!(group.state, State::Stable | State::CompletingRebalance) {
            group.prepare(delay, now);
        }
        self.advance(name, now);
    }

    /// Does what is due in one group.
    pub(super) fn expire(&mut self, name: &str, now: Instant) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        group.pending.retain(|_, deadline| *deadline > now);
        let mut gone = group.silent(now);
        let step_over = group.step_deadline.is_some_and(|deadline| deadline <= now);
        if step_over && matches!(group.state, State::Stable | State::CompletingRebalance) {
            // The generation was announced and these never asked for their part of it.
            group.step_deadline = None;
            let late = group.members.iter().filter(|(_, member)| !member.asked);
            gone.extend(late.map(|(id, _)| id.clone()));
        }
        if !gone.is_empty() {
            tracing::info!(group = name, members = ?gone, "members were silent too long and are removed");
            self.drop_members(name, &gone, now);
        }
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        if group.state == State::PreparingRebalance
            && group.step_deadline.is_some_and(|deadline| deadline <= now)
        {
            self.begin_generation(name, now);
        } else {
            self.advance(name, now);
        }
    }
}
