//! Commands know the topics of their app: keys and records by type, slips, what is listed.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::broker::Broker;
use tests::client::{self, Isolation};
use tests::voltage::App;

use crate::piped;

const WITHIN: Duration = Duration::from_secs(60);

fn app(broker: &Broker) -> App {
    App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_typed")),
        &broker.bootstrap(),
    )
}

fn good(app: &App, args: &[&str]) -> String {
    let output = piped(&mut app.command(args), "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {text}{said}");
    text
}

/// What a command says that is refused with exit code 1.
fn refused(command: &mut Command, input: &str) -> String {
    let output = piped(command, input);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
    said
}

/// Partition, key and value of each record.
fn records(broker: &Broker, topic: &str) -> Vec<(Vec<u8>, String)> {
    let records = client::read_all(&broker.bootstrap(), topic, Isolation::Committed).unwrap();
    let records = records.iter().map(|record| {
        let value = String::from_utf8_lossy(record.bytes()).into_owned();
        (record.key.clone().unwrap_or_default(), value)
    });
    records.collect()
}

fn tail(app: &App, topic: &str) -> Vec<Value> {
    let args = [
        "tail",
        topic,
        "--from-beginning",
        "--until-end",
        "-o",
        "json",
    ];
    let out = good(app, &args);
    let lines = out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_record_sent_without_a_key_has_the_one_it_carries() {
    let broker = Broker::embedded();
    let app = app(&broker);
    good(
        &app,
        &["send", "transactions", r#"{"card":"0044","amount":5}"#],
    );
    let given = r#"{"card":"0044","amount":6}"#;
    good(&app, &["send", "transactions", given, "-k", "another"]);
    let sent: Vec<_> = records(&broker, "transactions");
    assert_eq!(sent[0].0, b"0044");
    assert_eq!(sent[1].0, b"another");
    good(&app, &["worker", "--until-caught-up", "--without-web"]);
    assert!(tail(&app, "typed-spent-changelog").len() >= 2);
    let letters = piped(&mut app.command(&["dead-letters", "list"]), "");
    let letters = String::from_utf8_lossy(&letters.stderr).into_owned();
    assert!(letters.contains("0 dead letters"), "{letters}");
}

#[test]
fn integer_keys_go_out_and_are_shown_as_integers() {
    let broker = Broker::embedded();
    let app = app(&broker);
    let reading = |sensor: i64, minute: u8| {
        format!(r#"{{"at":"2026-01-01T00:0{minute}:00Z","sensor":{sensor},"value":1.5}}"#)
    };
    good(&app, &["send", "readings", &reading(-7, 0), "-k", "-7"]);
    good(
        &app,
        &["send", "readings", &reading(7, 1), "--key-field", "sensor"],
    );
    let mut keys: Vec<_> = records(&broker, "readings")
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    keys.sort();
    let expected = [
        7_i64.to_be_bytes().to_vec(),
        (-7_i64).to_be_bytes().to_vec(),
    ];
    assert_eq!(keys, expected);
    let mut shown: Vec<_> = tail(&app, "readings")
        .into_iter()
        .map(|line| line["key"].as_i64())
        .collect();
    shown.sort();
    assert_eq!(shown, [Some(-7), Some(7)]);
    let text = good(
        &app,
        &["tail", "readings", "--from-beginning", "--until-end"],
    );
    assert!(
        text.contains("Z  -7  {") && text.contains("Z  7  {"),
        "{text}"
    );

    // As a worker reads them: a table by integer, its changelog, and the sink of its windows.
    good(&app, &["send", "readings", &reading(-7, 9), "-k", "-7"]);
    good(&app, &["worker", "--until-caught-up", "--without-web"]);
    let row = tail(&app, "typed-minute-changelog")
        .into_iter()
        .find(|line| line["key"] == -7 && line["value"] != Value::Null)
        .expect("a row of sensor -7");
    // The window that is open; the one before has closed.
    let end = chrono::DateTime::parse_from_rfc3339("2026-01-01T00:10:00Z").unwrap();
    assert_eq!(row["window_end"], end.timestamp_millis(), "{row}");
    assert_eq!(row["value"], json!({"highest": 1.5}));
    assert!(tail(&app, "peaks").iter().any(|line| line["key"] == -7));

    let wrong = ["send", "readings", &reading(1, 0), "-k", "seven"];
    let said = refused(&mut app.command(&wrong), "");
    assert!(said.contains("`seven` is not an i64"), "{said}");
}

#[test]
fn a_key_of_two_parts_is_a_list() {
    let broker = Broker::embedded();
    let app = app(&broker);
    let value = r#"{"after":{"name":"Ann"}}"#;
    good(
        &app,
        &["send", "customer_changes", value, "-k", r#"["eu",-3]"#],
    );
    assert_eq!(tail(&app, "customer_changes")[0]["key"], json!(["eu", -3]));
    let said = refused(
        &mut app.command(&["send", "customer_changes", value, "-k", "eu"]),
        "",
    );
    assert!(said.contains(r#"["ann",7]"#), "{said}");
}

#[test]
fn a_bad_record_is_refused_with_its_field_and_its_line() {
    let broker = Broker::embedded();
    let app = app(&broker);
    let said = refused(
        &mut app.command(&["send", "transactions", r#"{"card":"1","amount":0}"#]),
        "",
    );
    assert!(
        said.contains("`amount`") && said.contains("--raw"),
        "{said}"
    );
    let topics = client::topics(&broker.bootstrap()).unwrap();
    assert!(!topics.contains(&"transactions".to_owned()), "{topics:?}");
    let lines = "{\"card\":\"1\",\"amount\":1}\n\n{\"card\":\"1\",\"amount\":\"x\"}\n{\"card\":\"1\",\"amount\":1}\n";
    let said = refused(&mut app.command(&["send", "transactions"]), lines);
    assert!(
        said.contains("standard input:3") && said.contains("1 record was sent before it"),
        "{said}"
    );
    assert_eq!(records(&broker, "transactions").len(), 1);
    // And around all of it.
    good(&app, &["send", "transactions", "garbage", "--raw"]);
    assert_eq!(records(&broker, "transactions").len(), 2);
}

#[test]
fn a_slip_in_the_topic_makes_no_topic() {
    let broker = Broker::embedded();
    let app = app(&broker);
    let said = refused(&mut app.command(&["send", "transactoins", "{}"]), "");
    assert!(said.contains("did you mean `transactions`?"), "{said}");
    assert!(
        !client::topics(&broker.bootstrap())
            .unwrap()
            .contains(&"transactoins".to_owned())
    );
    let said = refused(&mut app.command(&["tail", "reedings", "--until-end"]), "");
    assert!(said.contains("there is no topic reedings"), "{said}");
    good(&app, &["send", "transactoins", "{}", "--create"]);
    // One that exists is somebody's, and is sent to.
    good(&app, &["send", "transactoins", "{}"]);
    let said = refused(
        &mut app.command(&["send", "typed-spent-changelog", "{}"]),
        "",
    );
    assert!(
        said.contains("changelog of the app") && said.contains("--raw"),
        "{said}"
    );
}

#[test]
fn no_key_to_a_topic_that_wants_one_is_said_before_sending() {
    let broker = Broker::embedded();
    let app = app(&broker);
    let said = refused(&mut app.command(&["send", "notes", "hello"]), "");
    assert!(
        said.contains("compacted") && said.contains("--key"),
        "{said}"
    );
    let said = refused(
        &mut app.command(&["send", "customers", r#"{"name":"Ann"}"#]),
        "",
    );
    assert!(
        said.contains("no key") && said.contains("customer_by_id"),
        "{said}"
    );
    // What the broker alone knows counts too.
    let compact = [("cleanup.policy", "compact")];
    client::create_topic(&broker.bootstrap(), "elsewhere", 1, &compact).unwrap();
    let said = refused(&mut app.command(&["send", "elsewhere", "hello"]), "");
    assert!(said.contains("compacted"), "{said}");
    good(&app, &["send", "elsewhere", "hello", "-k", "7"]);
    assert_eq!(records(&broker, "elsewhere")[0].0, b"7");
}

#[test]
fn a_time_and_headers_are_sent_and_shown() {
    let broker = Broker::embedded();
    let app = app(&broker);
    let send = [
        "send",
        "notes",
        "hello",
        "-k",
        "a",
        "-H",
        "trace=abc",
        "-H",
        "trace=def",
    ];
    good(
        &app,
        &[&send[..], &["--timestamp", "2026-01-02T03:04:05Z"]].concat(),
    );
    good(&app, &[&send[..4], &["b", "--timestamp", "1000"]].concat());
    let notes = tail(&app, "notes");
    let headers = json!([{"name": "trace", "value": "abc"}, {"name": "trace", "value": "def"}]);
    let of = |key: &str| notes.iter().find(|note| note["key"] == key).unwrap();
    assert_eq!(of("a")["headers"], headers);
    let at = chrono::DateTime::parse_from_rfc3339("2026-01-02T03:04:05Z").unwrap();
    assert_eq!(of("a")["timestamp"], at.timestamp_millis());
    assert_eq!(
        (&of("b")["timestamp"], &of("b")["headers"]),
        (&json!(1000), &json!([]))
    );
    let text = ["tail", "notes", "--from-beginning", "--until-end"];
    assert!(!good(&app, &text).contains("trace"));
    assert!(good(&app, &[&text[..], &["-H"]].concat()).contains("    trace: abc\n"));
    let wrong = app.command(&["send", "notes", "x", "-k", "a", "--timestamp", "soon"]);
    let said = app.fails(&wrong, WITHIN).unwrap();
    assert!(said.contains("RFC 3339"), "{said}");
}

fn document(app: &App, args: &[&str]) -> Value {
    let args = [args, &["-o", "json"]].concat();
    serde_json::from_str(&good(app, &args)).unwrap()
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter();
    let mut found = found.filter(|one| one["name"] == name);
    found
        .next()
        .unwrap_or_else(|| panic!("{name} is not in {list}"))
}

#[test]
fn global_tables_and_ttl_are_listed_and_described() {
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_typed")), "127.0.0.1:1");
    let tables = document(&app, &["tables"]);
    assert_eq!(named(&tables, "spent")["ttl_ms"], 30 * 86_400_000_i64);
    let global = named(&tables, "customer_by_id");
    assert_eq!(
        (&global["global"], &global["source"]),
        (&json!(true), &json!("customers"))
    );
    assert_eq!(global["read_by"], json!(["customers"]));
    assert_eq!(named(&tables, "customer_for_nobody")["read_by"], json!([]));
    let text = good(&app, &["tables"]);
    assert!(
        text.contains("plain, global") && text.contains("30d"),
        "{text}"
    );
    let text = good(&app, &["describe", "customer_for_nobody"]);
    assert!(text.contains("used by:           nobody"), "{text}");
    let text = good(&app, &["describe", "spent"]);
    assert!(
        text.contains("ttl:") && text.contains("page spent_by"),
        "{text}"
    );
    let said = refused(&mut app.command(&["describe", "spend_by"]), "");
    assert!(said.contains("did you mean `spent_by`?"), "{said}");
    let agent = good(&app, &["describe", "words"]);
    assert!(agent.contains("at once:           4 events"), "{agent}");
}

#[test]
fn what_runs_beside_the_agents_is_listed_with_its_next_call() {
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_typed")), "127.0.0.1:1");
    let functions = document(&app, &["functions"]);
    let yearly = named(&functions, "yearly");
    let next: chrono::DateTime<chrono::Utc> =
        serde_json::from_value(yearly["next"].clone()).unwrap();
    assert!(next > chrono::Utc::now());
    assert!(
        next.to_rfc3339().contains("-01-01T11:00:00"),
        "noon in Paris: {next}"
    );
    assert_eq!(
        (&yearly["kind"], &yearly["on_leader"]),
        (&json!("crontab"), &json!(true))
    );
    assert_eq!(named(&functions, "hourly")["sends"], json!(["notes"]));
    assert_eq!(named(&functions, "begin")["kind"], "task");
    assert_eq!(named(&functions, "spent_by")["called"], "GET /spent/{card}");
    assert!(good(&app, &["functions"]).contains("every 1h"));
    assert!(
        good(&app, &["plan"]).contains("crontab, 0 12 1 1 * in Europe/Paris, on the leader, next ")
    );
    let text = good(&app, &["describe", "yearly"]);
    assert!(
        text.contains("crontab yearly") && text.contains("the leader"),
        "{text}"
    );
}

#[test]
fn generic_records_are_told_apart() {
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_typed")), "127.0.0.1:1");
    let plan = good(&app, &["plan"]);
    assert!(
        plan.contains("Envelope<Customer> by a tuple of two"),
        "{plan}"
    );
    assert!(plan.contains("Envelope<String> by"), "{plan}");
}
