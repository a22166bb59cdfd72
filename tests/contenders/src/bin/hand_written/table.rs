//! The open hours of one partition.

use hashbrown::HashMap;
use serde::Serialize;
use std::collections::BTreeMap;

pub const HOUR: i64 = 3_600_000;
const GRACE: i64 = 30_000;

/// The readings of an hour, folded.
#[derive(Clone, Copy, Default, Serialize)]
pub struct Mean {
    pub count: u64,
    pub sum: f64,
}

struct Row {
    mean: Mean,
    dirty: bool,
}

type Hour = HashMap<Box<str>, Row>;

/// A hash map an hour, what changed since the last commit, and the hours that are over.
#[derive(Default)]
pub struct Table {
    open: BTreeMap<i64, Hour>,
    dirty: Vec<(i64, Box<str>)>,
    closed: Vec<(i64, Hour)>,
    stream_time: i64,
}

impl Table {
    /// Adds a reading to its hour, unless that is over; closes the hours that are.
    pub fn add(&mut self, time: i64, key: &str, voltage: f64) {
        let start = time.div_euclid(HOUR) * HOUR;
        let late = start + HOUR + GRACE <= self.stream_time;
        self.stream_time = self.stream_time.max(time);
        if !late {
            let new = || Row {
                mean: Mean::default(),
                dirty: false,
            };
            let row = self
                .open
                .entry(start)
                .or_default()
                .entry_ref(key)
                .or_insert_with(new);
            row.mean.count += 1;
            row.mean.sum += voltage;
            if !row.dirty {
                row.dirty = true;
                self.dirty.push((start, key.into()));
            }
        }
        while let Some(hour) = self.open.first_entry() {
            if *hour.key() + HOUR + GRACE > self.stream_time {
                break;
            }
            self.closed.push(hour.remove_entry());
        }
    }

    /// The rows changed since the last call that are still open.
    pub fn take_dirty(&mut self, mut each: impl FnMut(i64, &str, Mean)) {
        for (start, key) in self.dirty.drain(..) {
            let row = self
                .open
                .get_mut(&start)
                .and_then(|hour| hour.get_mut(&*key));
            if let Some(row) = row {
                row.dirty = false;
                each(start, &key, row.mean);
            }
        }
    }

    /// The rows whose hour has closed since the last call.
    pub fn take_closed(&mut self, mut each: impl FnMut(i64, &str, Mean)) {
        for (start, hour) in self.closed.drain(..) {
            hour.iter()
                .for_each(|(key, row)| each(start, key, row.mean));
        }
    }
}
