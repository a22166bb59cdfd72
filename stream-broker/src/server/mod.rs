//! Floor 4: sockets, threads, and what each request does.

mod broker;
mod configs;
mod connection;
mod convert;
mod dispatch;
mod fetch;
mod groups;
mod node;
mod offsets;
mod produce;
mod records;
mod topics;
mod transactions;

pub use broker::Broker;
