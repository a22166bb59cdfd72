//! The commands, as a user types them, each in a process of its own.

mod broker;
mod demos;
mod lock;
mod program;
mod records;
mod working;
mod wrong;
