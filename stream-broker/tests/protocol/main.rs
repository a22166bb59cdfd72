//! The protocol, spoken over bare sockets.

mod fetch;
mod garbage;
mod versions;
mod wire;
