//! The ends of windows in layout keys, held against the windows of the program.

use super::description::Description;
use super::layout::end_of;
use super::row::RowSpec;
use crate::error::Error;

/// The window's end in a layout key of `S`, whose rows lie by windows: one that these windows have.
pub(super) fn end_in<S: RowSpec>(layout: &[u8]) -> Result<i64, Error> {
    let Some(end) = end_of(layout) else {
        return Err(odd::<S>(&format!(
            "has a key of {} bytes and so no window",
            layout.len()
        )));
    };
    check_end::<S>(end)?;
    Ok(end)
}

/// Whether the windows of `S` have this end.
pub(super) fn check_end<S: RowSpec>(end: i64) -> Result<(), Error> {
    let Some(window) = S::DESCRIPTOR.window.filter(|_| S::ALIGNED) else {
        return Ok(());
    };
    // At the ends of all time windows are cut off.
    let cut = i64::MIN + window.size() + window.step();
    if end == i64::MAX || end <= cut || (end - window.size()).rem_euclid(window.step()) == 0 {
        return Ok(());
    }
    let end = match chrono::DateTime::from_timestamp_millis(end) {
        Some(end) => end.to_rfc3339(),
        None => format!("{end} ms"),
    };
    Err(odd::<S>(&format!(
        "would be of a window that ends at {end}"
    )))
}

/// A row that is not of the table's windows.
fn odd<S: RowSpec>(what: &str) -> Error {
    let table = S::DESCRIPTOR;
    Error::table(format!(
        "table `{}`: a row {what}, and the program has {}: the rows are of another table, or were written when this one was \
         another; give it another `name`, or `reset`",
        table.name,
        Description::of(table)
    ))
}
