//! Floor 4: sockets, threads, and what each request does.

mod answer;
mod broker;
mod configs;
mod connection;
mod fetch;
mod groups;
mod node;
mod offsets;
mod produce;
mod records;
mod topics;
mod transactions;

pub use broker::Broker;
