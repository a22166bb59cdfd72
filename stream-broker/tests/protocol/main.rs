//! The protocol, spoken over bare sockets.

mod garbage;
mod versions;
mod wire;
