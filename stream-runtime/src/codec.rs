//! Bytes and values: on the wire by the record's codec, MessagePack in tables.

pub(crate) mod json;
pub(crate) mod rows;
pub(crate) mod tree;
mod wire;
pub(crate) mod work;

pub use wire::{Binary, Codec, CodecError, MessagePack, MessagePackAsText, Raw, Text};
