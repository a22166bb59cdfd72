//! Input that is wrong and handlers that fail: a clear message, nothing lost, and the other records go on.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use tests::broker::Broker;
use tests::client::{self, Committed, Isolation, Record, Sender};
use tests::leash::Leashed;
use tests::voltage::App;

const MINUTE: Duration = Duration::from_secs(60);
const DEAD: &str = "faulty-total-dead-letters";

fn app(broker: &Broker) -> App {
    App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_faulty")),
        &broker.bootstrap(),
    )
}

/// An order that does `act`; the amount is its number, so that every record is another one.
fn order(number: i64, act: &str) -> String {
    format!(r#"{{"at":"2026-01-01T00:00:00Z","amount":{number},"act":"{act}"}}"#)
}

/// Two partitions, good orders of `good-0` and `good-1` around the bad records in partition 0.
fn send(broker: &Broker, topic: &str, bad: &[(Option<&str>, Vec<u8>)]) {
    let bootstrap = broker.bootstrap();
    let settings = [("max.message.bytes", "3000000")];
    client::create_topic(&bootstrap, topic, 2, &settings).unwrap();
    let sender = Sender::new(&bootstrap).unwrap();
    for (number, (key, value)) in (1..).zip(bad) {
        for partition in 0..2 {
            let key = format!("good-{partition}");
            sender
                .send(
                    topic,
                    Some(key.as_bytes()),
                    Some(order(number, "").as_bytes()),
                    Some(partition),
                )
                .unwrap();
        }
        sender
            .send(topic, key.map(str::as_bytes), Some(value), Some(0))
            .unwrap();
    }
    for partition in 0..2 {
        let key = format!("good-{partition}");
        sender
            .send(
                topic,
                Some(key.as_bytes()),
                Some(order(1000, "").as_bytes()),
                Some(partition),
            )
            .unwrap();
    }
    sender.finish().unwrap();
}

/// The last total of a key: (count, sum).
fn last_total(broker: &Broker, topic: &str, key: &str) -> Option<(i64, i64)> {
    let records = client::read_all(&broker.bootstrap(), topic, Isolation::Committed).unwrap();
    let last = records.iter().rfind(|record| record.key() == key)?.json();
    Some((
        last["count"].as_i64().unwrap(),
        last["sum"].as_i64().unwrap(),
    ))
}

/// Runs `bad` through the app and returns its dead letters, one for each, with what the worker printed.
fn dead_letters(bad: &[(Option<&str>, Vec<u8>)]) -> (Vec<Record>, Leashed) {
    let broker = Broker::embedded();
    send(&broker, "orders", bad);
    let worker = app(&broker)
        .run(&["worker", "--until-caught-up"], MINUTE)
        .unwrap();
    let dead = client::read_all(&broker.bootstrap(), DEAD, Isolation::Committed).unwrap();
    assert_eq!(dead.len(), bad.len(), "{}", worker.output());
    for (record, (key, value)) in dead.iter().zip(bad) {
        let error = record.header("error");
        assert!(
            record.bytes() == value,
            "{} bytes are not the {} sent: {error:?}",
            record.bytes().len(),
            value.len()
        );
        assert_eq!(record.key.as_deref(), key.map(str::as_bytes), "unchanged");
        assert_eq!(record.header("source.topic"), Some("orders"));
        assert_eq!(record.header("source.partition"), Some("0"));
        assert!(record.header("source.offset").is_some());
    }
    // The good ones before, between and after were all handled once, and what failed left no trace in them.
    let bad = bad.len() as i64;
    for key in ["good-0", "good-1"] {
        let expected = (bad + 1, bad * (bad + 1) / 2 + 1000);
        assert_eq!(last_total(&broker, "totals", key), Some(expected), "{key}");
    }
    (dead, worker)
}

#[test]
fn bad_records_become_dead_letters() {
    let long = format!(
        r#"{{"at":"2026-01-01T00:00:00Z","amount":0,"padding":"{}"}}"#,
        "x".repeat(2_000_000)
    );
    let bad = [
        (
            "is not JSON",
            Some("bad"),
            b"no json".to_vec(),
            "line 1 column",
        ),
        (
            "is not text",
            Some("bad"),
            vec![0xff, 0xfe, 0],
            "line 1 column",
        ),
        (
            "misses a field",
            Some("bad"),
            br#"{"at":"2026-01-01T00:00:00Z"}"#.to_vec(),
            "amount",
        ),
        (
            "breaks a rule",
            Some("bad"),
            order(1001, "").into_bytes(),
            "1000",
        ),
        ("has no key", None, order(1, "").into_bytes(), "key"),
        (
            "is stamped in 2100",
            Some("bad"),
            br#"{"at":"2100-01-01T00:00:00Z","amount":1}"#.to_vec(),
            "2100",
        ),
        (
            "has a time that is none",
            Some("bad"),
            br#"{"at":"yesterday","amount":1}"#.to_vec(),
            "at",
        ),
        (
            "is 2 MB long and breaks a rule",
            Some("bad"),
            long.into_bytes(),
            "amount",
        ),
    ];
    let records: Vec<_> = bad
        .iter()
        .map(|(_, key, value, _)| (*key, value.clone()))
        .collect();
    let (dead, worker) = dead_letters(&records);
    for (record, (what, _, _, named)) in dead.iter().zip(bad) {
        let error = record.header("error").unwrap();
        assert!(error.contains(named), "a record that {what}: {error}");
        assert_eq!(
            record.header("attempts"),
            Some("1"),
            "never tried again: it {what}"
        );
    }
    let output = worker.output();
    assert!(
        output.contains("orders[0]@1"),
        "the log names the place:\n{output}"
    );
    assert!(
        !output.contains(&"x".repeat(1000)),
        "the log shows a preview, not two megabytes"
    );
}

#[test]
fn handlers_that_fail_are_tried_again_then_let_go() {
    let acts = [
        ("fail", "told to fail", "3"),
        ("panic", "told to panic", "3"),
        ("hang", "1s", "3"),
        ("reject", "told to reject", "1"),
    ];
    let records: Vec<_> = acts
        .iter()
        .map(|(act, _, _)| (Some("bad"), order(1, act).into_bytes()))
        .collect();
    let (dead, worker) = dead_letters(&records);
    for (record, (act, named, attempts)) in dead.iter().zip(acts) {
        let error = record.header("error").unwrap();
        assert!(
            error.contains(named) || act == "hang" && error.contains("time"),
            "{act}: {error}"
        );
        assert_eq!(record.header("attempts"), Some(attempts), "{act}");
    }
    assert!(
        worker.output().contains("total"),
        "the log names the agent:\n{}",
        worker.output()
    );
}

/// Long records are handled like short ones.
#[test]
fn a_good_record_of_two_megabytes_is_handled() {
    let broker = Broker::embedded();
    send(&broker, "orders", &[]);
    let sender = Sender::new(&broker.bootstrap()).unwrap();
    let padding = "x".repeat(2_000_000);
    let long = format!(r#"{{"at":"2026-01-01T00:00:00Z","amount":7,"padding":"{padding}"}}"#);
    sender
        .send("orders", Some(b"long"), Some(long.as_bytes()), Some(1))
        .unwrap();
    sender.finish().unwrap();
    app(&broker)
        .run(&["worker", "--until-caught-up"], MINUTE)
        .unwrap();
    let totals = client::read_all(&broker.bootstrap(), "totals", Isolation::Committed).unwrap();
    let long = totals
        .iter()
        .find(|record| record.key() == "long")
        .expect("a total")
        .json();
    assert_eq!(long["length"], 2_000_000);
    assert_eq!(last_total(&broker, "totals", "good-1"), Some((1, 1000)));
}

/// Waits until `done`, and fails with what the worker printed.
fn wait_until(what: &str, worker: &Leashed, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(
            Instant::now() < until,
            "{what} does not come:\n{}",
            worker.output()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A handler that never returns, without a timeout: its partition stands, the other goes on, the log names it, the
/// worker can be stopped, and the record is still there for the next one.
#[test]
fn a_handler_that_never_returns_holds_only_its_partition() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    send(
        &broker,
        "strict_orders",
        &[(Some("bad"), order(1, "hang").into_bytes())],
    );
    let app = app(&broker);
    let mut worker = app.start(&["worker", "--threads", "1"]);
    wait_until("the other partition", &worker, || {
        last_total(&broker, "strict_totals", "good-1") == Some((2, 1001))
    });
    // good-0, then the one that hangs: its offset is where the partition stands.
    let committed = Committed::of(&bootstrap, "faulty", "strict_orders").unwrap();
    wait_until("the commit", &worker, || {
        committed.offsets().unwrap() == [Some(1), Some(2)]
    });
    worker.line_with("strict", Duration::from_secs(20)).unwrap();
    worker.signal("TERM").unwrap();
    assert!(
        worker.wait(Duration::from_secs(30)).unwrap().success(),
        "{}",
        worker.output()
    );
    assert_eq!(
        committed.offsets().unwrap(),
        [Some(1), Some(2)],
        "the current record is not lost"
    );
    assert_eq!(last_total(&broker, "strict_totals", "good-0"), Some((1, 1)));
}

/// A handler that blocks its thread for longer than 5 s is named in the log; afterwards all goes on.
#[test]
fn a_handler_that_blocks_its_thread_is_named() {
    let broker = Broker::embedded();
    send(
        &broker,
        "strict_orders",
        &[(Some("bad"), order(1, "block").into_bytes())],
    );
    let worker = app(&broker)
        .run(&["worker", "--threads", "1", "--until-caught-up"], MINUTE)
        .unwrap();
    assert_eq!(last_total(&broker, "strict_totals", "bad"), Some((1, 1)));
    assert_eq!(
        last_total(&broker, "strict_totals", "good-0"),
        Some((2, 1001))
    );
    let output = worker.output();
    assert!(
        output
            .lines()
            .any(|line| line.contains("strict") && line.contains("block")),
        "{output}"
    );
}

/// `on_error = "stop"`: the worker ends with exit code 1 and a message that says where and why; what was acknowledged
/// before is committed, the record is still there for the next worker.
#[test]
fn on_error_stop_ends_the_worker_and_keeps_the_record() {
    for (bad, named) in [
        (order(1, "fail"), "told to fail"),
        ("no json".to_owned(), "line 1 column 2"),
    ] {
        let broker = Broker::embedded();
        send(&broker, "strict_orders", &[(Some("bad"), bad.into_bytes())]);
        let app = app(&broker);
        let mut worker = app.start(&["worker"]);
        let status = worker.wait(MINUTE).unwrap();
        let output = worker.output();
        assert_eq!(status.code(), Some(1), "{output}");
        assert!(
            output.contains("strict_orders[0]@1") && output.contains(named),
            "{output}"
        );
        assert!(output.contains("error: "), "the last word: {output}");
        assert_eq!(
            last_total(&broker, "strict_totals", "good-0"),
            Some((1, 1)),
            "what came before is committed"
        );
        let committed = Committed::of(&broker.bootstrap(), "faulty", "strict_orders").unwrap();
        assert_eq!(
            committed.offsets().unwrap()[0],
            Some(1),
            "the bad record is not lost"
        );
    }
}

/// `.fatal()?` stops the worker, at once and with a message; nothing of the event is kept.
#[test]
fn a_fatal_failure_stops_the_worker() {
    let broker = Broker::embedded();
    send(
        &broker,
        "orders",
        &[(Some("bad"), order(1, "fatal").into_bytes())],
    );
    let app = app(&broker);
    let output = app.fails(&app.command(&["worker"]), MINUTE).unwrap();
    assert!(output.contains("told to stop everything"), "{output}");
    let committed = Committed::of(&broker.bootstrap(), "faulty", "orders").unwrap();
    assert!(
        committed.offsets().unwrap()[0] <= Some(1),
        "the current record is not lost"
    );
    assert_eq!(last_total(&broker, "totals", "bad"), None);
}

/// A handler that awaits holds its partition, not its thread: twenty naps of 300 ms in each of two partitions of one
/// thread take half as long as one after the other.
#[test]
fn a_handler_that_waits_lets_the_other_partition_go_on() {
    let broker = Broker::embedded();
    client::create_topic(&broker.bootstrap(), "orders", 2, &[]).unwrap();
    let sender = Sender::new(&broker.bootstrap()).unwrap();
    for number in 1..=20 {
        for partition in 0..2 {
            let key = format!("good-{partition}");
            sender
                .send(
                    "orders",
                    Some(key.as_bytes()),
                    Some(order(number, "nap").as_bytes()),
                    Some(partition),
                )
                .unwrap();
        }
    }
    sender.finish().unwrap();
    let start = Instant::now();
    app(&broker)
        .run(&["worker", "--threads", "1", "--until-caught-up"], MINUTE)
        .unwrap();
    let took = start.elapsed();
    assert!(
        took < Duration::from_millis(40 * 300 * 4 / 5),
        "one after the other: {took:?}"
    );
    for key in ["good-0", "good-1"] {
        assert_eq!(last_total(&broker, "totals", key), Some((20, 210)));
    }
}
