//! Bytes and values: on the wire by the record's codec, MessagePack in tables.

pub(crate) mod json;
pub(crate) mod rows;
mod wire;

pub use wire::{Binary, Codec, CodecError, MessagePack, Raw, Text};
