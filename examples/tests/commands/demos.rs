//! The examples as a reader runs them first: one command, on the embedded broker.

use crate::program::Program;

/// Runs an example's `demo` and looks for lines in what it prints.
#[track_caller]
fn assert_shows(path: &'static str, lines: &[&str]) -> String {
    let example = Program::of(path);
    let out = example.ok(&["demo"]);
    for line in lines {
        assert!(
            out.lines().any(|found| found.trim() == *line),
            "no {line} in {out}"
        );
    }
    assert!(
        !example.dir().join(".stream").exists(),
        "it leaves nothing behind"
    );
    out
}

#[test]
fn word_count() {
    assert_shows(
        env!("CARGO_BIN_EXE_word_count"),
        &[
            "sent 3 records to sentences",
            r#"{"word":"the","count":4}"#,
            r#"{"word":"fox","count":1}"#,
        ],
    );
}

#[test]
fn withdrawals() {
    let out = assert_shows(
        env!("CARGO_BIN_EXE_withdrawals"),
        &[
            r#"{"account":"bob","cents":110000}"#,
            r#"{"account":"bob","start":"1970-01-01T00:00:00Z","count":4,"cents":150000}"#,
            r#"{"account":"cleo","start":"1970-01-01T00:20:00Z","count":1,"cents":20000}"#,
        ],
    );
    assert_eq!(out.matches("\"start\"").count(), 6, "{out}");
}

#[test]
fn page_views() {
    let out = assert_shows(
        env!("CARGO_BIN_EXE_page_views"),
        &[
            r#"{"country":"at","minute":"1970-01-01T00:00:00Z","views":6}"#,
            r#"{"country":"it","minute":"1970-01-01T00:02:00Z","views":4}"#,
        ],
    );
    assert_eq!(out.matches("\"views\"").count(), 12, "{out}");
}

#[test]
fn dead_letters() {
    let out = assert_shows(
        env!("CARGO_BIN_EXE_dead_letters"),
        &[
            r#"{"id":5,"cents":9900}"#,
            "Payment 2 was not made: the card has a limit of 5000 cents",
            "Payment 3 was not made: the bank does not know this card",
        ],
    );
    assert!(!out.contains("library card"), "{out}");
}

#[test]
fn sessions() {
    let out = assert_shows(
        env!("CARGO_BIN_EXE_sessions"),
        &[
            r#"{"user":"ann","from":"1970-01-01T00:00:00Z","minutes":10,"pages":["/","/shoes"]}"#,
            r#"{"user":"bob","from":"1970-01-01T00:12:00Z","minutes":48,"pages":["/","/hats","/socks"]}"#,
        ],
    );
    assert_eq!(out.matches("\"minutes\"").count(), 3, "{out}");
}

#[test]
fn daily_report() {
    assert_shows(
        env!("CARGO_BIN_EXE_daily_report"),
        &["so far: 30 sales in 3 shops, 3435 cents"],
    );
}

#[test]
fn shipments() {
    let out = assert_shows(
        env!("CARGO_BIN_EXE_shipments"),
        &[
            r#"{"order":"a","item":"lamp","paid":4000}"#,
            r#"{"order":"c","item":"desk","paid":15000}"#,
            r#"{"order":"d","item":"shelf","paid":null}"#,
        ],
    );
    assert_eq!(out.matches("\"item\"").count(), 4, "{out}");
}
