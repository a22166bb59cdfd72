//! `dead-letters`: what could not be handled is listed, shown, and sent again, each once.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::broker::{Broker, SharedApache};
use tests::client::{self, Isolation};
use tests::voltage::App;

const MINUTE: Duration = Duration::from_secs(60);

fn app(broker: &Broker) -> App {
    App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_letters")),
        &broker.bootstrap(),
    )
}

fn order(second: i64, amount: i64, bad: bool) -> String {
    format!(r#"{{"at":"2026-01-01T00:00:0{second}Z","amount":{amount},"bad":{bad}}}"#)
}

/// Runs a worker until all is handled; `repaired`: one that can handle bad orders.
fn work(app: &App, repaired: bool) {
    let mut command = app.command(&app.until_caught_up());
    if repaired {
        command.env("LETTERS_REPAIRED", "1");
    }
    let mut worker = app.start_command(&command);
    let status = worker.wait(MINUTE).unwrap();
    assert!(status.success(), "{}", worker.output());
}

fn json(app: &App, args: &[&str]) -> Value {
    let args = [&["dead-letters"], args, &["-o", "json"]].concat();
    let output = app.run(&args, MINUTE).unwrap().stdout();
    serde_json::from_str(&output).unwrap_or_else(|error| panic!("{args:?}: {error}: {output}"))
}

fn text(app: &App, args: &[&str]) -> String {
    let args = [&["dead-letters"], args].concat();
    app.run(&args, MINUTE).unwrap().output()
}

/// Runs a command that must end with exit code 1 or 2.
fn fails(app: &App, args: &[&str], code: i32) -> String {
    let args = [&["dead-letters"], args].concat();
    let mut process = app.start(&args);
    let status = process.wait(MINUTE).unwrap();
    let output = process.output();
    assert_eq!(status.code(), Some(code), "{args:?}: {output}");
    output
}

/// The amounts that were handled, in order.
fn handled(broker: &Broker) -> Vec<i64> {
    let records = client::read_all(&broker.bootstrap(), "handled", Isolation::Committed).unwrap();
    let mut amounts: Vec<i64> = records
        .iter()
        .map(|record| record.json()["amount"].as_i64().unwrap())
        .collect();
    amounts.sort_unstable();
    amounts
}

/// The seconds that were taken.
fn closed(broker: &Broker) -> Vec<String> {
    let records = client::read_all(&broker.bootstrap(), "seconds", Isolation::Committed).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    records.iter().map(|record| text(record.bytes())).collect()
}

/// Four bad orders of ten in two partitions, one with a header of its own that is named like ours, and a window that
/// nobody takes.
fn broken(broker: &Broker, app: &App) {
    let bootstrap = broker.bootstrap();
    client::create_topic(&bootstrap, "orders", 2, &[]).unwrap();
    let send = |amount: i64, bad: bool, headers: &[&str]| {
        let value = order(amount / 10, amount, bad);
        let key = format!("key-{}", amount % 10 % 2);
        let headers = headers.iter().flat_map(|header| ["--header", header]);
        let mut args = vec!["send", "orders", &value, "--key", &key];
        args.extend(headers);
        app.run(&args, MINUTE).unwrap();
    };
    for amount in [1, 3, 5] {
        send(amount, false, &[]);
    }
    send(7, true, &["trace=abc", "error=mine"]);
    send(2, true, &[]);
    send(4, true, &[]);
    send(6, false, &[]);
    // Ends the first second.
    send(30, true, &[]);
    send(31, false, &[]);
    work(app, false);
}

fn dead_letters_are_listed_shown_and_sent_again_once(broker: &Broker) {
    let app = app(broker);
    broken(broker, &app);
    assert_eq!(handled(broker), [1, 3, 5, 6, 31]);

    let listed = json(&app, &["list", "handle"]);
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 4);
    for row in listed {
        assert_eq!(row["agent"], "handle");
        assert_eq!(row["attempts"], 2);
        assert!(row["error"].as_str().unwrap().contains("is bad"), "{row}");
        assert!(
            row["source"].as_str().unwrap().starts_with("orders["),
            "{row}"
        );
        assert_eq!(row["resent"], false);
    }
    let of_seven = listed
        .iter()
        .find(|row| row["error"].as_str().unwrap().contains(" 7 "))
        .unwrap();
    let place = of_seven["place"].as_str().unwrap();
    let table = text(&app, &["list"]);
    assert!(table.contains("AGENT") && table.contains(place), "{table}");
    assert!(table.contains("close"), "the window, too: {table}");

    let shown = json(&app, &["show", "handle", place]);
    assert_eq!(shown["value"]["amount"], 7);
    assert_eq!(shown["source"]["topic"], "orders");
    let own: Vec<&str> = shown["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|header| header["name"].as_str().unwrap())
        .collect();
    assert_eq!(own, ["trace", "error"], "its own, without ours");
    let shown = text(&app, &["show", "handle", place]);
    assert!(
        shown.contains("\"amount\": 7") && shown.contains("trace: abc"),
        "{shown}"
    );

    // Nobody to ask; another agent; a place that is none; a window.
    let output = fails(&app, &["resend", "handle"], 2);
    assert!(
        output.contains("`handle` (failed on them)")
            && output.contains("`audit` (has seen them, and will see them again)")
            && output.contains("--yes"),
        "{output}"
    );
    let output = fails(&app, &["resend", "nobody", "--yes"], 2);
    assert!(output.contains("handle"), "the agents there are: {output}");
    fails(&app, &["show", "handle", "7@7"], 1);
    fails(&app, &["resend", "handle", "0@999", "--yes"], 1);
    let window = json(&app, &["list", "close"])[0]["place"]
        .as_str()
        .unwrap()
        .to_owned();
    let output = fails(&app, &["resend", "close"], 2);
    assert!(
        output.contains("2 closed windows of table `seconds` to `close`"),
        "{output}"
    );
    assert_eq!(handled(broker), [1, 3, 5, 6, 31], "nothing was sent");

    // Not repaired yet: the window is a dead letter once more, of a place of its own.
    assert_eq!(
        json(&app, &["resend", "close", &window, "--yes"])["resent"],
        1
    );
    work(&app, false);
    let waiting = json(&app, &["list", "close"]);
    assert_eq!(waiting.as_array().unwrap().len(), 2, "{waiting}");
    for letter in waiting.as_array().unwrap() {
        assert_ne!(letter["place"], *window);
        assert_eq!(letter["refusal"], Value::Null);
        let source = letter["source"].as_str().unwrap();
        assert!(source.starts_with("table seconds["), "{source}");
    }
    let topics = app.run(&["topics"], MINUTE).unwrap().stdout();
    assert!(topics.contains("letters-close-again"), "{topics}");
    assert_eq!(json(&app, &["resend", "close", "--yes"])["resent"], 2);
    work(&app, true);
    work(&app, true);
    let of_first = |row: &&String| row.contains("from 2026-01-01T00:00:00");
    let seconds = closed(broker);
    let first: Vec<&String> = seconds.iter().filter(of_first).collect();
    assert_eq!(first.len(), 2, "each taken once: {seconds:?}");
    assert_eq!(json(&app, &["list", "close"]).as_array().unwrap().len(), 0);

    // One by its place, as it came; then the rest; then none.
    assert_eq!(
        json(&app, &["resend", "handle", place, "--yes"])["resent"],
        1
    );
    work(&app, true);
    let records = client::read_all(&broker.bootstrap(), "handled", Isolation::Committed).unwrap();
    let seven = records
        .iter()
        .find(|record| record.json()["amount"] == 7)
        .unwrap();
    assert_eq!(seven.json()["trace"], "abc");
    assert_eq!(json(&app, &["list", "handle"]).as_array().unwrap().len(), 3);
    let again = json(&app, &["resend", "handle", place, "--yes"]);
    assert_eq!(again["resent"], 0, "it was sent before");
    assert_eq!(json(&app, &["resend", "handle", "--yes"])["resent"], 3);
    assert_eq!(json(&app, &["resend", "handle", "--yes"])["resent"], 0);
    work(&app, true);
    assert_eq!(handled(broker), [1, 2, 3, 4, 5, 6, 7, 30, 31], "each once");
    let table = text(&app, &["list", "handle"]);
    assert!(
        table.contains("0 dead letters waiting, 4 sent again"),
        "{table}"
    );
    let all = json(&app, &["list", "handle", "--all"]);
    assert!(
        all.as_array()
            .unwrap()
            .iter()
            .all(|row| row["resent"] == true),
        "{all}"
    );

    // Once more, when that is asked for.
    assert_eq!(
        json(&app, &["resend", "handle", place, "--again", "--yes"])["resent"],
        1
    );
    work(&app, true);
    assert_eq!(handled(broker), [1, 2, 3, 4, 5, 6, 7, 7, 30, 31]);
}

#[test]
fn dead_letters_on_the_embedded_broker() {
    dead_letters_are_listed_shown_and_sent_again_once(&Broker::embedded());
}

#[test]
fn dead_letters_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        dead_letters_are_listed_shown_and_sent_again_once(&broker);
    }
}

#[test]
fn one_dead_letter_is_spoken_of_in_the_singular() {
    let broker = Broker::embedded();
    let (app, bootstrap) = (app(&broker), broker.bootstrap());
    client::create_topic(&bootstrap, "orders", 1, &[]).unwrap();
    let bad = order(0, 1, true);
    app.run(&["send", "orders", &bad, "--key", "k"], MINUTE)
        .unwrap();
    work(&app, false);
    let output = fails(&app, &["resend", "handle"], 2);
    for text in [
        "1 dead letter goes again as it came:",
        "`handle` (failed on it)",
        "`audit` (has seen it, and will see it again)",
        "Its time stays",
    ] {
        assert!(output.contains(text), "{output}");
    }
}

/// Nothing that the app reads is new to a worker but the topic, which the command makes; and it is killed on the way.
#[test]
fn a_worker_that_runs_takes_the_first_window_that_is_sent_again_once() {
    let broker = Broker::embedded();
    let app = app(&broker);
    broken(&broker, &app);
    let start = || {
        let soon = ["--kafka", "topic.metadata.refresh.interval.ms=500"];
        let mut command = app.command(&[&app.impatient()[..], &soon.map(str::to_owned)].concat());
        command.env("LETTERS_REPAIRED", "1");
        app.start_command(&command)
    };
    let (mut worker, mut second) = (start(), start());
    assert!(closed(&broker).is_empty());
    assert_eq!(json(&app, &["resend", "close", "--yes"])["resent"], 2);
    let began = std::time::Instant::now();
    while closed(&broker).len() < 2 {
        assert!(
            began.elapsed() < MINUTE,
            "{}{}",
            worker.output(),
            second.output()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    worker.kill();
    second.kill();
    work(&app, true);
    assert_eq!(closed(&broker).len(), 2, "{:?}", closed(&broker));
    assert_eq!(json(&app, &["resend", "close", "--yes"])["resent"], 0);
    // `reset` takes away what would be read once more.
    app.run(&["reset", "--yes"], MINUTE).unwrap();
    let topics = app.run(&["topics"], MINUTE).unwrap().stdout();
    assert!(!topics.contains("-again"), "{topics}");
}

#[test]
fn a_letter_behind_a_hop_that_fails_again_still_names_where_its_record_was_read() {
    let broker = Broker::embedded();
    let (app, bootstrap) = (app(&broker), broker.bootstrap());
    client::create_topic(&bootstrap, "views", 3, &[]).unwrap();
    for (key, page, bad) in [("a", "x", false), ("b", "y", true), ("c", "z", true)] {
        let view = format!(r#"{{"page":"{page}","bad":{bad}}}"#);
        app.run(&["send", "views", &view, "--key", key], MINUTE)
            .unwrap();
    }
    let sources = || {
        let listed = json(&app, &["list", "view"]);
        let places = listed.as_array().unwrap().iter();
        let before = places.map(|row| {
            let shown = json(&app, &["show", "view", row["place"].as_str().unwrap()]);
            let page = shown["value"]["page"].as_str().unwrap().to_owned();
            assert_eq!(shown["source"]["topic"], "letters-view-page-repartition");
            (page, shown["source"]["before"].clone())
        });
        before.collect::<std::collections::BTreeMap<_, _>>()
    };
    work(&app, false);
    let first = sources();
    assert_eq!(first.len(), 2, "{first:?}");
    for before in first.values() {
        assert_eq!(before["topic"], "views", "{before}");
    }
    assert_eq!(json(&app, &["resend", "view", "--yes"])["resent"], 2);
    work(&app, false);
    assert_eq!(sources(), first, "of the views, not of the hop");
    assert_eq!(json(&app, &["resend", "view", "--yes"])["resent"], 2);
    work(&app, true);
    let seen = client::read_all(&bootstrap, "viewed", Isolation::Committed).unwrap();
    assert_eq!(seen.len(), 3, "each once");
}

#[test]
fn a_command_that_reads_a_topic_gets_its_tombstones() {
    let broker = Broker::embedded();
    let (app, bootstrap) = (app(&broker), broker.bootstrap());
    client::create_topic(&bootstrap, "notes", 1, &[("cleanup.policy", "compact")]).unwrap();
    let sender = client::Sender::new(&bootstrap).unwrap();
    for (key, value) in [("a", Some("hello")), ("b", Some("there")), ("a", None)] {
        let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
        sender.send("notes", key, value, Some(0)).unwrap();
    }
    sender.finish().unwrap();
    let printed = app.run(&["print-notes"], MINUTE).unwrap().stdout();
    assert_eq!(
        printed,
        "a: hello = hello\nb: there = there\na: deleted = deleted\n"
    );
}

// G10: `dead-letters resend` sends each letter once, also if it is killed and run again.
/// Killed in the middle, over and over: what was sent and what is kept of it are one transaction.
#[test]
fn a_resend_that_is_killed_sends_nothing_twice() {
    let broker = Broker::embedded();
    let (app, bootstrap) = (app(&broker), broker.bootstrap());
    client::create_topic(&bootstrap, "orders", 2, &[]).unwrap();
    let many: String = (0..2_500).map(|n| order(n % 10, n, true) + "\n").collect();
    let file = app.file("orders.jsonl", &many);
    app.run(&["send", "orders", "--file", &file, "--key", "k"], MINUTE)
        .unwrap();
    let before = client::end_offsets(&bootstrap, "orders", Isolation::Committed).unwrap();
    assert_eq!(before.iter().sum::<i64>(), 2_500);
    work(&app, false);
    let resend = ["dead-letters", "resend", "handle", "--yes"];
    let mut killed = 0;
    for after in [60, 90, 120, 150, 180, 210, 240, 270] {
        let mut process = app.start(&resend);
        std::thread::sleep(Duration::from_millis(after));
        killed += u32::from(process.ended().is_none());
        process.kill();
    }
    println!("killed {killed} times");
    assert!(killed > 0, "every one had ended before");
    app.run(&resend, MINUTE).unwrap();
    let records = client::read_all(&bootstrap, "orders", Isolation::Committed).unwrap();
    let mut amounts: Vec<i64> = records
        .iter()
        .map(|record| record.json()["amount"].as_i64().unwrap())
        .collect();
    amounts.sort_unstable();
    let twice: Vec<i64> = (0..2_500).flat_map(|n| [n, n]).collect();
    assert!(
        amounts == twice,
        "{} records instead of 5000",
        amounts.len()
    );
}

#[test]
fn help_says_what_there_is() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_letters"));
    let output = command.args(["dead-letters", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for word in ["list", "show", "resend", "Examples"] {
        assert!(help.contains(word), "{help}");
    }
}
