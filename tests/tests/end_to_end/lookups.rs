//! Rows by their keys, as a person asks: the page `/tables/NAME/KEY`, and the command `tables NAME KEY`.

use std::path::PathBuf;

use serde_json::{Value, json};
use tests::broker::Broker;
use tests::http;
use tests::leash::Leashed;
use tests::voltage::App;

use crate::reads::{WITHIN, start, until};

/// 2024-01-01T00:00:00Z.
pub const BEGIN: i64 = 1_704_067_200_000;
pub const MINUTE: i64 = 60_000;
/// Enough for both partitions to have some.
pub const NAMES: i64 = 8;

pub fn readings(broker: &Broker) -> App {
    App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_readings")),
        &broker.bootstrap(),
    )
}

/// Sends two readings of each name, of five and seven past.
pub fn send_readings(app: &App) {
    let mut lines = String::new();
    for minute in [5, 7] {
        for n in 0..NAMES {
            let at = BEGIN + minute * MINUTE;
            lines += &format!("{{\"id\":{},\"name\":\"name {n}/\",\"at\":{at}}}\n", n - 4);
        }
    }
    let file = app.file("readings.jsonl", &lines);
    app.run(&["send", "r_readings", "--file", &file], WITHIN)
        .unwrap();
}

/// Two workers that have counted them.
pub fn two_workers(app: &App) -> Vec<(Leashed, String)> {
    let workers: Vec<(Leashed, String)> = (0..2).map(|_| start(app, &[])).collect();
    for (_, address) in &workers {
        until("ready", address, "/ready", |answer| answer.status == 200);
    }
    send_readings(app);
    for (_, address) in &workers {
        for n in 0..NAMES {
            let counted = |answer: &http::Answer| answer.body.contains("\"value\":2");
            for path in [
                format!("/tables/by_id/{}", n - 4),
                format!("/tables/hours/name%20{n}%2F"),
                format!("/tables/pairs/[%22name%20{n}%2F%22,{}]", n - 4),
            ] {
                until("a row", address, &path, counted);
            }
        }
    }
    workers
}

fn found(address: &str, path: &str) -> Value {
    let answer = http::get(address, path).unwrap();
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

/// The rows alone, without where they are.
fn rows(found: &Value) -> Value {
    let rows = found["rows"].as_array().unwrap().iter().map(|row| {
        let mut row = row.clone();
        let object = row.as_object_mut().unwrap();
        assert!(object.remove("partition").is_some() && object.remove("worker").is_some());
        row
    });
    rows.collect()
}

#[test]
fn a_row_of_any_table_is_looked_up_by_its_key_from_any_worker_and_from_the_command_line() {
    let broker = Broker::embedded();
    let app = readings(&broker);
    let command = app.command(&["tables", "by_id", "1"]);
    let said = app.fails(&command, WITHIN).unwrap();
    assert!(said.contains("no worker of readings is running"), "{said}");
    let workers = two_workers(&app);
    let hour = |start: &str, end: &str, value: Value| {
        let day = "2024-01-01T";
        json!({"start": format!("{day}{start}Z"), "end": format!("{day}{end}Z"), "value": value})
    };
    let expected = [
        ("by_id/3", "3", json!([{"value": 2}])),
        ("by_id/-4", "-4", json!([{"value": 2}])),
        ("everywhere/0", "0", json!([{"value": 2}])),
        (
            "pairs/[%22name%201%2F%22,-3]",
            "[\"name 1/\",-3]",
            json!([{"value": 2}]),
        ),
        // It lies with the id, not where its own key belongs.
        ("strays/name%202/", "name 2/", json!([{"value": 2}])),
        (
            "hours/name%201/",
            "name 1/",
            json!([hour("00:00:00", "01:00:00", json!(2))]),
        ),
        (
            "leaps/name%201/",
            "name 1/",
            json!([
                {"start": "2023-12-31T23:30:00Z", "end": "2024-01-01T00:30:00Z", "value": 2},
                hour("00:00:00", "01:00:00", json!(2)),
            ]),
        ),
        (
            "visits/name%201/",
            "name 1/",
            json!([hour("00:05:00", "00:37:00.001", json!({"readings": 2}))]),
        ),
        (
            "slides/name%201/",
            "name 1/",
            json!([
                {"start": "2023-12-31T23:55:00Z", "end": "2024-01-01T00:05:00.001Z", "value": 1},
                {"start": "2023-12-31T23:57:00Z", "end": "2024-01-01T00:07:00.001Z", "value": 2},
                hour("00:05:00.001", "00:15:00.002", json!(1)),
            ]),
        ),
    ];
    for (path, key, expected) in &expected {
        let table = path.split('/').next().unwrap();
        for (_, address) in &workers {
            let found = found(address, &format!("/tables/{path}"));
            assert_eq!(rows(&found), *expected, "{path}: {found}");
            assert_eq!(found["table"], table);
            let owner = found["worker"].as_str().unwrap();
            assert!(workers.iter().any(|(_, at)| at == owner), "{found}");
            let owners = workers
                .iter()
                .filter(|(_, at)| found["rows"][0]["worker"] == **at);
            assert_eq!(owners.count(), 1, "{found}");
        }
        let words = ["tables", table, key, "-o", "json"];
        let said = app.run(&words, WITHIN).unwrap().stdout();
        let found: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(rows(&found), *expected, "{words:?}: {found}");
    }
    // A page of the app's own finds all of them too, whichever worker and partition have them.
    for (_, address) in &workers {
        for n in 0..NAMES {
            let answer = http::get(address, &format!("/stray/name%20{n}%2F")).unwrap();
            assert_eq!((answer.status, &*answer.body), (200, "2"), "name {n}/");
        }
        let answer = http::get(address, "/stray/nobody").unwrap();
        assert_eq!((answer.status, &*answer.body), (200, "null"));
    }
    // Each partition has a row of its own.
    let own = found(&workers[0].1, "/tables/of_partition/all");
    let counts = own["rows"].as_array().unwrap().iter();
    let counts: u64 = counts.map(|row| row["value"].as_u64().unwrap()).sum();
    assert_eq!(counts, 2 * NAMES as u64, "{own}");
    assert_eq!(own["rows"].as_array().unwrap().len(), 2, "{own}");

    let said = app.run(&["tables", "leaps", "name 1/"], WITHIN).unwrap();
    let said = said.stdout();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("leaps name 1/  partition "), "{said}");
    assert!(lines[0].contains(", worker 127.0.0.1:"), "{said}");
    assert_eq!(
        lines[1..],
        [
            "  2023-12-31T23:30:00.000Z .. 2024-01-01T00:30:00.000Z  2",
            "  2024-01-01T00:00:00.000Z .. 2024-01-01T01:00:00.000Z  2",
        ]
    );
    for (words, code, expected) in [
        (
            &["tables", "by_id", "99"][..],
            1,
            "table `by_id` has nothing under \"99\"",
        ),
        (
            &["tables", "by_id", "one"],
            2,
            "is kept by i64: `one` is not an i64",
        ),
        (&["tables", "horus", "a"], 1, "did you mean `hours`?"),
        (&["tables", "horus"], 1, "did you mean `hours`?"),
    ] {
        let mut command = app.command(words);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(expected), "{words:?}: {said}");
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(output.stdout.is_empty(), "{words:?}");
    }
    let told = app.run(&["tables", "hours"], WITHIN).unwrap().stdout();
    assert!(
        told.contains("tumbling 1h") && !told.contains("agent"),
        "{told}"
    );

    let own = http::get(&workers[0].1, "/tables/by_id/mine").unwrap();
    assert_eq!(own.body, "mine", "the app has a page there");
    let home = http::get(&workers[0].1, "/").unwrap().body;
    for part in [
        "<h2>r_readings</h2><p>by_id, another key for by_name, another key for by_pair</p>",
        "<a href=\"/all\">/all</a>",
        "<li>GET /windows/{name}",
        "/tables/hours/KEY: by String",
    ] {
        assert!(home.contains(part), "{part}: {home}");
    }
}

#[test]
fn a_row_without_a_broker_and_so_without_a_worker_is_refused_with_the_next_step() {
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_readings")), "");
    let said = app.fails(&app.bare(&["tables", "by_id", "1"]), WITHIN);
    let said = said.unwrap();
    assert!(said.contains("no worker of readings is running"), "{said}");
    assert!(said.contains("start one with `worker`"), "{said}");
}
