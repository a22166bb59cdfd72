//! How a row's key is laid out in changelog and store: `[end, sign flipped, big-endian][ordered key]`, plain tables
//! without the end.

use crate::error::{Error, counted};
use crate::key::StreamKey;

/// Appends the end of a window so that byte order is time order.
pub(super) fn push_end(end: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&((end as u64) ^ (1 << 63)).to_be_bytes());
}

/// Appends the layout key.
pub(super) fn push<K: StreamKey>(windowed: bool, end: i64, key: &K, out: &mut Vec<u8>) {
    if windowed {
        push_end(end, out);
    }
    key.encode_ordered(out);
}

/// The window's end in a layout key of a windowed table.
pub(super) fn end_of(layout: &[u8]) -> Option<i64> {
    let (head, _) = layout.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*head) ^ (1 << 63)) as i64)
}

/// The window's end and the key, in its ordered form, in a layout key of aligned windows.
pub(crate) fn window_and_key(layout: &[u8]) -> Option<(i64, &[u8])> {
    Some((end_of(layout)?, &layout[8..]))
}

/// Reads a layout key.
pub(super) fn parse<K: StreamKey>(
    windowed: bool,
    layout: &[u8],
    table: &str,
) -> Result<(i64, K), Error> {
    let (end, key) = if windowed {
        let end = end_of(layout).ok_or_else(|| {
            Error::table(format!(
                "table `{table}`: a row's key is {} long and has no window",
                counted(layout.len(), "byte")
            ))
        })?;
        (end, &layout[8..])
    } else {
        (0, layout)
    };
    let key = K::decode_ordered(key).map_err(|e| Error::table(format!("table `{table}`: a row's key does not read as {}: {e}; was its type changed? `reset` starts again", K::NAME)))?;
    Ok((end, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_sort_as_times_do() {
        let bytes = |end| {
            let mut out = Vec::new();
            push_end(end, &mut out);
            out
        };
        let ends = [i64::MIN, -3_600_000, -1, 0, 1, 3_600_000, i64::MAX];
        for pair in ends.windows(2) {
            assert!(bytes(pair[0]) < bytes(pair[1]));
        }
        for end in ends {
            assert_eq!(end_of(&bytes(end)), Some(end));
        }
    }
}
