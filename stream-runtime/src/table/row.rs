//! What the engine of a table keeps under one key of its changelog.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::spec::TableSpec;
use crate::codec::rows as codec;
use crate::key::StreamKey;
use crate::topology::TableDescriptor;
use crate::window::Window;

/// A kind of rows: [`RowCache`](super::row_cache::RowCache) is the same for all.
pub(super) trait RowSpec: 'static {
    /// Type of the keys.
    type Key: StreamKey;
    /// What lies under a key.
    type Row: Clone + Serialize + DeserializeOwned + 'static;
    /// Name, window, times.
    const DESCRIPTOR: &'static TableDescriptor;
    /// Whether a row belongs to one window, whose end stands before the key.
    const ALIGNED: bool;
    /// Whether a row keeps its place in memory when its value leaves the cache.
    const PINNED: bool;
    /// How long, in stream time, a row lives that nobody changes.
    const TTL: Option<i64> = Self::DESCRIPTOR.ttl;
    /// The user's part of a row.
    type Inner;
    /// `true` where that is a struct: it has no variants to tell apart.
    const ONE_VARIANT: bool;
    /// The newest of the user's values in a row.
    fn inner(row: &Self::Row) -> Option<&Self::Inner>;
    /// Whether two rows are the same; `None` when their type does not say.
    fn same(a: &Self::Row, b: &Self::Row) -> Option<bool>;
}

/// Plain tables, tumbling and hopping windows: the value itself.
impl<S: TableSpec> RowSpec for S {
    type Key = S::Key;
    type Row = S::Value;
    const DESCRIPTOR: &'static TableDescriptor = <S as TableSpec>::DESCRIPTOR;
    const ALIGNED: bool = matches!(
        <S as TableSpec>::DESCRIPTOR.window,
        Some(Window::Tumbling { .. } | Window::Hopping { .. })
    );
    const PINNED: bool = false;
    type Inner = S::Value;
    const ONE_VARIANT: bool = S::ONE_VARIANT;

    #[inline]
    fn inner(row: &S::Value) -> Option<&S::Value> {
        Some(row)
    }

    fn same(a: &S::Value, b: &S::Value) -> Option<bool> {
        <S as TableSpec>::same(a, b)
    }
}

/// First byte of a row that carries the time of its last change. MessagePack never begins with it.
const TIMED: u8 = 0xc1;

/// Writes a row, with the time of its last change when there is one.
pub(super) fn encode<R: Serialize>(
    row: &R,
    time: Option<i64>,
    out: &mut Vec<u8>,
) -> Result<(), rmp_serde::encode::Error> {
    if let Some(time) = time {
        out.push(TIMED);
        out.extend_from_slice(&time.to_be_bytes());
    }
    codec::encode(row, out)
}

/// The time of a row's last change and the row itself, still in bytes. A table that got its `ttl` later, or lost it,
/// reads its old rows all the same.
pub(super) fn split(bytes: &[u8]) -> (Option<i64>, &[u8]) {
    match bytes
        .strip_prefix(&[TIMED])
        .and_then(<[u8]>::split_first_chunk)
    {
        Some((time, row)) => (Some(i64::from_be_bytes(*time)), row),
        None => (None, bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_may_gain_and_lose_the_time_of_its_last_change() {
        let (mut timed, mut bare) = (Vec::new(), Vec::new());
        encode(&7u8, Some(-5), &mut timed).unwrap();
        encode(&7u8, None, &mut bare).unwrap();
        assert_eq!(split(&timed), (Some(-5), &bare[..]));
        assert_eq!(split(&bare), (None, &bare[..]));
    }
}
