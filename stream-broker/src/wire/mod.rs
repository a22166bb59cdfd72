//! Floor 0: bytes of the Kafka protocol. Which requests are served, in which versions, and how a frame is read and
//! written.

pub(crate) mod api;
pub(crate) mod frame;
pub(crate) mod produce;
pub(crate) mod shape;

pub(crate) use kafka_protocol::error::ResponseError as Code;
