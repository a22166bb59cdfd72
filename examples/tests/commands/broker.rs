//! The broker of a directory: found, taken over, ended.

use std::path::Path;

use crate::program::{Program, SAMPLE, eventually};

#[test]
fn one_broker_a_directory_and_its_data_stay() {
    let app = Program::voltage();
    let broker = app.broker();
    let address = app.address().unwrap();
    let second = app.run(&["broker"]);
    assert_eq!(second.code, Some(1));
    assert!(
        second.err.contains(&address) && second.err.contains("--data-dir"),
        "{}",
        second.err
    );

    app.ok(&["send", "--create", "notes", "\"first\""]);
    assert_eq!(broker.interrupt(), Some(0));
    let _again = app.start(&["broker"]);
    eventually("the broker is back", || {
        app.address().as_ref() == Some(&address)
    });
    app.ok(&["send", "notes", "\"second\""]);
    assert_eq!(app.values("notes").len(), 2);
}

#[test]
fn a_worker_takes_over_the_broker_of_one_that_was_killed() {
    let app = Program::voltage();
    // A port of its own: other tests run beside this one.
    app.broker().interrupt();
    let fast = [
        "worker",
        "--threads",
        "1",
        "--kafka",
        "session.timeout.ms=2000",
    ];
    let mut first = app.start(&fast);
    eventually("the first worker runs the broker", || {
        app.address().is_some()
    });
    eventually("it says so", || first.errors().contains("in this process"));
    let address = app.address();
    let second = app.start(&fast);
    eventually("the second joins", || {
        second
            .errors()
            .contains("development broker of this directory")
    });
    app.ok(&["produce", SAMPLE]);
    eventually("means arrive", || {
        !app.run(&["tail", "voltage_avg", "--from-beginning", "-n", "3"])
            .out
            .is_empty()
    });
    first.kill();
    eventually("the second has taken over", || {
        second.errors().contains("it runs here now")
    });
    eventually("at the same address", || app.address() == address);
    eventually("every hour has closed once", || {
        app.values("voltage_avg").len() >= 77
    });
    assert_eq!(app.values("voltage_avg").len(), 77);
    assert_eq!(second.interrupt(), Some(0));
    assert!(
        app.address().is_none(),
        "the broker ends with the worker that runs it"
    );
}

#[test]
fn without_a_broker_the_way_to_one_is_named() {
    let app = Program::voltage();
    for args in [
        &["tail", "x"][..],
        &["send", "x", "1"],
        &["topics"],
        &["produce", SAMPLE],
    ] {
        let done = app.run(args);
        assert_eq!(done.code, Some(1), "{args:?}: {}", done.err);
        assert!(
            done.err.contains("no broker runs") && done.err.contains("--broker"),
            "{args:?}: {}",
            done.err
        );
    }
    assert!(
        !Path::new(&app.dir().join(".stream")).exists(),
        "looking for a broker leaves nothing behind"
    );
}

#[test]
fn a_worker_s_own_broker_heeds_the_port_of_the_environment() {
    let app = Program::voltage();
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let mut worker = app.command(&["worker", "--until-caught-up", "--without-web"]);
    let done = worker.env("STREAM_BROKER_PORT", &port).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{port}")), "{said}");
}

#[test]
fn what_kubernetes_puts_into_the_environment_breaks_no_start() {
    let app = Program::voltage();
    app.broker().interrupt();
    let mut worker = app.command(&["worker", "--until-caught-up"]);
    let done = worker
        .env("STREAM_WEB_PORT", "tcp://10.0.0.1:80")
        .env("STREAM_BROKER_PORT", "tcp://10.0.0.2:9092")
        .env("STREAM_BROKER_SERVICE_HOST", "10.0.0.2")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    for line in [
        "STREAM_WEB_PORT=tcp://10.0.0.1:80 is not taken for an option: Kubernetes sets it for a service named stream-web",
        "STREAM_BROKER_PORT=tcp://10.0.0.2:9092 is not taken for an option: Kubernetes sets it for a service named stream-broker",
    ] {
        assert_eq!(said.matches(line).count(), 1, "{said}");
    }
    // A slip is still one.
    let mut worker = app.command(&["worker", "--until-caught-up"]);
    let done = worker.env("STREAM_WEB_PORT", "http").output().unwrap();
    assert_eq!(done.status.code(), Some(2));
}
