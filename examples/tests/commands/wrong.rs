//! What a user gets wrong, and what is said.

use std::fs;

use crate::program::Program;

fn says(app: &Program, args: &[&str], code: i32, texts: &[&str]) {
    let done = app.run(args);
    assert_eq!(done.code, Some(code), "{args:?}: {}", done.err);
    for text in texts {
        assert!(
            done.err.contains(text),
            "{args:?} says nothing of {text:?}: {}",
            done.err
        );
    }
    assert!(!done.err.contains("panicked"), "{args:?}: {}", done.err);
}

#[test]
fn the_command_line() {
    let app = Program::voltage();
    says(&app, &[], 2, &["Usage"]);
    says(&app, &["wroker"], 2, &["worker"]);
    says(&app, &["send"], 2, &["<TOPIC>"]);
    says(&app, &["worker", "--threads", "0"], 2, &["--threads"]);
    says(
        &app,
        &["worker", "--commit-interval", "1x"],
        2,
        &["unknown unit 'x'"],
    );
    says(
        &app,
        &["worker", "-l", "a=b=c"],
        2,
        &["--log-level", "trace"],
    );
    says(
        &app,
        &["worker", "--kafka", "linger.ms"],
        2,
        &["NAME=VALUE"],
    );
    says(
        &app,
        &["worker", "--kafka", "linger.ms=soon"],
        2,
        &["linger.ms"],
    );
    says(&app, &["worker", "--kafka", "no.such=1"], 2, &["no.such"]);
    says(&app, &["send", "x", "--tombstone"], 2, &["--key"]);
    says(&app, &["describe", "nobody"], 1, &["nobody", "agents"]);
    for args in [
        &["--help"][..],
        &["worker", "--help"],
        &["-h"],
        &["--version"],
        &["produce", "--help"],
    ] {
        assert!(!app.ok(args).is_empty());
    }
}

#[test]
fn places() {
    let app = Program::voltage();
    fs::write(app.dir().join("a-file"), "").unwrap();
    says(
        &app,
        &["worker", "--data-dir", "a-file"],
        1,
        &["a-file is not a directory", "--data-dir"],
    );
    says(
        &app,
        &["broker", "--data-dir", "a-file"],
        1,
        &["a-file is not a directory", "--data-dir"],
    );
    says(&app, &["worker", "--config", "no-file"], 2, &["no-file"]);
    fs::write(
        app.dir().join("client.properties"),
        "bootstrap.servers=x:1\nlinger.ms=soon\n",
    )
    .unwrap();
    says(
        &app,
        &["worker", "--config", "client.properties"],
        2,
        &["client.properties:2"],
    );
}

#[test]
fn a_broker_that_is_not_there() {
    let app = Program::voltage();
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    says(
        &app,
        &["tail", "x", "--until-end", "--broker", &nobody],
        1,
        &[&nobody, "help:"],
    );
}

#[test]
fn a_wrong_file_of_readings() {
    let app = Program::voltage();
    let _broker = app.broker();
    says(&app, &["produce", "no-file"], 1, &["no-file"]);
    fs::write(app.dir().join("words"), "hello\n").unwrap();
    says(
        &app,
        &["produce", "words"],
        1,
        &["words: line 1", "household power file"],
    );
}

#[test]
fn the_environment_says_what_flags_say() {
    let app = Program::voltage();
    let broker = app.broker();
    let address = app.address().unwrap();
    let elsewhere = Program::voltage();
    let mut send = elsewhere.command(&["send", "--create", "x", "1"]);
    assert!(
        send.env("STREAM_BROKER", &address)
            .status()
            .unwrap()
            .success()
    );
    // A flag wins.
    let mut send = elsewhere.command(&["send", "x", "2", "--broker", &address]);
    assert!(
        send.env("STREAM_BROKER", "127.0.0.1:1")
            .status()
            .unwrap()
            .success()
    );
    // A file that is named wins over what happens to be in the environment.
    fs::write(
        elsewhere.dir().join("c"),
        format!("bootstrap.servers={address}\n"),
    )
    .unwrap();
    let mut send = elsewhere.command(&["send", "x", "3", "--config", "c"]);
    assert!(
        send.env("STREAM_BROKER", "127.0.0.1:1")
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(app.values("x").len(), 3);
    let mut plan = elsewhere.command(&["plan"]);
    let plan = plan.env("STREAM_OUTPUT", "json").output().unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(plan["app"], "voltage");
    assert_eq!(broker.interrupt(), Some(0));
}
