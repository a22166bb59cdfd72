//! A row that could not be read.

/// A row that could not be read and makes room.
#[derive(Debug)]
pub struct Aside {
    /// The row's key in wire form.
    pub key: Vec<u8>,
    /// End of its window; 0 where a row does not belong to one.
    pub end: i64,
    /// The row as the changelog has it.
    pub row: Box<[u8]>,
    /// Why it does not read.
    pub why: String,
}
