//! Looking at groups from outside, and deleting them.

use bytes::Bytes;

use super::Groups;
use super::commit::unwritten;
use super::group::State;
use super::store::Entry;
use crate::wire::Code;

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) group: String,
    pub(crate) protocol_type: String,
    pub(crate) state: &'static str,
}

/// A group and its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) state: &'static str,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) members: Vec<DescribedMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribedMember {
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    pub(crate) client: String,
    pub(crate) host: String,
    pub(crate) subscription: Bytes,
    pub(crate) assignment: Bytes,
}

impl Groups {
    /// All groups.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let each = self.groups.iter().map(|(name, group)| Listed {
            group: name.clone(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state.name(),
        });
        each.collect()
    }

    /// One group; None when there is none of this name.
    pub(crate) fn describe(&self, name: &str) -> Option<Described> {
        let group = self.groups.get(name)?;
        let stable = group.state == State::Stable;
        let protocol = group.protocol.as_deref().filter(|_| stable);
        let members = group.members.iter().map(|(id, it)| DescribedMember {
            id: id.clone(),
            instance: it.instance.clone(),
            client: it.client.clone(),
            host: it.host.clone(),
            subscription: it.subscription(protocol),
            assignment: if stable {
                it.assignment.clone()
            } else {
                Bytes::new()
            },
        });
        Some(Described {
            state: group.state.name(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: members.collect(),
        })
    }

    /// Deletes a group without members, its offsets included.
    pub(crate) fn delete(&mut self, name: &str) -> Result<(), Code> {
        let group = self.groups.get(name).ok_or(Code::GroupIdNotFound)?;
        if !group.members.is_empty()
            || !group.pending.is_empty()
            || !group.offsets.pending.is_empty()
        {
            return Err(Code::NonEmptyGroup);
        }
        self.write(&[Entry::Deleted {
            group: name.to_owned(),
        }])
        .map_err(|error| unwritten(name, &error))?;
        self.groups.remove(name);
        Ok(())
    }
}
