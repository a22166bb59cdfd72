//! Rows from outside their task: where they are, and what their bytes say.

use std::collections::VecDeque;

use serde::de::DeserializeOwned;

use super::in_window::InWindow;
use super::layout;
use super::readback::key_text;
use super::row::{RowSpec, split};
use super::spec::{Hopping, Plain, Session, Sliding, TableKind, TableSpec, Tumbling};
use super::window_set::Spans;
use crate::codec::rows as codec;
use crate::codec::tree::Tree;
use crate::error::Error;
use crate::key::StreamKey;
use crate::topology::TableDescriptor;
use crate::window::Window;

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

/// A row for people, as its table would keep it.
///
/// # Errors
/// It cannot be written.
pub(super) fn row_to_json<S: TableSpec>(row: &S::Value) -> Result<serde_json::Value, Error> {
    let odd = |why: &dyn std::fmt::Display| {
        let table = S::DESCRIPTOR.name;
        Error::table(format!("table `{table}`: a row cannot be shown: {why}"))
    };
    let mut bytes = Vec::new();
    codec::encode(row, &mut bytes).map_err(|why| odd(&why))?;
    let tree = codec::decode::<Tree>(&bytes).map_err(|why| odd(&why))?;
    Ok(tree.to_json())
}

/// A row of a changelog for people, whatever its type; `None` when it is none of ours.
pub(crate) fn row_as_json(bytes: &[u8]) -> Option<serde_json::Value> {
    let tree = codec::decode::<Tree>(split(bytes).1);
    Some(tree.ok()?.to_json())
}

/// A row of a table for people, or one window of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShownRow {
    /// Start and end of its window in epoch milliseconds.
    pub(crate) window: Option<(i64, i64)>,
    pub(crate) value: serde_json::Value,
}

/// The row in these bytes as JSON, or its windows in the order of their ends. The row's type is not asked: what it does
/// not read is shown all the same.
///
/// # Errors
/// The bytes are not a row of such a table.
pub(crate) fn shown_rows(
    table: &TableDescriptor,
    layout_key: &[u8],
    bytes: &[u8],
) -> Result<Vec<ShownRow>, Error> {
    let odd = |why: &dyn std::fmt::Display| {
        Error::table(format!(
            "table `{}`: a row does not read: {why}",
            table.name
        ))
    };
    let window = match table.window {
        Some(Window::Session { .. } | Window::Sliding { .. }) => {
            let Spans(spans) = codec::decode::<Spans<Tree>>(bytes).map_err(|why| odd(&why))?;
            let shown = spans.iter().map(|span| ShownRow {
                window: Some((span.start, span.end)),
                value: span.result().to_json(),
            });
            return Ok(shown.collect());
        }
        Some(window @ (Window::Tumbling { .. } | Window::Hopping { .. })) => {
            let end = layout::end_of(layout_key).ok_or_else(|| odd(&"its key has no window"))?;
            Some((end.saturating_sub(window.size()), end))
        }
        None => None,
    };
    let value = codec::decode::<Tree>(bytes).map_err(|why| odd(&why))?;
    Ok(vec![ShownRow {
        window,
        value: value.to_json(),
    }])
}

fn read<S: TableSpec, T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    codec::decode(bytes).map_err(|problem| {
        let why = codec::explain::<T>(bytes, problem);
        let field = why.field.map(|field| format!("field `{field}`: "));
        Error::table(format!(
            "table `{}`: a row does not read as {}: {}{}; {}",
            S::DESCRIPTOR.name,
            S::DESCRIPTOR.value,
            field.unwrap_or_default(),
            why.why,
            why.cure
        ))
    })
}

/// Names the key of a row that does not read.
fn of_key<K: StreamKey>(key: &K) -> impl FnOnce(Error) -> Error {
    move |error| error.context(format_args!("key {}", key_text(key)))
}

/// What the rows of a kind of table are to one who reads all of them.
pub trait AllKind: TableKind {
    /// `(key, row)`, or `(key, InWindow<row>)`.
    type Item<S: TableSpec>;
    /// Reads one row, which may hold several windows.
    fn read_all<S: TableSpec>(
        layout_key: &[u8],
        bytes: &[u8],
        out: &mut VecDeque<Self::Item<S>>,
    ) -> Result<(), Error>;
}

impl AllKind for Plain {
    type Item<S: TableSpec> = (S::Key, S::Value);

    fn read_all<S: TableSpec>(
        layout_key: &[u8],
        bytes: &[u8],
        out: &mut VecDeque<(S::Key, S::Value)>,
    ) -> Result<(), Error> {
        let (_, key) = layout::parse::<S::Key>(false, layout_key, S::DESCRIPTOR.name)?;
        let row = row_of::<S>(bytes).map_err(of_key(&key))?;
        out.push_back((key, row));
        Ok(())
    }
}

macro_rules! windowed {
    ($($kind:ident: $read:ident),*) => {$(
        impl AllKind for $kind {
            type Item<S: TableSpec> = (S::Key, InWindow<S::Value>);

            fn read_all<S: TableSpec>(
                layout_key: &[u8],
                bytes: &[u8],
                out: &mut VecDeque<(S::Key, InWindow<S::Value>)>,
            ) -> Result<(), Error> {
                $read::<S>(layout_key, bytes, out)
            }
        }
    )*};
}
windowed!(Tumbling: aligned, Hopping: aligned, Session: following, Sliding: following);

type InWindows<S> = VecDeque<(<S as TableSpec>::Key, InWindow<<S as TableSpec>::Value>)>;

fn aligned<S: TableSpec>(
    layout_key: &[u8],
    bytes: &[u8],
    out: &mut InWindows<S>,
) -> Result<(), Error> {
    let (end, key) = layout::parse::<S::Key>(true, layout_key, S::DESCRIPTOR.name)?;
    let size = S::DESCRIPTOR.window.map_or(0, |window| window.size());
    let row = row_of::<S>(bytes).map_err(of_key(&key))?;
    out.push_back((key, InWindow::new(end.saturating_sub(size), end, row)));
    Ok(())
}

fn following<S: TableSpec>(
    layout_key: &[u8],
    bytes: &[u8],
    out: &mut InWindows<S>,
) -> Result<(), Error> {
    let (_, key) = layout::parse::<S::Key>(false, layout_key, S::DESCRIPTOR.name)?;
    let windows = windows_of::<S>(bytes).map_err(of_key(&key))?;
    out.extend(windows.into_iter().map(|window| (key.clone(), window)));
    Ok(())
}
