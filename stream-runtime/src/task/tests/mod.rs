//! The task driven from memory: the window vectors, and random histories with aborts and crashes.

mod by_hand;
mod calls;
mod closings;
mod driver;
mod failures;
mod graphs;
mod held;
mod histories;
mod in_flight;
mod joins;
mod large;
mod more_specs;
mod scanned;
mod simulation;
mod specs;
mod ticks;
mod vectors;
