//! Committed rows, some at a time.

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
