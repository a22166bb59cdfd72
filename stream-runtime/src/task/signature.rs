//! The text that a commit writes beside its offsets: by it another worker knows whose they are.
//!
//! It is a list of `name=value` with `;` between. A worker skips names that it does not know, so older ones read newer
//! texts.

use std::fmt::Write as _;

/// Name of the pair with which every text begins. Its value: since when the app's commits have had one, in seconds of
/// the epoch; 0 where they have from the first on.
const SINCE: &str = "#";

/// Begin of the name of a pair whose value is the time of a source: then comes the topic that it fills.
const TIME: &str = ">";

/// Name of the pair that says, in hexadecimal, how far the sources of a task's time are that keeps no mark.
const SOURCES: &str = "<";

/// Name of the pair that says who wrote the text: the thread whose transaction it was.
const WRITER: &str = "!";

fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(';').filter_map(|pair| pair.split_once('='))
}

/// Begins a text.
pub(crate) fn begin(since: i64, out: &mut String) {
    // Writing to a `String` does not fail.
    let _ = write!(out, "{SINCE}={since}");
}

/// Appends the time of a source of a topic, epoch ms.
pub(crate) fn put_time(topic: &str, time: i64, out: &mut String) {
    // Writing to a `String` does not fail.
    let _ = write!(out, ";{TIME}{topic}={time}");
}

/// Returns the time of a source of a topic, epoch ms.
pub(crate) fn time(text: &str, topic: &str) -> Option<i64> {
    let named = |(name, _): &(&str, &str)| name.strip_prefix(TIME) == Some(topic);
    pairs(text).find(named)?.1.parse().ok()
}

/// Appends how far the sources of a task's time are.
pub(crate) fn put_sources(bytes: &[u8], out: &mut String) {
    let _ = write!(out, ";{SOURCES}=");
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

/// Returns what [`put_sources`] wrote.
pub(crate) fn sources(text: &str) -> Option<Vec<u8>> {
    let hex = pairs(text).find(|(name, _)| *name == SOURCES)?.1;
    let (digits, rest) = hex.as_bytes().as_chunks::<2>();
    let byte = |two: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok();
    rest.is_empty()
        .then(|| digits.iter().map(byte).collect())
        .flatten()
}

/// Appends who writes.
pub(crate) fn put_writer(writer: &str, out: &mut String) {
    let _ = write!(out, ";{WRITER}={writer}");
}

/// Returns who wrote a text; `None` where it does not say.
pub(crate) fn writer(text: &str) -> Option<&str> {
    Some(pairs(text).find(|(name, _)| *name == WRITER)?.1)
}

/// Returns the text beside the offsets of an app that starts again.
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
    fn the_time_of_a_source_reads_back() {
        let mut text = String::new();
        begin(0, &mut text);
        put_time("app-pages-repartition", -5, &mut text);
        assert_eq!(time(&text, "app-pages-repartition"), Some(-5));
        assert_eq!(time(&text, "app-repartition"), None);
        assert!(is_a_worker_s(&text) && since(&text) == Some(0));
        assert_eq!(sources(&text), None);
        put_sources(&[0, 17, 255], &mut text);
        assert_eq!(sources(&text).unwrap(), [0, 17, 255]);
        assert_eq!(sources("<=0g"), None);
        assert_eq!(sources("<=012"), None);
        assert_eq!(writer(&text), None);
        put_writer("0f-1", &mut text);
        assert_eq!((writer(&text), since(&text)), (Some("0f-1"), Some(0)));
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
