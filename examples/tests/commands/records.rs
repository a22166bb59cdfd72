//! `send` and `tail`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::json;

use crate::program::Program;

#[test]
fn what_is_sent_is_read() {
    let app = Program::voltage();
    let _broker = app.broker();
    app.ok(&[
        "send",
        "--create",
        "clicks",
        r#"{"user":"ann","price":1.50}"#,
        "--key",
        "ann",
    ]);
    app.ok(&["send", "clicks", "no json"]);
    app.ok(&["send", "clicks", "--key", "bob", "--tombstone"]);
    fs::write(
        app.dir().join("lines"),
        "{\"user\":{\"id\":7}}\n\n  {\"user\":{\"id\":8}}  \n",
    )
    .unwrap();
    app.ok(&[
        "send",
        "clicks",
        "--file",
        "lines",
        "--key-field",
        "user.id",
    ]);
    let expected = [
        (None, json!("no json")),
        (Some("7".to_owned()), json!({"user": {"id": 7}})),
        (Some("8".to_owned()), json!({"user": {"id": 8}})),
        (Some("ann".to_owned()), json!({"user": "ann", "price": 1.5})),
        (Some("bob".to_owned()), json!(null)),
    ];
    assert_eq!(app.values("clicks"), expected);
    // A value goes out as it came in.
    let out = app.ok(&[
        "tail",
        "clicks",
        "--from-beginning",
        "--until-end",
        "-o",
        "json",
    ]);
    assert!(
        out.contains(r#""key":"ann","value":{"user":"ann","price":1.50}}"#),
        "{out}"
    );
    let text = app.ok(&["tail", "clicks", "--from-beginning", "--until-end"]);
    assert!(
        text.contains("(tombstone)") && !text.contains('\x1b'),
        "{text}"
    );
    assert!(
        app.ok(&[
            "tail",
            "clicks",
            "--from-beginning",
            "-n",
            "1",
            "--color",
            "always"
        ])
        .contains('\x1b')
    );
}

#[test]
fn lines_of_standard_input() {
    let app = Program::voltage();
    let _broker = app.broker();
    let mut sending = app
        .command(&["send", "--create", "numbers"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = sending.stdin.take().unwrap();
    for n in 0..20_000 {
        writeln!(input, "{{\"n\":{n}}}").unwrap();
    }
    drop(input);
    assert!(sending.wait().unwrap().success());
    let mut numbers: Vec<i64> = app
        .values("numbers")
        .iter()
        .map(|(_, value)| value["n"].as_i64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..20_000).collect::<Vec<i64>>());
    assert_eq!(
        app.ok(&["tail", "numbers", "--from-beginning", "-n", "7"])
            .lines()
            .count(),
        7
    );
    assert_eq!(
        app.ok(&["tail", "numbers", "--until-end"]).lines().count(),
        0,
        "it begins at the end"
    );
}

#[test]
fn what_comes_later_is_seen_at_once() {
    let app = Program::voltage();
    let _broker = app.broker();
    // The topic does not even exist.
    let mut tail = app
        .command(&["tail", "later", "--from-beginning", "-n", "2", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    for n in ["1", "2"] {
        app.ok(&["send", "--create", "later", n]);
        let line: serde_json::Value =
            serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["value"].to_string(), n);
        assert_eq!(line["topic"], "later");
        assert!(
            line["timestamp"].as_i64().unwrap() > 1_600_000_000_000,
            "{line}"
        );
    }
    assert!(tail.wait().unwrap().success());
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let app = Program::voltage();
    let _broker = app.broker();
    let lines: String = (0..50_000).map(|n| format!("{n}\n")).collect();
    fs::write(app.dir().join("lines"), lines).unwrap();
    app.ok(&["send", "many", "--create", "--file", "lines"]);
    let mut tail = app
        .command(&["tail", "many", "--from-beginning"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(tail.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let done = tail.wait_with_output().unwrap();
    assert_eq!(
        (
            done.status.code(),
            String::from_utf8_lossy(&done.stderr).as_ref()
        ),
        (Some(0), "")
    );
}

#[test]
fn a_line_that_cannot_be_sent_is_named() {
    let app = Program::voltage();
    let _broker = app.broker();
    fs::write(
        app.dir().join("lines"),
        "{\"user\":\"ann\"}\n{\"user\":null}\n",
    )
    .unwrap();
    let done = app.run(&[
        "send",
        "clicks",
        "--create",
        "--file",
        "lines",
        "--key-field",
        "user",
    ]);
    assert_eq!(done.code, Some(1));
    assert!(
        done.err.contains("lines:2: the field `user` is null"),
        "{}",
        done.err
    );
    assert_eq!(app.values("clicks").len(), 1);
    fs::write(app.dir().join("large"), vec![b'x'; 2_000_000]).unwrap();
    let done = app.run(&["send", "clicks", "--file", "large"]);
    assert_eq!(done.code, Some(1));
    assert!(
        done.err.contains("2000000 bytes") && done.err.contains("max.message.bytes"),
        "{}",
        done.err
    );
}
