//! What the parameters of a function are made from, and the forms that functions have.

use std::marker::PhantomData;

use crate::key::StreamKey;
use crate::task::state::AgentCx;

/// Marks agents that loop over a [`Stream`](super::Stream).
#[derive(Debug)]
pub struct StreamForm;
/// Marks agents called once per record.
#[derive(Debug)]
pub struct EventForm;
/// Marks agents called once per closed window.
#[derive(Debug)]
pub struct ClosedForm;

/// What an agent's parameters are made from; `M` is the form.
pub struct Cx<M> {
    pub(crate) agent: AgentCx,
    _form: PhantomData<M>,
}

impl<M> Cx<M> {
    pub(super) fn new(agent: &AgentCx) -> Self {
        Cx {
            agent: agent.clone(),
            _form: PhantomData,
        }
    }
}

/// The key of agents that do not name one: any bytes, or none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AnyKey;

impl StreamKey for AnyKey {
    const NAME: &'static str = "";

    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(bytes: Option<&[u8]>) -> Result<Self, crate::key::KeyError> {
        // Asked only for agents with a table or a key: these need one.
        bytes
            .map(|_| AnyKey)
            .ok_or_else(crate::key::KeyError::missing)
    }

    fn encode_ordered(&self, _: &mut Vec<u8>) {}

    fn decode_ordered(_: &[u8]) -> Result<Self, crate::key::KeyError> {
        Ok(AnyKey)
    }
}
