//! One cached row and what the layers below it hold.

/// The row as the handlers see it.
#[derive(Debug)]
pub(super) enum Value<V> {
    /// The layers below have it; it has not been read yet.
    Unloaded,
    /// There is no such row.
    Absent,
    /// The row.
    Here(V),
}

impl<V> Value<V> {
    pub(super) fn as_ref(&self) -> Option<&V> {
        match self {
            Value::Here(v) => Some(v),
            _ => None,
        }
    }
}

/// The row as of the last commit.
#[derive(Debug)]
pub(super) enum OnDisk {
    /// Never committed, or its tombstone is stored.
    Nothing,
    /// In the store, up to date.
    Stored,
    /// Committed and not stored yet: the bytes, or a tombstone.
    Unstored(Option<Box<[u8]>>),
}

/// A cached row. Rows that are dirty or unstored are never evicted, so a row that is not cached is in the store or
/// nowhere.
///
/// What every event looks at comes first: finding a row is a wait for memory, so the fewer of its lines the better.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Entry<K, V> {
    pub(super) key: K,
    /// End of the window; 0 for plain tables.
    pub(super) end: i64,
    pub(super) value: Value<V>,
    /// The journal has its value from before the current event.
    pub(super) journaled: bool,
    /// Changed since the last commit.
    pub(super) dirty: bool,
    /// Read or written since the last sweep of the cache.
    pub(super) touched: bool,
    pub(super) live: bool,
    /// In the list of rows that await the store.
    pub(super) listed: bool,
    /// Counts the rows that have been in this slot one after the other.
    pub(super) uses: u16,
    pub(super) below: OnDisk,
    /// Stream time of the last change; only tables with a `ttl` know it.
    pub(super) changed: i64,
    pub(super) hash: u32,
    /// Number of the commit that last changed `below`, its lower half.
    pub(super) commit: u32,
}

impl<K, V> Entry<K, V> {
    /// Whether the cache may forget it.
    pub(super) fn evictable(&self) -> bool {
        let below = match self.below {
            OnDisk::Stored => true,
            OnDisk::Nothing => !matches!(self.value, Value::Here(_)),
            OnDisk::Unstored(_) => false,
        };
        self.live && !self.dirty && !self.listed && below
    }
}

/// A row's value before the current event changed it.
#[derive(Debug)]
pub(super) struct UndoRecord<V> {
    pub(super) slot: u32,
    pub(super) old: Option<V>,
    pub(super) changed: i64,
    pub(super) was_dirty: bool,
}

/// Changed rows, serialized for one commit.
#[derive(Debug, Default)]
pub struct RowBatch {
    pub(super) arena: Vec<u8>,
    pub(super) rows: Vec<RowRef>,
}

#[derive(Debug)]
pub(super) struct RowRef {
    pub(super) slot: u32,
    pub(super) key: (u32, u32),
    pub(super) value: Option<(u32, u32)>,
}

impl RowBatch {
    pub(super) fn clear(&mut self) {
        self.arena.clear();
        self.rows.clear();
    }

    pub(super) fn slice(&self, range: (u32, u32)) -> &[u8] {
        &self.arena[range.0 as usize..range.1 as usize]
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row changed.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows that have a value: changelog key and value.
    pub fn upserts(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows
            .iter()
            .filter_map(|r| Some((self.slice(r.key), self.slice(r.value?))))
    }

    /// Rows that are gone: their changelog keys.
    pub fn tombstones(&self) -> impl Iterator<Item = &[u8]> {
        self.rows
            .iter()
            .filter(|r| r.value.is_none())
            .map(|r| self.slice(r.key))
    }
}
