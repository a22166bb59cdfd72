//! Bytes and values: JSON on the wire, MessagePack in tables.

pub(crate) mod json;
pub(crate) mod rows;
