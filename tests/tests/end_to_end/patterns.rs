//! Topics that are found by a pattern, in real workers: at start, and while they run.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kafka_protocol::messages::ApiKey;
use tests::between::Between;
use tests::broker::Broker;
use tests::client;
use tests::voltage::{App, IMPATIENT};

const WITHIN: Duration = Duration::from_secs(60);

fn app(broker: &Broker) -> App {
    App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_patterns")),
        &broker.bootstrap(),
    )
}

fn send(app: &App, topic: &str, text: &str, key: &str) {
    app.run(&["send", topic, text, "--key", key], WITHIN)
        .unwrap();
}

/// What was counted, sorted.
fn counted(app: &App) -> Vec<String> {
    let lines = app.tail("p_counted").unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut all: Vec<String> = lines.iter().map(|line| text(&line.value)).collect();
    all.sort();
    all
}

fn until_counted(app: &App, expected: &[&str], log: impl Fn() -> String) {
    let start = Instant::now();
    while counted(app) != expected {
        assert!(
            start.elapsed() < WITHIN,
            "{:?} is not {expected:?}\n{}",
            counted(app),
            log()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn topics_that_match_are_waited_for_read_and_taken_in_while_workers_run() {
    let broker = Broker::embedded();
    let (app, bootstrap) = (app(&broker), broker.bootstrap());
    let make = |topic: &str, partitions| {
        client::create_topic(&bootstrap, topic, partitions, &[]).unwrap();
    };
    let quick = format!("{IMPATIENT}topic.metadata.refresh.interval.ms=500\n");
    let config = app.file("quick.properties", &quick);
    let args = ["worker", "--config", &config, "--threads", "2"];
    let mut first = app.start(&args);
    let line = first
        .line_with("waiting for a topic whose whole name matches", WITHIN)
        .unwrap();
    assert!(
        line.contains("p_orders") && line.contains("`count`"),
        "{line}"
    );
    make("old.p_orders.eu", 4);
    make("p_orders.eu", 4);
    first.line_with("running", WITHIN).unwrap();
    let second = app.start(&args);
    send(&app, "p_orders.eu", "eu", "a");
    until_counted(&app, &["eu 1"], || first.output());

    // Both workers take it in, whichever looks first; the rows are those of before.
    make("p_orders.us", 4);
    for key in ["a", "b", "c", "d", "e", "f"] {
        send(&app, "p_orders.us", "us", key);
    }
    let expected = ["eu 1", "us 1", "us 1", "us 1", "us 1", "us 1", "us 2"];
    until_counted(&app, &expected, || first.output() + &second.output());
    for worker in [&first, &second] {
        let log = worker.output();
        assert!(log.contains("a new topic matches"), "{log}");
    }

    // One that does not fit is said, and disturbs nobody.
    make("p_orders.wrong", 3);
    let line = first.line_with("is not read", WITHIN).unwrap();
    assert!(
        line.contains("p_orders.wrong") && line.contains("4"),
        "{line}"
    );
    send(&app, "p_orders.eu", "eu", "a");
    until_counted(
        &app,
        &[&expected[..1], &["eu 3"], &expected[1..]].concat(),
        || first.output() + &second.output(),
    );

    // One that goes away is said, and the others are read on.
    client::delete_topics(&bootstrap, &["p_orders.us"]).unwrap();
    first
        .line_with("the topic is gone, and no longer read", WITHIN)
        .unwrap();
    send(&app, "p_orders.eu", "eu", "a");
    until_counted(
        &app,
        &[&expected[..1], &["eu 3", "eu 4"], &expected[1..]].concat(),
        || first.output() + &second.output(),
    );

    for mut worker in [first, second] {
        worker.signal("TERM").unwrap();
        assert!(
            worker.wait(WITHIN).unwrap().success(),
            "{}",
            worker.output()
        );
    }
    // The next start refuses what does not fit.
    let command = app.command(&["worker", "--until-caught-up"]);
    let text = app.fails(&command, WITHIN).unwrap();
    assert!(text.contains("p_orders.wrong"), "{text}");
}

/// Found by a slow machine: a worker that was to start again while its threads still waited for their coordinators took
/// that for its end, and ended with exit code 0.
#[test]
fn a_worker_that_is_to_start_again_while_its_threads_start_does_not_end() {
    const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let wire = Between::to(&bootstrap).unwrap();
    let app = App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_patterns")),
        &wire.bootstrap(),
    );
    client::create_topic(&bootstrap, "p_orders.eu", 4, &[]).unwrap();
    wire.refuse(&[ApiKey::InitProducerId], COORDINATOR_LOAD_IN_PROGRESS);
    let quick = format!("{IMPATIENT}topic.metadata.refresh.interval.ms=500\n");
    let config = app.file("quick.properties", &quick);
    let mut worker = app.start(&["worker", "--config", &config, "--threads", "2"]);
    let start = Instant::now();
    while wire.refused().is_empty() {
        assert!(start.elapsed() < WITHIN, "{}", worker.output());
        std::thread::sleep(Duration::from_millis(20));
    }
    client::create_topic(&bootstrap, "p_orders.us", 4, &[]).unwrap();
    worker
        .line_with("starting again with the topics", WITHIN)
        .unwrap();
    // Long enough for both threads to have seen that they are to end.
    std::thread::sleep(Duration::from_secs(2));
    assert!(worker.ended().is_none(), "{}", worker.output());
    wire.pass();
    send(&app, "p_orders.eu", "eu", "a");
    send(&app, "p_orders.us", "us", "b");
    until_counted(&app, &["eu 1", "us 1"], || worker.output());
    worker.signal("TERM").unwrap();
    let status = worker.wait(WITHIN).unwrap();
    assert!(status.success(), "{}", worker.output());
}

#[test]
fn plan_and_describe_show_the_pattern_and_what_it_matches() {
    let broker = Broker::embedded();
    let app = app(&broker);
    let plan = app.run(&["plan"], WITHIN).unwrap().output();
    assert!(
        plan.contains(r"/p_orders\..+/ (no topic yet) -> count"),
        "{plan}"
    );
    client::create_topic(&broker.bootstrap(), "p_orders.eu", 1, &[]).unwrap();
    let plan = app.run(&["plan"], WITHIN).unwrap().output();
    assert!(
        plan.contains(r"/p_orders\..+/ (p_orders.eu) -> count"),
        "{plan}"
    );
    let text = app.run(&["describe", "count"], WITHIN).unwrap().output();
    assert!(
        text.contains(r"p_orders\..+") && text.contains("p_orders.eu"),
        "{text}"
    );
}
