//! The rows of a partition as of the last commit, some at a time, in the order of their layout keys.

use super::layout;
use super::row::{self, RowSpec};
use super::rows::Rows;
use super::slot::Below;
use crate::error::Error;

/// Which committed rows to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The layout key to begin with.
    pub from: Vec<u8>,
    /// Of aligned windows those of one key alone: its ordered form. Other tables look at all keys.
    pub key: Option<Vec<u8>>,
    /// Rows to look at, at most; at least 1.
    pub rows: usize,
    /// Bytes after which no further row is taken.
    pub bytes: usize,
}

/// Some committed rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Layout keys and rows.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the next chunk begins; `None` when there are no more rows.
    pub next: Option<Vec<u8>>,
}

/// Rows that are committed and not stored, by their layout keys; `None` is a tombstone.
type Unstored<'a> = Vec<(Vec<u8>, Option<&'a [u8]>)>;

impl<S: RowSpec> Rows<S> {
    /// The committed rows from a layout key on, without those whose `ttl` is over.
    pub(super) fn committed_rows(&self, scan: &Scan) -> Result<Chunk, Error> {
        let most = scan.rows.max(1);
        let mut unstored = self.unstored_from(&scan.from, most).into_iter().peekable();
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
            let wanted = |one: &Vec<u8>| !S::ALIGNED || key.get(8..) == Some(one);
            if let Some(value) = value.filter(|_| scan.key.as_ref().is_none_or(wanted)) {
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

    /// Whether a row of the store is what is committed: the cache may know better.
    fn is_stored(&self, layout_key: &[u8]) -> Result<bool, Error> {
        let (end, key) = layout::parse::<S::Key>(S::ALIGNED, layout_key, S::DESCRIPTOR.name)?;
        Ok(match self.below(end, &key) {
            Some(Below::Stored) => true,
            Some(Below::Nothing | Below::Unstored(_)) => false,
            None => self.may_be_on_disk(end),
        })
    }

    /// The first of the committed rows that the store does not have, in the order of their layout keys.
    fn unstored_from(&self, from: &[u8], most: usize) -> Unstored<'_> {
        let mut found: Unstored<'_> = Vec::new();
        let mut take = |at: usize| {
            let slot = &self.slots[at];
            let Below::Unstored(value) = &slot.below else {
                return;
            };
            if slot.live {
                let mut key = Vec::new();
                layout::push(S::ALIGNED, slot.end, &slot.key, &mut key);
                if &key[..] >= from {
                    found.push((key, value.as_deref()));
                }
            }
        };
        if self.tree.is_none() {
            (0..self.slots.len()).for_each(&mut take);
        } else {
            let lists = self.unstored.iter().chain(&self.storing);
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
