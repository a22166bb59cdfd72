//! Everything that runs on a broker, as one program: most tests wait most of their time, so they wait together, and
//! share one Apache Kafka.

mod apache_kafka;
mod at_least_once;
mod bad_input;
mod bad_places;
mod beside;
mod broker_apache;
mod broker_embedded;
mod broker_full;
mod broker_kill;
mod cli;
mod clients;
mod cluster;
mod dead_letters;
mod demo;
mod external;
mod faults;
mod globals;
mod golden;
mod holding;
mod hops;
mod kills;
mod lookups;
#[cfg(feature = "mutants")]
mod mutants;
mod patterns;
mod reads;
mod refusals;
mod reset;
mod settings;
mod tutorial;
mod typed;
mod verifier;
mod web;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// Runs a command with standard input; what it prints goes to a pipe, not to a terminal.
fn piped(command: &mut Command, input: &str) -> Output {
    let pipes = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}
