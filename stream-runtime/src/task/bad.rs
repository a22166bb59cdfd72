//! Records that are not dispatched: why, in words that lead somewhere.

use super::agent::Role;
use super::state::AgentCx;
use crate::key::KeyError;
use crate::record::{DecodeError, Record};
use crate::topology::OnError;

/// Why a record is not dispatched.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) why: String,
    /// It is a tombstone, and the agent takes none.
    tombstone: bool,
}

impl From<String> for Bad {
    fn from(why: String) -> Self {
        Bad {
            why,
            tombstone: false,
        }
    }
}

impl Bad {
    /// What the agent's options say about it; `true`: it is left out as a matter of course.
    pub(crate) fn policy(&self, agent: &AgentCx) -> (OnError, bool) {
        let options = &agent.state().options;
        match options.on_tombstone.filter(|_| self.tombstone) {
            Some(policy) => (policy, policy == OnError::Skip),
            None => (options.on_decode_error, false),
        }
    }
}

impl AgentCx {
    /// A record that does not decode.
    #[cold]
    pub(crate) fn undecodable<R: Record>(&self, error: DecodeError) -> Bad {
        match error.is_tombstone() {
            true => self.tombstone::<R>(),
            false => error.to_string().into(),
        }
    }

    /// A tombstone of a record `R` where none is taken.
    #[cold]
    pub(crate) fn tombstone<R: Record>(&self) -> Bad {
        let received = format!(
            "`{}`: received a tombstone (a message without a value)",
            R::NAME
        );
        let skip = "`on_tombstone = \"skip\"`";
        let why = match self.state().role {
            Role::Agent => format!(
                "{received}; take `Option<{}>` to receive them, or leave them out with {skip}",
                R::NAME
            ),
            Role::Hop => format!(
                "{received}, and the key that it is to get is a field of the value; leave them out with {skip}, or take them \
                 as `Option<{}>` in another agent of the topic, which has no `group_by`",
                R::NAME
            ),
            Role::Join => format!(
                "{received}, which no join takes: an `Option` in it is a record without a partner; leave them out with {skip}"
            ),
        };
        Bad {
            why,
            tombstone: true,
        }
    }

    /// A key that cannot be read.
    #[cold]
    pub(crate) fn unreadable_key(&self, error: &KeyError) -> Bad {
        if !error.is_missing() {
            return error.to_string().into();
        }
        let state = self.state();
        if state.role == Role::Join {
            return "the record has no key, by which a join finds its partner: send it with one, or join by fields, \
                    `on = (left_field, right_field)`"
                .to_owned()
                .into();
        }
        let rows = match state.writes.first() {
            Some(&table) => {
                let name = self.shared.tables[table].descriptor().name;
                format!("keeps the rows of table `{name}` in the partition of its records' keys")
            }
            None => "asks for the key or for a table".to_owned(),
        };
        format!(
            "the record has no key, and agent `{}` {rows}: send it with one, give it one of its fields on the way with \
             `group_by = field`, take `Event<_, Option<Key>>` if there need be none, or declare the table `local` if a row \
             a partition is meant",
            state.name
        )
        .into()
    }
}
