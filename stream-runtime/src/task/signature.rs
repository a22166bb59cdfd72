//! The text that a commit writes beside its offsets: by it another worker knows whose they are.
//!
//! It is a list of `name=value` with `;` between. A worker skips names that it does not know, so older ones read newer
//! texts.

use std::fmt::Write as _;

/// Name of the pair with which every text begins. Its value: since when the app's commits have had one, in seconds of
/// the epoch; 0 where they have from the first on.
const SINCE: &str = "#";

fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(';').filter_map(|pair| pair.split_once('='))
}

/// Begins a text.
pub(super) fn begin(since: i64, out: &mut String) {
    // Writing to a `String` does not fail.
    let _ = write!(out, "{SINCE}={since}");
}

/// Returns the text beside the offsets of an app that begins anew.
pub(crate) fn fresh() -> String {
    let mut out = String::new();
    begin(0, &mut out);
    out
}

/// Returns since when the app's commits say that they are a worker's; `None` when this one does not.
pub(crate) fn since(text: &str) -> Option<i64> {
    let value = pairs(text).find(|(name, _)| *name == SINCE)?.1;
    value.parse().ok()
}

/// Returns whether a worker has written this, also one of a version that wrote incarnations and crontabs only.
pub(crate) fn is_a_worker_s(text: &str) -> bool {
    let before = |(name, value): (&str, &str)| {
        name.starts_with('@') && value.parse::<i64>().is_ok()
            || uuid::Uuid::parse_str(value).is_ok()
    };
    since(text).is_some() || pairs(text).any(before)
}

/// Returns the incarnation that a text names for a table.
pub(crate) fn incarnation(text: &str, table: &str) -> Option<[u8; 16]> {
    let named = pairs(text).find(|(name, _)| *name == table)?.1;
    Some(*uuid::Uuid::parse_str(named).ok()?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_incarnation_of_a_table_is_found() {
        let text = "#=7;a=00000000000000000000000000000001;b=00000000000000000000000000000002";
        assert_eq!(incarnation(text, "b").unwrap()[15], 2);
        assert_eq!(incarnation(text, "c"), None);
        assert_eq!(incarnation("", "a"), None);
        assert_eq!(incarnation("a=nonsense", "a"), None);
    }

    #[test]
    fn a_text_says_whether_a_worker_wrote_it() {
        let mut text = String::new();
        begin(1_700_000_000, &mut text);
        assert_eq!(since(&text), Some(1_700_000_000));
        assert!(is_a_worker_s(&text));
        for before in ["a=00000000000000000000000000000001", "@daily=1700000000000"] {
            assert!(is_a_worker_s(before) && since(before).is_none(), "{before}");
        }
        for other in ["", "hostname-17", "offset=5", "#", "#=", "a=b;c"] {
            assert!(!is_a_worker_s(other), "{other}");
        }
    }
}
