//! A window that is over.

use std::ops::Deref;

use chrono::{DateTime, Utc};

use super::event::date;
use crate::table::{TableSpec, WindowedKind};

/// The final row of a window, handed once to each agent `on_close = S`. It derefs to the row.
#[derive(Debug)]
pub struct Closed<S: TableSpec> {
    key: S::Key,
    start: i64,
    end: i64,
    value: S::Value,
}

impl<S: TableSpec> Deref for Closed<S> {
    type Target = S::Value;

    fn deref(&self) -> &S::Value {
        &self.value
    }
}

impl<S: TableSpec> Closed<S>
where
    S::Kind: WindowedKind,
{
    /// A closed window as a unit test of an `on_close` agent needs it.
    pub fn new(key: S::Key, start: DateTime<Utc>, value: S::Value) -> Self {
        let start = start.timestamp_millis();
        Closed {
            key,
            start,
            end: start + size::<S>(),
            value,
        }
    }
}

fn size<S: TableSpec>() -> i64 {
    S::DESCRIPTOR.window.map_or(0, |w| w.size())
}

impl<S: TableSpec> Closed<S> {
    pub(crate) fn of(key: S::Key, end: i64, value: S::Value) -> Self {
        Closed {
            key,
            start: end - size::<S>(),
            end,
            value,
        }
    }

    /// The row's key.
    pub fn key(&self) -> &S::Key {
        &self.key
    }

    /// First instant of the window.
    pub fn start(&self) -> DateTime<Utc> {
        date(self.start)
    }

    /// First instant after the window.
    pub fn end(&self) -> DateTime<Utc> {
        date(self.end)
    }

    /// The row without its envelope.
    pub fn into_value(self) -> S::Value {
        self.value
    }
}
