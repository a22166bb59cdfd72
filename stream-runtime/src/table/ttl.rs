//! `ttl`: rows that nobody has changed for so long, in stream time, are gone.
//!
//! A read sees that at once. The rows themselves are looked for now and then, at whole eighths of the `ttl`, some at a
//! time, in the cache and in the store; each that is over gets its tombstone.

use super::clock::NO_TIME;
use super::entry::Value;
use super::layout;
use super::row::{self, RowSpec};
use super::row_cache::RowCache;
use super::sweeping::{Step, Sweeping};
use crate::error::Error;

/// Rows looked at in one go.
const CHUNK: usize = 4096;

/// The smallest whole eighth of `ttl` that is not before `time`.
fn align(time: i64, ttl: i64) -> i64 {
    let step = (ttl / 8).max(1);
    let down = time.div_euclid(step).saturating_mul(step);
    if down < time {
        down.saturating_add(step)
    } else {
        down
    }
}

fn is_over(changed: i64, ttl: i64, now: i64) -> bool {
    changed != NO_TIME && changed.saturating_add(ttl) <= now
}

impl<S: RowSpec> RowCache<S> {
    /// Whether a row that is here has not been changed for the table's `ttl`.
    pub(super) fn is_over(&self, at: u32) -> bool {
        S::TTL.is_some() && self.has_ended(self.slots[at as usize].changed)
    }

    /// Whether a row that was changed last at this stream time is over.
    pub(super) fn has_ended(&self, changed: i64) -> bool {
        S::TTL.is_some_and(|ttl| is_over(changed, ttl, self.clock.stream_time.get()))
    }

    /// The current event changes a row: the stream time as of its end.
    pub(super) fn note_change(&mut self, at: u32) {
        let Some(ttl) = S::TTL else { return };
        let time = self
            .clock
            .event_time
            .get()
            .max(self.clock.stream_time.get());
        self.slots[at as usize].changed = time;
        if self.sweeping.next == i64::MAX && time != NO_TIME {
            self.next_sweep(align(time.saturating_add(ttl), ttl));
        }
    }

    fn next_sweep(&mut self, at: i64) {
        self.sweeping.next = at;
        self.clock.due_at(at);
    }

    /// Stream time at which rows are looked for; `i64::MAX` when there is nothing to look for.
    pub(super) fn sweeps_at(&self) -> i64 {
        self.sweeping.next
    }

    /// Starts again after a recovery or an abort.
    pub(super) fn restart_sweeping(&mut self) {
        let Some(ttl) = S::TTL else { return };
        self.sweeping = Sweeping::default();
        let now = self.clock.stream_time.get();
        let empty = self.cached() == 0 && self.windows.disk.0 > self.windows.disk.1;
        if now != NO_TIME && !empty {
            self.next_sweep(align(now.saturating_add(1), ttl));
        }
    }

    /// Looks for rows that are over, about a chunk at a time.
    pub(super) fn sweep_over(&mut self, now: i64) -> Result<(), Error> {
        let Some(ttl) = S::TTL else { return Ok(()) };
        let mut budget = CHUNK;
        while self.sweeping.next <= now && budget > 0 {
            match std::mem::replace(&mut self.sweeping.step, Step::Begin) {
                Step::Begin => {
                    self.sweeping.oldest = i64::MAX;
                    self.sweeping.step = Step::Cache(0);
                }
                Step::Cache(from) => {
                    let to = (from as usize + budget).min(self.slots.len());
                    for at in from..to as u32 {
                        self.look(at, ttl, now)?;
                    }
                    budget -= to - from as usize;
                    self.sweeping.step = if to < self.slots.len() {
                        Step::Cache(to as u32)
                    } else {
                        Step::Store(Vec::new())
                    };
                }
                Step::Store(from) => match self.look_in_store(&from, budget, ttl, now)? {
                    Some(next) => {
                        budget = 0;
                        self.sweeping.step = Step::Store(next);
                    }
                    None => {
                        let oldest = self.sweeping.oldest;
                        let after = align(now.saturating_add(1), ttl);
                        self.sweeping.next = match oldest {
                            i64::MAX => i64::MAX,
                            oldest => align(oldest.saturating_add(ttl), ttl).max(after),
                        };
                    }
                },
            }
        }
        Ok(())
    }

    /// The next rows of the store. Returns the key to go on from, `None` at the end.
    fn look_in_store(
        &mut self,
        from: &[u8],
        most: usize,
        ttl: i64,
        now: i64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(tree) = self
            .tree
            .clone()
            .filter(|_| self.windows.disk.0 <= self.windows.disk.1)
        else {
            return Ok(None);
        };
        let rows: Vec<_> = tree
            .scan(from, None)
            .take(most)
            .collect::<Result<_, _>>()
            .map_err(Error::from)?;
        for (layout_key, bytes) in &rows {
            let (_, key) = layout::parse::<S::Key>(false, layout_key, S::DESCRIPTOR.name)?;
            let cached = self.probe(self.hash(0, &key), 0, &key);
            let changed = row::split(bytes).0;
            match (cached, changed) {
                (Some(at), _) => self.look(at, ttl, now)?,
                (None, Some(changed)) if !is_over(changed, ttl, now) => {
                    self.sweeping.oldest = self.sweeping.oldest.min(changed);
                }
                (None, _) => {
                    let at = self.place(0, key);
                    self.look(at, ttl, now)?;
                }
            }
        }
        let last = rows.last().filter(|_| rows.len() == most);
        Ok(last.map(|(key, _)| [key.as_slice(), &[0]].concat()))
    }

    fn look(&mut self, at: u32, ttl: i64, now: i64) -> Result<(), Error> {
        let slot = &self.slots[at as usize];
        if !slot.live || matches!(slot.value, Value::Absent) {
            return Ok(());
        }
        if matches!(slot.value, Value::Unloaded) {
            self.load(at)?;
        }
        let slot = &mut self.slots[at as usize];
        if matches!(slot.value, Value::Absent) {
            return Ok(());
        }
        if slot.changed == NO_TIME {
            // Written before the table had a `ttl`: its time begins now.
            slot.changed = now;
            self.touch(at);
        } else if is_over(slot.changed, ttl, now) && !slot.journaled {
            slot.value = Value::Absent;
            self.touch(at);
            return Ok(());
        }
        let changed = self.slots[at as usize].changed;
        self.sweeping.oldest = self.sweeping.oldest.min(changed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::align;

    #[test]
    fn searches_lie_on_whole_eighths() {
        assert_eq!(
            [0, 1, 10, -1, -10].map(|t| align(t, 80)),
            [0, 10, 10, 0, -10]
        );
        assert_eq!(align(3, 1), 3);
        assert_eq!(align(i64::MAX, 80), i64::MAX);
    }
}
