//! The rows of a plain table in key order: cache, overlay and store as one.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Bound;

use super::entry::Value;
use super::layout;
use super::row::RowSpec;
use super::row_cache::RowCache;
use super::spec::TableSpec;
use crate::error::{Error, raise};
use crate::key::StreamKey;

/// Rows read from the store at a time.
const CHUNK: usize = 512;

/// Iterator of [`Table::iter`](crate::Table::iter) and [`Table::range`](crate::Table::range).
///
/// ```
/// # use stream_runtime::prelude::*;
/// # #[table]
/// # #[derive(Clone, Default)]
/// # struct Counts { seen: u64 }
/// #[agent(topic = "words", sink = "sums")]
/// async fn sum(word: Event<String>, mut counts: Table<Counts>) -> String {
///     counts.update(word.key(), |count| count.seen += 1);
///     counts.iter().map(|(_, count)| count.seen).sum::<u64>().to_string()
/// }
/// ```
pub struct Iter<'a, S: TableSpec> {
    inner: Box<dyn Iterator<Item = (S::Key, S::Value)> + 'a>,
}

impl<S: TableSpec> Iterator for Iter<'_, S> {
    type Item = (S::Key, S::Value);

    fn next(&mut self) -> Option<Self::Item> {
        self.inner.next()
    }
}

impl<'a, S: TableSpec> Iter<'a, S> {
    pub(super) fn new(
        rows: &'a RefCell<RowCache<S>>,
        from: Bound<S::Key>,
        to: Bound<S::Key>,
    ) -> Self {
        let mut walk = Walk {
            cached: rows.borrow().keys_between(&from, &to),
            stored: VecDeque::new(),
            from: lower(&from),
            to: upper(&to),
            rows,
        };
        let next = move || walk.next().unwrap_or_else(|e| raise(e));
        Iter {
            inner: Box::new(std::iter::from_fn(next)),
        }
    }
}

/// Where a scan of the store begins.
fn lower<K: StreamKey>(from: &Bound<K>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    match from {
        Bound::Unbounded => {}
        Bound::Included(key) => key.encode_ordered(&mut bytes),
        Bound::Excluded(key) => {
            key.encode_ordered(&mut bytes);
            bytes.push(0);
        }
    }
    Some(bytes)
}

/// Before which key it ends.
fn upper<K: StreamKey>(to: &Bound<K>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    match to {
        Bound::Unbounded => return None,
        Bound::Excluded(key) => key.encode_ordered(&mut bytes),
        Bound::Included(key) => {
            key.encode_ordered(&mut bytes);
            bytes.push(0);
        }
    }
    Some(bytes)
}

/// Key and row.
type Pair<S> = (<S as TableSpec>::Key, <S as TableSpec>::Value);

/// Two sorted lists of keys that are merged: of the cache as it was at the beginning, of the store a chunk at a time.
struct Walk<'a, S: TableSpec> {
    rows: &'a RefCell<RowCache<S>>,
    cached: VecDeque<S::Key>,
    stored: VecDeque<(S::Key, Vec<u8>)>,
    /// Where the next chunk begins; `None` when there is none.
    from: Option<Vec<u8>>,
    to: Option<Vec<u8>>,
}

impl<S: TableSpec> Walk<'_, S> {
    fn next(&mut self) -> Result<Option<Pair<S>>, Error> {
        loop {
            if self.stored.is_empty() && self.from.is_some() {
                self.read_chunk()?;
            }
            let take_stored = match (self.cached.front(), self.stored.front()) {
                (None, None) => return Ok(None),
                (Some(cached), Some((stored, _))) => {
                    if cached == stored {
                        self.stored.pop_front();
                        continue;
                    }
                    stored < cached
                }
                (cached, _) => cached.is_none(),
            };
            let (key, bytes) = if take_stored {
                match self.stored.pop_front() {
                    Some((key, bytes)) => (key, Some(bytes)),
                    None => continue,
                }
            } else {
                match self.cached.pop_front() {
                    Some(key) => (key, None),
                    None => continue,
                }
            };
            if let Some(value) = self.rows.borrow_mut().value_of(&key, bytes)? {
                return Ok(Some((key, value)));
            }
        }
    }

    fn read_chunk(&mut self) -> Result<(), Error> {
        let Some(from) = self.from.take() else {
            return Ok(());
        };
        let rows = self.rows.borrow();
        let Some(tree) = rows
            .tree
            .as_ref()
            .filter(|_| rows.windows.disk.0 <= rows.windows.disk.1)
        else {
            return Ok(());
        };
        for row in tree.scan(&from, self.to.as_deref()).take(CHUNK) {
            let (layout_key, bytes) = row.map_err(Error::from)?;
            let (_, key) =
                layout::parse::<S::Key>(false, &layout_key, <S as TableSpec>::DESCRIPTOR.name)?;
            self.stored.push_back((key, bytes));
            self.from = Some(layout_key);
        }
        if self.stored.len() < CHUNK {
            self.from = None;
        } else if let Some(from) = &mut self.from {
            from.push(0);
        }
        Ok(())
    }
}

impl<S: RowSpec> RowCache<S> {
    /// Keys of cached rows in a range, sorted.
    fn keys_between(&self, from: &Bound<S::Key>, to: &Bound<S::Key>) -> VecDeque<S::Key> {
        use std::ops::RangeBounds;
        let range = (from.as_ref(), to.as_ref());
        let mut keys: Vec<S::Key> = self
            .slots
            .iter()
            .filter(|slot| slot.live && range.contains(&slot.key))
            .map(|slot| slot.key.clone())
            .collect();
        keys.sort_unstable();
        keys.into()
    }

    /// A row that the store has and the cache has not. It gets a place there when it does not read, and makes room.
    fn read_apart(&mut self, key: &S::Key, bytes: &[u8]) -> Result<Option<(S::Row, i64)>, Error> {
        match Self::decode(key, bytes) {
            Ok(row) => Ok(Some(row)),
            Err(problem) => {
                let at = self.place(0, key.clone());
                self.set_aside(at, bytes, problem).map(|()| None)
            }
        }
    }

    /// The value of a row without making room for it in the cache. `stored` is what the store has, if it has been
    /// asked.
    fn value_of(&mut self, key: &S::Key, stored: Option<Vec<u8>>) -> Result<Option<S::Row>, Error> {
        let row = match self.probe(self.hash(0, key), 0, key) {
            Some(at) => match &self.slots[at as usize].value {
                Value::Absent => None,
                Value::Here(value) => Some((value.clone(), self.slots[at as usize].changed)),
                Value::Unloaded => self.peek(at)?,
            },
            None => match (stored, &self.tree) {
                (Some(bytes), _) => self.read_apart(key, &bytes)?,
                // It was cached when the walk began.
                (None, Some(tree)) => {
                    let mut layout_key = Vec::new();
                    layout::push(false, 0, key, &mut layout_key);
                    let bytes = tree.get(&layout_key).map_err(Error::from)?;
                    match bytes {
                        Some(bytes) => self.read_apart(key, &bytes)?,
                        None => None,
                    }
                }
                (None, None) => None,
            },
        };
        Ok(row
            .filter(|(_, changed)| !self.has_ended(*changed))
            .map(|(value, _)| value))
    }
}
