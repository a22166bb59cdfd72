//! The commands of an app's program, as a user or a script meets them.

use crate::piped;
use kafka_protocol::messages::ApiKey;
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tests::between::Between;
use tests::broker::Broker;
use tests::client::{self, Isolation};
use tests::net;
use tests::voltage::App;

/// Time that a worker may take for a line of its log, and to end.
const WITHIN: Duration = Duration::from_secs(60);

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn all(output: &Output) -> String {
    out(output) + &String::from_utf8_lossy(&output.stderr)
}

/// Standard output of a command that ends well.
fn good(command: &mut Command, input: &str) -> String {
    let output = piped(command, input);
    assert!(output.status.success(), "{command:?}: {}", all(&output));
    out(&output)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

#[test]
fn send_takes_values_files_and_standard_input() {
    let broker = Broker::embedded();
    let app = App::voltage(&broker.bootstrap());
    good(
        &mut app.command(&["send", "things", r#"{"n":1}"#, "--key", "k", "--create"]),
        "",
    );
    good(
        &mut app.command(&["send", "things", "--key-field", "user.id"]),
        "{\"user\":{\"id\":\"x\"}}\n{\"user\":{\"id\":\"y\"}}\n",
    );
    let file = app.file("things.jsonl", "{\"u\":\"z\",\"n\":4}\n");
    good(
        &mut app.command(&["send", "things", "--key-field", "u", "--file", &file]),
        "",
    );
    good(
        &mut app.command(&["send", "things", "--key", "k", "--tombstone"]),
        "",
    );
    let mut records =
        client::read_all(&broker.bootstrap(), "things", Isolation::Committed).unwrap();
    records.sort_by_key(|record| (record.key().to_owned(), record.offset));
    let sent: Vec<_> = records
        .iter()
        .map(|record| (record.key(), String::from_utf8_lossy(record.bytes())))
        .collect();
    let expected = [
        ("k", r#"{"n":1}"#),
        ("k", ""),
        ("x", r#"{"user":{"id":"x"}}"#),
        ("y", r#"{"user":{"id":"y"}}"#),
        ("z", r#"{"u":"z","n":4}"#),
    ];
    assert_eq!(sent, expected.map(|(key, value)| (key, value.into())));
    assert!(records[1].value.is_none(), "a tombstone has no value");
}

/// A line that is wrong is named with its number, and the exit code says that not everything was sent.
#[test]
fn send_names_the_line_that_is_wrong() {
    let broker = Broker::embedded();
    let app = App::voltage(&broker.bootstrap());
    for input in ["{\"u\":\"a\"}\nno json\n", "{\"u\":\"a\"}\n{\"other\":1}\n"] {
        let output = piped(
            &mut app.command(&["send", "things", "--key-field", "u", "--create"]),
            input,
        );
        assert_eq!(output.status.code(), Some(1), "{}", all(&output));
        assert!(all(&output).contains('2'), "names line 2: {}", all(&output));
    }
}

/// Found by the verifier on three nodes: a `tail` showed a third of what there was, and then nothing more, without an
/// error. Here its client waits two minutes for an answer that does not come.
#[test]
fn a_tail_whose_client_brings_nothing_any_more_goes_on_with_another() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let wire = Between::to(&bootstrap).unwrap();
    let (app, beside) = (App::voltage(&wire.bootstrap()), App::voltage(&bootstrap));
    client::create_topic(&bootstrap, "things", 1, &[]).unwrap();
    let send = |value: &str| {
        good(
            &mut beside.command(&["send", "things", value, "--key", "k"]),
            "",
        );
    };
    send("first");
    let patient = ["--kafka", "socket.timeout.ms=120000"];
    let mut tail = app.start(&[&["tail", "things", "--from-beginning"][..], &patient].concat());
    tail.line_with("first", WITHIN).unwrap();
    wire.hold(&[ApiKey::Fetch]);
    let began = Instant::now();
    while wire.refused().is_empty() {
        assert!(began.elapsed() < WITHIN, "{}", tail.output());
        std::thread::sleep(Duration::from_millis(20));
    }
    wire.pass();
    send("second");
    tail.line_with("second", WITHIN).unwrap();
    assert_eq!(tail.stdout().matches("first").count(), 1, "not twice");
    assert!(
        tail.errors().contains("reading it with another client"),
        "{}",
        tail.output()
    );
}

#[test]
fn tail_prints_one_json_object_a_record() {
    let broker = Broker::embedded();
    let app = App::voltage(&broker.bootstrap());
    client::create_topic(&broker.bootstrap(), "things", 1, &[]).unwrap();
    for value in [r#"{"n":1}"#, "plain text", r#""text""#] {
        good(
            &mut app.command(&["send", "things", value, "--key", "k"]),
            "",
        );
    }
    let tail = |more: &[&str]| {
        lines(&good(
            &mut app.command(&[&["tail", "things", "-o", "json"], more].concat()),
            "",
        ))
    };
    let records = tail(&["--from-beginning", "--until-end"]);
    assert_eq!(records.len(), 3);
    for (offset, record) in records.iter().enumerate() {
        assert!(record["timestamp"].as_i64().unwrap() > 1_700_000_000_000);
        let mut rest = record.clone();
        rest.as_object_mut().unwrap().remove("timestamp");
        rest.as_object_mut().unwrap().remove("value");
        let headers: [Value; 0] = [];
        assert_eq!(
            rest,
            json!({"topic": "things", "partition": 0, "offset": offset, "headers": headers, "key": "k"})
        );
    }
    assert_eq!(records[0]["value"], json!({"n": 1}));
    assert_eq!(records[1]["value"], json!("plain text"));
    assert_eq!(tail(&["--from-beginning", "-n", "2"]).len(), 2);
    assert_eq!(
        tail(&["--until-end"]).len(),
        0,
        "from the end on there is nothing"
    );
}

#[test]
fn what_a_program_may_read_is_json_without_colour() {
    let broker = Broker::embedded();
    let app = App::voltage(&broker.bootstrap());
    for command in [
        &["topics"][..],
        &["agents"],
        &["tables"],
        &["plan"],
        &["describe"],
        &["describe", "average"],
    ] {
        let text = good(&mut app.command(command), "");
        assert!(!text.contains('\u{1b}'), "no terminal, no colour: {text:?}");
        assert!(
            text.contains("voltage_avg") || text.contains("hourly_voltage"),
            "{command:?}: {text}"
        );
        let json = good(&mut app.command(&[command, &["-o", "json"]].concat()), "");
        let value: Value = serde_json::from_str(&json)
            .unwrap_or_else(|error| panic!("{command:?}: {error}: {json}"));
        assert!(value.is_array() || value.is_object());
    }
}

#[test]
fn every_command_has_help() {
    let app = App::voltage("");
    let help = good(&mut app.bare(&["--help"]), "");
    for command in [
        "worker",
        "broker",
        "send",
        "tail",
        "topics",
        "agents",
        "tables",
        "functions",
        "plan",
        "describe",
        "reset",
        "produce",
        "demo",
    ] {
        assert!(
            help.lines()
                .any(|line| line.trim_start().starts_with(command)),
            "`{command}` is missing: {help}"
        );
        let own = good(&mut app.bare(&[command, "--help"]), "");
        assert!(
            own.contains("Usage:") && own.lines().next().unwrap().len() > 10,
            "{command}: {own}"
        );
    }
}

#[test]
fn exit_codes_tell_not_done_from_not_understood() {
    let broker = Broker::embedded();
    let app = App::voltage(&broker.bootstrap());
    for args in [
        &["frobnicate"][..],
        &["worker", "--threads", "0"],
        &["tail"],
        &["worker", "--processing-guarantee", "maybe"],
    ] {
        let output = piped(&mut app.command(args), "");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", all(&output));
    }
    for args in [
        &["tail", "nowhere", "--until-end"][..],
        &["describe", "nothing"],
        &["send", "things", "--create", "--file", "none.jsonl"],
    ] {
        let output = piped(&mut app.command(args), "");
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", all(&output));
        let named = ["nowhere", "nothing", "none.jsonl"]
            .iter()
            .any(|name| all(&output).contains(name));
        assert!(named, "{args:?} names what is not there: {}", all(&output));
    }
}

/// A flag wins over the environment.
#[test]
fn the_environment_configures_and_a_flag_wins() {
    let broker = Broker::embedded();
    let app = App::voltage(&broker.bootstrap());
    let [nobody] = net::free_ports();
    let nobody = format!("127.0.0.1:{nobody}");
    good(
        app.bare(&["topics"])
            .env("STREAM_BROKER", broker.bootstrap()),
        "",
    );
    good(app.command(&["topics"]).env("STREAM_BROKER", &nobody), "");
    let output = piped(app.bare(&["topics"]).env("STREAM_BROKER", &nobody), "");
    assert!(
        !output.status.success() && all(&output).contains(&nobody),
        "{}",
        all(&output)
    );
    let config = app.file(
        "client.properties",
        &format!("bootstrap.servers={}\n", broker.bootstrap()),
    );
    good(&mut app.bare(&["topics", "--config", &config]), "");
}

#[test]
fn a_bad_configuration_file_is_named() {
    let app = App::voltage("");
    let unknown = app.file(
        "unknown.properties",
        "bootstrap.servers=127.0.0.1:1\nno.such.setting=1\n",
    );
    for (file, named) in [
        ("none.properties", "none.properties"),
        (&unknown, "no.such.setting"),
    ] {
        let output = piped(&mut app.bare(&["topics", "--config", file]), "");
        assert!(
            !output.status.success() && all(&output).contains(named),
            "{}",
            all(&output)
        );
    }
}

#[test]
fn the_broker_says_where_it_listens_and_refuses_a_port_in_use() {
    let app = App::voltage("");
    let mut broker = app.start_command(&app.bare(&["broker", "--port", "0"]));
    let line = broker
        .line_with("127.0.0.1:", Duration::from_secs(20))
        .unwrap();
    let port: String = line
        .split("127.0.0.1:")
        .nth(1)
        .unwrap()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    assert_ne!(port, "0", "{line}");
    client::create_topic(&format!("127.0.0.1:{port}"), "there", 1, &[]).unwrap();
    // Another terminal in the same directory finds it.
    assert!(good(&mut app.bare(&["topics", "--all"]), "").contains("there"));
    let other = App::voltage("");
    let output = piped(&mut other.bare(&["broker", "--port", &port]), "");
    assert!(
        !output.status.success() && all(&output).contains(&port),
        "{}",
        all(&output)
    );
    broker.signal("TERM").unwrap();
    assert!(broker.wait(Duration::from_secs(10)).unwrap().success());
    assert!(fs::exists(app.dir().join(".stream")).unwrap());
}

#[test]
fn reset_asks_first() {
    let broker = Broker::embedded();
    let app = App::voltage(&broker.bootstrap());
    let output = piped(&mut app.command(&["reset"]), "n\n");
    assert!(!all(&output).contains("Done"), "{}", all(&output));
    let output = piped(&mut app.command(&["reset"]), "");
    assert!(
        !all(&output).contains("Done"),
        "nobody said yes: {}",
        all(&output)
    );
    good(&mut app.command(&["reset", "--yes"]), "");
}

// G7: A record that comes after its window has closed changes nothing, and is counted.
#[test]
fn a_worker_says_how_many_records_came_too_late() {
    let broker = Broker::embedded();
    let app = App::voltage(&broker.bootstrap());
    let readings = [
        "2020-01-01T10:10:00Z",
        "2020-01-01T13:00:00Z",
        "2020-01-01T10:20:00Z",
    ];
    let input: String = readings
        .iter()
        .map(|time| format!("{{\"datetime\":\"{time}\",\"voltage\":230.0}}\n"))
        .collect();
    good(
        &mut app.command(&["send", "voltage_input", "--key", "power"]),
        &input,
    );
    let output = piped(&mut app.command(&["worker", "--until-caught-up"]), "");
    let text = all(&output);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("came after their windows") && text.contains("late=1"),
        "{text}"
    );
}

/// A field that may have been renamed: refused by check and worker until a person says that it was not.
#[test]
fn a_field_that_may_have_been_renamed_is_confirmed_by_a_person_only() {
    let broker = Broker::embedded();
    let faulty = std::path::PathBuf::from(env!("CARGO_BIN_EXE_faulty"));
    let app = App::of(faulty, &broker.bootstrap());
    good(&mut app.command(&["plan", "--write"]), "");
    let path = app.dir().join("plan.lock");
    let mut lock: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let record = &mut lock["apps"]["faulty"]["topics"]["orders"]["record"];
    let padding = record["fields"].as_object_mut().unwrap().remove("padding");
    record["fields"]["filler"] = padding.unwrap();
    record["fingerprint"] = "0".into();
    fs::write(&path, serde_json::to_string_pretty(&lock).unwrap()).unwrap();
    for command in [&["plan", "--check"][..], &["worker", "--until-caught-up"]] {
        let output = piped(&mut app.command(command), "");
        let said = all(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for text in [
            "if `padding` is what was `filler`: `#[serde(alias = \"filler\")]`",
            "when nothing was renamed, `plan --write` confirms it",
        ] {
            assert!(said.contains(text), "no {text} in {said}");
        }
    }
    let output = piped(&mut app.command(&["plan", "--write"]), "");
    assert_eq!(output.status.code(), Some(2), "{}", all(&output));
    assert!(all(&output).contains("--yes"), "{}", all(&output));
    piped(&mut app.command(&["plan", "--check"]), "")
        .status
        .code()
        .filter(|code| *code == 1)
        .expect("nothing was written");
    good(&mut app.command(&["plan", "--write", "--yes"]), "");
    good(&mut app.command(&["plan", "--check"]), "");
}

/// As a supervisor does that changes its mind: the signal comes before the worker has asked its broker anything.
#[test]
fn a_worker_that_is_asked_to_end_while_it_starts_ends_in_order() {
    let broker = Broker::embedded();
    let app = App::voltage(&broker.bootstrap());
    for _ in 0..3 {
        let mut worker = app.start(&["worker"]);
        worker.line_with("plan.lock", WITHIN).unwrap();
        worker.signal("TERM").unwrap();
        let ended = worker.wait(WITHIN).unwrap();
        assert!(ended.success(), "{ended}: {}", worker.output());
    }
}
