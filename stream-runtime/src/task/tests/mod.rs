//! The task driven from memory: the window vectors, and random histories with aborts and crashes.

mod driver;
mod failures;
mod histories;
mod specs;
mod vectors;
