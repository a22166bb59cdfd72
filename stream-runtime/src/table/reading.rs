//! A row from outside its task: where it is, and what its bytes say.

use super::layout;
use super::spec::TableSpec;
use crate::codec::rows as codec;
use crate::error::Error;

/// The layout key of a row of `S`: `end` is that of its window, anything for a plain table.
pub(crate) fn row_key<S: TableSpec>(end: i64, key: &S::Key) -> Vec<u8> {
    let mut out = Vec::new();
    layout::push(S::DESCRIPTOR.window.is_some(), end, key, &mut out);
    out
}

/// The row in these bytes.
pub(crate) fn row_of<S: TableSpec>(bytes: &[u8]) -> Result<S::Value, Error> {
    codec::decode(bytes).map_err(|e| {
        Error::table(format!(
            "table `{}`: a row does not read as {}: {e}",
            S::DESCRIPTOR.name,
            S::DESCRIPTOR.value
        ))
    })
}
