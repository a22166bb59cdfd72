//! What the contenders share: the reading, and the lines by which the benchmark times them.

use chrono::{DateTime, Utc};
use std::time::{SystemTime, UNIX_EPOCH};

/// One reading of a power meter.
#[derive(serde::Deserialize)]
pub struct Reading {
    pub datetime: DateTime<Utc>,
    pub voltage: f64,
}

/// A reading that has 30 fields, of which these are of interest.
#[derive(serde::Deserialize)]
pub struct WideReading {
    pub datetime: DateTime<Utc>,
    pub voltage: f64,
    pub power: f64,
}

/// Prints `word` and the time in microseconds since the epoch; the benchmark looks for `@started` and `@done`.
pub fn mark(word: &str) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock past 1970");
    println!("@{word} {}", now.as_micros());
}
