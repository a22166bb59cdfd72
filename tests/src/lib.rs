//! What the end-to-end tests and the benchmark stand on: brokers in processes of their own, clients, data, skips.

pub mod apache;
pub mod bench;
pub mod between;
pub mod bins;
pub mod broker;
pub mod broker_suite;
pub mod cache;
pub mod chaos;
pub mod client;
pub mod data;
pub mod embedded;
pub mod feed;
pub mod http;
pub mod joins;
pub mod killable;
pub mod leash;
pub mod net;
pub mod numbers;
pub mod orders;
pub mod pairs;
pub mod progress;
pub mod sasl;
pub mod skip;
pub mod verifier;
pub mod voltage;
