//! A row from outside its task: where it is, and what its bytes say.

use serde::de::DeserializeOwned;

use super::layout;
use super::row::RowSpec;
use super::spans::Spans;
use super::spec::TableSpec;
use super::typed::InWindow;
use crate::codec::rows as codec;
use crate::error::Error;

/// The layout key of a row of `S`: `end` is that of its window, anything where a row does not belong to one.
pub(crate) fn row_key<S: TableSpec>(end: i64, key: &S::Key) -> Vec<u8> {
    let mut out = Vec::new();
    layout::push(<S as RowSpec>::ALIGNED, end, key, &mut out);
    out
}

/// The row in these bytes.
pub(crate) fn row_of<S: TableSpec>(bytes: &[u8]) -> Result<S::Value, Error> {
    read::<S, S::Value>(bytes)
}

/// The windows of a key in these bytes: of a table whose windows follow its records.
pub(crate) fn windows_of<S: TableSpec>(bytes: &[u8]) -> Result<Vec<InWindow<S::Value>>, Error> {
    let Spans(spans) = read::<S, Spans<S::Value>>(bytes)?;
    let windows = spans.into_iter().map(|span| {
        let (start, end) = (span.start, span.end);
        InWindow::new(start, end, span.closed_as.unwrap_or(span.value))
    });
    Ok(windows.collect())
}

fn read<S: TableSpec, T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    codec::decode(bytes).map_err(|e| {
        Error::table(format!(
            "table `{}`: a row does not read as {}: {e}",
            S::DESCRIPTOR.name,
            S::DESCRIPTOR.value
        ))
    })
}
