//! Global tables and tables of a topic, in real workers: complete before the first record, followed, killed, on empty
//! disks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::broker::Broker;
use tests::client::{Isolation, OpenTransaction, Sender};
use tests::voltage::App;

const WITHIN: Duration = Duration::from_secs(60);

fn app(broker: &Broker) -> App {
    App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_globals")),
        &broker.bootstrap(),
    )
}

fn send(app: &App, topic: &str, key: &str, value: &str) {
    app.run(&["send", topic, value, "--key", key], WITHIN)
        .unwrap();
}

/// Bills by order, each without the process that made it; and the processes.
fn bills(app: &App) -> (Vec<(String, Value)>, BTreeSet<u64>) {
    let mut processes = BTreeSet::new();
    let mut bills = Vec::new();
    for mut line in app.tail("g_bills").unwrap_or_default() {
        let process = line
            .value
            .as_object_mut()
            .unwrap()
            .remove("process")
            .unwrap();
        processes.insert(process.as_u64().unwrap());
        bills.push((line.key.unwrap(), line.value));
    }
    (bills, processes)
}

fn bill(global: u64, local: Option<u64>, words: u64) -> Value {
    json!({ "global": global, "local": local, "words": words })
}

#[test]
fn a_global_table_is_complete_before_the_first_record_whatever_was_killed() {
    let broker = Broker::embedded();
    let app = app(&broker);
    // More than one fetch, so that a start which did not wait would be seen.
    let prices = Sender::new(&broker.bootstrap()).unwrap();
    tests::client::create_topic(
        &broker.bootstrap(),
        "g_prices",
        3,
        &[("cleanup.policy", "compact")],
    )
    .unwrap();
    for n in 0..20_000 {
        let (key, value) = (format!("item-{n}"), format!("{{\"cents\":{n}}}"));
        prices
            .send(
                "g_prices",
                Some(key.as_bytes()),
                Some(value.as_bytes()),
                None,
            )
            .unwrap();
    }
    prices.finish().unwrap();
    for n in [0, 19_999, 12_345] {
        let item = format!("item-{n}");
        send(&app, "g_orders", &item, &item);
    }
    let args = app.impatient();
    let caught_up = [&args[..], &["--until-caught-up".into()]].concat();
    app.run(&caught_up, WITHIN).unwrap();
    let (first, _) = bills(&app);
    assert_eq!(first.len(), 3);
    for (key, value) in &first {
        let n: u64 = key.strip_prefix("item-").unwrap().parse().unwrap();
        assert_eq!(value["global"], n, "{key}");
    }

    // Killed, and on an empty disk: complete again.
    let mut worker = app.start(&args);
    worker.line_with("global table recovered", WITHIN).unwrap();
    worker.kill();
    std::fs::remove_dir_all(app.dir().join(".stream")).unwrap();
    send(&app, "g_orders", "item-777", "item-777");
    app.run(&caught_up, WITHIN).unwrap();
    let (again, _) = bills(&app);
    assert_eq!(again.len(), 4);
    let last = again.iter().find(|(key, _)| key == "item-777");
    assert_eq!(last.map(|(_, value)| value), Some(&bill(777, Some(777), 0)));
}

#[test]
fn a_global_table_is_filled_although_its_broker_goes_away_meanwhile() {
    let mut broker = Broker::embedded();
    let app = app(&broker);
    let compact = [("cleanup.policy", "compact")];
    tests::client::create_topic(&broker.bootstrap(), "g_prices", 3, &compact).unwrap();
    // Readers stop here until it is aborted, so that the worker is still filling when the broker dies.
    let timeout = Duration::from_secs(20);
    let open = OpenTransaction::write(&broker.bootstrap(), "g_prices", 0, timeout).unwrap();
    send(&app, "g_prices", "milk", r#"{"cents":2}"#);
    send(&app, "g_orders", "milk", "milk");
    let mut worker = app.start(&app.until_caught_up());
    worker
        .line_with("global tables: recovering", WITHIN)
        .unwrap();
    broker.kill();
    let told = worker.line_with("asking again", WITHIN).unwrap();
    assert!(told.contains("global tables: could not"), "{told}");
    broker.restart();
    open.abort().unwrap();
    assert!(
        worker.wait(WITHIN).unwrap().success(),
        "{}",
        worker.output()
    );
    let log = worker.output();
    assert_eq!(log.matches("global tables: could not").count(), 1, "{log}");
    let (bills, _) = bills(&app);
    assert_eq!(bills, [("milk".to_owned(), bill(2, Some(2), 0))]);
}

#[test]
fn every_worker_follows_all_rows() {
    let broker = Broker::embedded();
    let app = app(&broker);
    send(&app, "g_prices", "tea", r#"{"cents":1}"#);
    for _ in 0..3 {
        send(&app, "g_words", "tea", "tea");
    }
    let args = app.impatient();
    let mut workers = [app.start(&args), app.start(&args)];
    for worker in &mut workers {
        worker.line_with("global table recovered", WITHIN).unwrap();
    }
    // Orders of many keys: some go to each worker, and all of them see the one row, and what comes of the words.
    let start = Instant::now();
    for round in 0.. {
        for n in 0..6 {
            send(&app, "g_orders", &format!("order-{round}-{n}"), "tea");
        }
        let (all, processes) = bills(&app);
        assert!(all.iter().all(|(_, bill)| bill["global"] == 1), "{all:?}");
        let last = all.iter().filter(|(_, bill)| bill["words"] == 3).count();
        if processes.len() == 2 && last >= 6 {
            break;
        }
        assert!(start.elapsed() < WITHIN, "{processes:?} {all:?}");
    }
    // Changed and deleted while they run.
    send(&app, "g_prices", "tea", r#"{"cents":5}"#);
    let seen = |cents: Value| {
        let start = Instant::now();
        loop {
            send(&app, "g_orders", "last", "tea");
            std::thread::sleep(Duration::from_millis(200));
            let (all, _) = bills(&app);
            // The tail goes partition by partition: the last one of this key is meant.
            let last = all.iter().rfind(|(key, _)| key == "last");
            if last.is_some_and(|(_, bill)| bill["global"] == cents) {
                return;
            }
            assert!(start.elapsed() < WITHIN, "{all:?}");
        }
    };
    seen(json!(5));
    app.run(&["send", "g_prices", "--key", "tea", "--tombstone"], WITHIN)
        .unwrap();
    seen(Value::Null);
    for worker in &mut workers {
        worker.signal("TERM").unwrap();
        assert!(
            worker.wait(WITHIN).unwrap().success(),
            "{}",
            worker.output()
        );
    }
}

#[test]
fn a_page_and_a_command_read_a_global_table_that_no_agent_asks_for() {
    let broker = Broker::embedded();
    let app = app(&broker);
    // Without a worker there is nothing yet, and that is said.
    let text = app.fails(&app.command(&["count-rows"]), WITHIN).unwrap();
    assert!(
        text.contains("`note_of`") && text.contains("topic `g_notes` does not exist"),
        "{text}"
    );
    let args = [&app.impatient()[..], &["--web-port".into(), "0".into()]].concat();
    let mut workers = [app.start(&args), app.start(&args)];
    let addresses = workers
        .each_mut()
        .map(|worker| tests::http::address_of(worker).unwrap());
    send(&app, "g_notes", "tea", "hot");
    send(&app, "g_notes", "milk", "cold");
    send(&app, "g_words", "k", "tea");
    // Every worker has all of them, whatever its partitions.
    for address in &addresses {
        for (item, note) in [("tea", "hot"), ("milk", "cold")] {
            let path = format!("/notes/wait/{item}");
            let answer = tests::http::get(address, &path).unwrap();
            assert_eq!((answer.status, answer.body), (200, format!("{note:?}")));
        }
        // Without a page of the app's own too.
        let answer = tests::http::get(address, "/tables/note_of/tea").unwrap();
        let row = json!({"table": "note_of", "key": "tea", "topic": "g_notes", "rows": [{"value": "hot"}]});
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap(), row);
        let answer = tests::http::get(address, "/note/none").unwrap();
        assert_eq!((answer.status, answer.body), (200, "null".to_owned()));
    }
    // A command is complete from its first line on, and follows.
    let mut patient = app.start(&["wait-note"]);
    let counted = Instant::now();
    loop {
        let said = app.run(&["count-rows"], WITHIN).unwrap().stdout();
        assert!(said.starts_with("2 notes"), "{said}");
        if said.contains("2 notes, 1 words") {
            break;
        }
        assert!(counted.elapsed() < WITHIN, "{said}");
    }
    send(&app, "g_notes", "late", "but here");
    assert!(patient.wait(WITHIN).unwrap().success());
    assert_eq!(patient.stdout().trim(), "late: Some(\"but here\")");
    for worker in &mut workers {
        worker.kill();
    }
    // Nor does it need a worker.
    let said = app.run(&["count-rows"], WITHIN).unwrap().stdout();
    assert_eq!(said.trim(), "3 notes, 1 words");
    let said = app.run(&["tables", "note_of", "late"], WITHIN).unwrap();
    assert_eq!(
        said.stdout(),
        "note_of late  topic g_notes\n  \"but here\"\n"
    );
    let text = app.fails(&app.command(&["tables", "note_of", "never"]), WITHIN);
    assert!(text.unwrap().contains("topic `g_notes` has no record"));
}

/// A producer that gives its records no timestamp, as old clients do.
fn a_message_without_a_timestamp(broker: &Broker) {
    let app = app(broker);
    tests::client::create_topic(&broker.bootstrap(), "g_times", 1, &[]).unwrap();
    let sender = Sender::new(&broker.bootstrap()).unwrap();
    let time = 1_577_836_800_000; // 2020
    for (what, stamp) in [
        ("nothing", -1),
        ("first", time),
        ("second", -1),
        ("third", time + 5),
    ] {
        let value = Some(what.as_bytes());
        sender
            .send_at(Some(stamp), "g_times", Some(b"k"), value, Some(0))
            .unwrap();
        // A batch of its own: none of a batch has a time where the first has none.
        sender.finish().unwrap();
    }
    let there =
        tests::client::read_all(&broker.bootstrap(), "g_times", Isolation::Committed).unwrap();
    let stamps: Vec<Option<i64>> = there.iter().map(|record| record.timestamp).collect();
    assert!(
        stamps[0].is_none_or(|stamp| stamp < 0),
        "it has none: {stamps:?}"
    );
    let worker = app.run(&app.until_caught_up(), WITHIN).unwrap();
    let log = worker.output();
    let told = log.lines().find(|line| line.contains("g_times[0]@0"));
    assert!(
        told.is_some_and(|line| line.contains("its message has no timestamp")),
        "{log}"
    );
    let heard: Vec<_> = app.tail("g_heard").unwrap();
    let heard: Vec<(&str, &str, Option<i64>)> = heard
        .iter()
        .map(|line| {
            let text = |name: &str| line.value[name].as_str().unwrap();
            (text("what"), text("at"), line.timestamp)
        })
        .collect();
    let at = |ms: i64| Some(time + ms);
    assert_eq!(
        heard,
        [
            ("first", "2020-01-01T00:00:00Z", at(0)),
            ("second", "2020-01-01T00:00:00Z", at(0)),
            ("third", "2020-01-01T00:00:00.005Z", at(5)),
        ]
    );
    let letters = app.run(&["dead-letters", "list"], WITHIN).unwrap().stdout();
    assert!(letters.contains("no timestamp"), "{letters}");
}

#[test]
fn a_message_without_a_timestamp_has_the_stream_time_or_is_bad_on_the_embedded_broker() {
    a_message_without_a_timestamp(&Broker::embedded());
}

#[test]
fn a_message_without_a_timestamp_has_the_stream_time_or_is_bad_on_apache_kafka() {
    if let Some(broker) = Broker::apache() {
        a_message_without_a_timestamp(&broker);
    }
}
