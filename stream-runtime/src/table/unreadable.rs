//! Rows read from the layers below the cache, and what happens to those that do not read.

use super::aside::Aside;
use super::clock::NO_TIME;
use super::entry::{OnDisk, Value};
use super::layout;
use super::readback::key_text;
use super::row::{self, RowSpec};
use super::row_cache::RowCache;
use crate::codec::rows as codec;
use crate::error::Error;
use crate::key::StreamKey;
use crate::topology::OnUnreadable;

impl<S: RowSpec> RowCache<S> {
    /// Reads an unloaded value from the layers below.
    #[inline]
    pub(super) fn load(&mut self, at: u32) -> Result<(), Error> {
        let slot = &mut self.slots[at as usize];
        if !slot.touched {
            slot.touched = true;
        }
        match slot.value {
            Value::Unloaded => self.load_from_below(at),
            _ => Ok(()),
        }
    }

    fn load_from_below(&mut self, at: u32) -> Result<(), Error> {
        let row = self.peek(at)?;
        let slot = &mut self.slots[at as usize];
        slot.value = match row {
            Some((value, changed)) => {
                slot.changed = changed;
                Value::Here(value)
            }
            None => Value::Absent,
        };
        Ok(())
    }

    /// What the layers below the cache have of a row: its value, and when it changed last.
    pub(super) fn peek(&mut self, at: u32) -> Result<Option<(S::Row, i64)>, Error> {
        let slot = &self.slots[at as usize];
        let read = match &slot.below {
            OnDisk::Nothing | OnDisk::Unstored(None) => return Ok(None),
            OnDisk::Unstored(Some(bytes)) => {
                Self::decode(&slot.key, bytes).map_err(|e| (e, bytes.to_vec()))
            }
            OnDisk::Stored => {
                self.scratch.clear();
                layout::push(S::ALIGNED, slot.end, &slot.key, &mut self.scratch);
                let bytes = self.tree.as_ref().map(|t| t.get(&self.scratch));
                match bytes.transpose().map_err(Error::from)?.flatten() {
                    Some(bytes) => Self::decode(&slot.key, &bytes).map_err(|e| (e, bytes)),
                    None => return Ok(None),
                }
            }
        };
        match read {
            Ok(row) => Ok(Some(row)),
            Err((problem, bytes)) => self.set_aside(at, &bytes, problem).map(|()| None),
        }
    }

    /// A row as it is written, and when it changed last.
    pub(super) fn decode(key: &S::Key, bytes: &[u8]) -> Result<(S::Row, i64), Error> {
        let (changed, row) = row::split(bytes);
        match codec::decode(row) {
            Ok(row) => Ok((row, changed.unwrap_or(NO_TIME))),
            Err(problem) => Err(unreadable::<S>(key, row, problem)),
        }
    }

    /// A row does not read: by the table's policy it makes room, for its key to start again with the next commit.
    ///
    /// # Errors
    /// The partition stops for it.
    #[cold]
    pub(super) fn set_aside(&mut self, at: u32, bytes: &[u8], problem: Error) -> Result<(), Error> {
        let problem = self.located(problem);
        if S::DESCRIPTOR.on_unreadable == OnUnreadable::Stop {
            return Err(problem);
        }
        let slot = &mut self.slots[at as usize];
        slot.value = Value::Absent;
        let mut key = Vec::new();
        slot.key.encode(&mut key);
        self.aside.push(Aside {
            key,
            end: slot.end,
            row: bytes.into(),
            why: problem.to_string(),
        });
        self.touch(at);
        Ok(())
    }
}

impl<S: RowSpec> RowCache<S> {
    /// Says where on the broker the row is, as far as that is known: of a row that has been in the store or in memory,
    /// no more than which commits came after it.
    pub(super) fn located(&self, problem: Error) -> Error {
        let (Some(topic), (partition, _)) = (&self.changelog.place.topic, self.clock.place.get())
        else {
            return problem;
        };
        let before = match self.changelog.place.end.get() {
            0 => String::new(),
            end => format!(", before offset {end}"),
        };
        Error::table(format!(
            "{problem}; it is a row of {topic}[{partition}]{before}"
        ))
    }
}

#[cold]
fn unreadable<S: RowSpec>(key: &S::Key, row: &[u8], problem: rmp_serde::decode::Error) -> Error {
    let why = codec::explain::<S::Row>(row, problem);
    let place = why.field.map(|field| format!("field `{field}`: "));
    let way_out = match S::DESCRIPTOR.on_unreadable {
        OnUnreadable::SetAside => "",
        OnUnreadable::Stop => {
            "; `on_unreadable_row = \"set_aside\"` lets the other keys go on, and `reset` drops all state"
        }
    };
    Error::table(format!(
        "table `{}`, key {}: the stored row does not read as {}: {}{}; {}{way_out}",
        S::DESCRIPTOR.name,
        key_text(key),
        S::DESCRIPTOR.value,
        place.unwrap_or_default(),
        why.why,
        why.cure,
    ))
}
