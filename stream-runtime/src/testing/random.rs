//! Chance.

/// Chance that a seed repeats: what a simulation's inputs are made with.
pub type Random = fastrand::Rng;
