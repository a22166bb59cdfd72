//! The rows of a partition as of the last commit, some at a time, in the order of their layout keys.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::entry::OnDisk;
use super::layout;
use super::page::{Chunk, Scan};
use super::row::{self, RowSpec};
use super::row_cache::RowCache;
use crate::error::Error;

/// Rows that are committed and not stored, by their layout keys; `None` is a tombstone.
type Unstored<'a> = Vec<(Vec<u8>, Option<&'a [u8]>)>;

impl<S: RowSpec> RowCache<S> {
    /// The committed rows from a layout key on, without those whose `ttl` is over.
    pub(super) fn committed_rows(&self, scan: &Scan) -> Result<Chunk, Error> {
        if let Some(key) = scan.key.as_deref().filter(|_| S::ALIGNED) {
            return self.committed_windows(scan, key);
        }
        let most = scan.rows.max(1);
        let mut unstored = self
            .unstored_from(&scan.from, None, most)
            .into_iter()
            .peekable();
        let tree = self.tree.as_ref();
        let mut stored = tree.map(|tree| tree.scan(&scan.from, None).peekable());
        let mut chunk = Chunk::default();
        let mut bytes = 0;
        for _ in 0..most {
            let below = match stored.as_mut().and_then(|rows| rows.peek()) {
                Some(Ok((key, _))) => Some(key),
                Some(Err(_)) | None => None,
            };
            // Of a key in both, what is committed later holds.
            let newer = match (unstored.peek(), below) {
                (Some((newer, _)), Some(key)) => newer <= key,
                (newer, None) => newer.is_some(),
                (None, Some(_)) => false,
            };
            let (key, value) = if newer {
                let Some((key, value)) = unstored.next() else {
                    return Ok(chunk);
                };
                if let Some(rows) = &mut stored {
                    rows.next_if(|row| matches!(row, Ok((below, _)) if *below == key));
                }
                (key, value.map(<[u8]>::to_vec))
            } else {
                match stored.as_mut().and_then(Iterator::next) {
                    Some(row) => {
                        let (key, value) = row.map_err(Error::from)?;
                        let holds = self.is_stored(&key)?;
                        (key, holds.then_some(value))
                    }
                    None => {
                        chunk.next = None;
                        return Ok(chunk);
                    }
                }
            };
            chunk.next = Some([&key[..], &[0]].concat());
            if let Some(value) = value {
                let (changed, row) = row::split(&value);
                if !changed.is_some_and(|changed| self.has_ended(changed)) {
                    bytes += key.len() + row.len();
                    chunk.rows.push((key, row.to_vec()));
                }
            }
            if bytes >= scan.bytes {
                break;
            }
        }
        Ok(chunk)
    }

    /// The committed rows of one key, whose windows stand before it: goes from window to window, and not through the
    /// rows of other keys.
    fn committed_windows(&self, scan: &Scan, wanted: &[u8]) -> Result<Chunk, Error> {
        let mut found: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        let (mut from, mut next) = (scan.from.clone(), None);
        let (mut looked, mut bytes) = (0, 0);
        while let Some(tree) = &self.tree {
            if looked >= scan.rows.max(1) || bytes >= scan.bytes {
                next = Some(from);
                break;
            }
            looked += 1;
            let Some(row) = tree.scan(&from, None).next() else {
                break;
            };
            let (key, value) = row.map_err(Error::from)?;
            let (end, _) = layout::parse::<S::Key>(true, &key, S::DESCRIPTOR.name)?;
            let (window, own) = key.split_at(8);
            match own.cmp(wanted) {
                Ordering::Less => from = [window, wanted].concat(),
                other => {
                    from.clear();
                    layout::push_end(end.saturating_add(1), &mut from);
                    if other == Ordering::Equal && self.is_stored(&key)? {
                        bytes += key.len() + value.len();
                        found.insert(key, Some(value));
                    }
                    if end == i64::MAX {
                        break;
                    }
                }
            }
        }
        // Of a row in both, what is committed later holds.
        for (key, value) in self.unstored_from(&scan.from, Some(wanted), usize::MAX) {
            if next.as_ref().is_none_or(|next| key < *next) {
                found.insert(key, value.map(<[u8]>::to_vec));
            }
        }
        let rows = found.into_iter().filter_map(|(key, value)| {
            let value = value?;
            let (changed, row) = row::split(&value);
            let over = changed.is_some_and(|changed| self.has_ended(changed));
            (!over).then(|| (key, row.to_vec()))
        });
        Ok(Chunk {
            rows: rows.collect(),
            next,
        })
    }

    /// Whether a row of the store is what is committed: the cache may know better.
    fn is_stored(&self, layout_key: &[u8]) -> Result<bool, Error> {
        let (end, key) = layout::parse::<S::Key>(S::ALIGNED, layout_key, S::DESCRIPTOR.name)?;
        Ok(match self.below(end, &key) {
            Some(OnDisk::Stored) => true,
            Some(OnDisk::Nothing | OnDisk::Unstored(_)) => false,
            None => self.may_be_on_disk(end),
        })
    }

    /// The first of the committed rows that the store does not have, in the order of their layout keys; of aligned
    /// windows those of one key alone, if one is named.
    fn unstored_from(&self, from: &[u8], only: Option<&[u8]>, most: usize) -> Unstored<'_> {
        let mut found: Unstored<'_> = Vec::new();
        let mut take = |at: usize| {
            let slot = &self.slots[at];
            let OnDisk::Unstored(value) = &slot.below else {
                return;
            };
            if slot.live {
                let mut key = Vec::new();
                layout::push(S::ALIGNED, slot.end, &slot.key, &mut key);
                if &key[..] >= from && only.is_none_or(|only| key.get(8..) == Some(only)) {
                    found.push((key, value.as_deref()));
                }
            }
        };
        if self.tree.is_none() {
            (0..self.slots.len()).for_each(&mut take);
        } else {
            let lists = self.flush.unstored.iter().chain(&self.flush.storing);
            lists.for_each(|at| take(*at as usize));
        }
        if found.len() > most {
            found.select_nth_unstable(most - 1);
            found.truncate(most);
        }
        found.sort_unstable();
        // A row that changed while its round was being written is in both lists.
        found.dedup_by(|a, b| a.0 == b.0);
        found
    }
}
