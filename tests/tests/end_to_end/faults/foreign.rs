//! Consumers that are not workers and have the app's group id.

use super::*;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::process::Command;
use tests::broker::SharedApache;
use tests::client::{Isolation, config};
use tests::feed::{Feed, Outgoing};
use tests::http;

const READINGS: &str = "bench_readings";
const HIGH: &str = "bench_high";
const PARTITIONS: i32 = 4;
const NAME: &str = "joined";

/// An app without tables: nothing but the text beside its offsets says which of them are its own.
fn stateless(broker: &Broker) -> App {
    App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_stateless_app")),
        &broker.bootstrap(),
    )
}

fn worker(app: &App, more: &[&str]) -> Leashed {
    let args = [&["worker", "--web-port", "0", "--threads", "1"], more].concat();
    let mut command: Command = app.command(&args);
    command.env("BENCH_APP", NAME);
    app.start_command(&command)
}

/// One reading in each partition.
fn readings(broker: &Broker, number: i64) {
    let reading = move |partition: i32| Outgoing {
        key: format!("{partition}"),
        value: format!(
            r#"{{"datetime":"2026-01-01T00:00:{number:02}Z","voltage":{}}}"#,
            241 + number
        ),
        partition: Some(partition),
    };
    Feed::start(
        &broker.bootstrap(),
        READINGS,
        (0..PARTITIONS).map(reading),
        u64::MAX,
    )
    .finish()
    .unwrap();
}

/// What came of each number, by partition of the input.
fn came(broker: &Broker) -> Vec<(String, i64)> {
    let all = client::read_all(&broker.bootstrap(), HIGH, Isolation::Committed).unwrap();
    let above = |record: &client::Record| record.json()["above"].as_f64().unwrap() as i64 - 1;
    let mut came: Vec<_> = all.iter().map(|r| (r.key().to_owned(), above(r))).collect();
    came.sort();
    came
}

/// A consumer with the app's group id takes partitions, commits, and goes: what it had is nobody's result. The worker
/// is not ready while it is there and afterwards, names partition, offset and cure, and does not go on behind it
/// unasked.
fn a_consumer_with_the_group_id_of_an_app_is_noticed(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    let app = stateless(broker);
    for topic in [READINGS, HIGH] {
        client::create_topic(&bootstrap, topic, PARTITIONS, &[]).unwrap();
    }
    readings(broker, 0);
    let mut first = worker(&app, &[]);
    let address = http::address_of(&mut first).unwrap();
    wait_until("the first readings", MINUTE, || came(broker).len() == 4);

    let stranger: BaseConsumer = config(&bootstrap)
        .set("group.id", NAME)
        .set("auto.commit.interval.ms", "200")
        .create()
        .unwrap();
    stranger.subscribe(&[READINGS]).unwrap();
    let mut taken = Vec::new();
    let mut number = 0;
    wait_until("a record for the stranger", MINUTE, || {
        if stranger.assignment().is_ok_and(|list| list.count() > 0) && number == 0 {
            number = 1;
            readings(broker, number);
        }
        if let Some(record) = stranger.poll(Duration::from_millis(100)) {
            let record = record.unwrap();
            taken.push(rdkafka::Message::partition(&record));
        }
        taken.len() == 2
    });
    taken.sort_unstable();
    let told = |answer: &http::Answer| {
        answer.status == 503
            && answer.body.contains("not a worker's of this app")
            && answer.body.contains("`joined`")
    };
    wait_until("readiness to end", MINUTE, || {
        let _ = stranger.poll(Duration::from_millis(100));
        told(&http::get(&address, "/ready").unwrap())
    });
    drop(stranger);
    // Its partitions come back, and stop at the offsets that it has committed.
    let failed = |body: &str| {
        let stopped = |partition: &&i32| {
            let place = format!("{READINGS}[{partition}]: failed: ");
            body.lines()
                .any(|line| line.contains(&place) && line.contains("offset 2 is not a worker's"))
        };
        taken.iter().filter(stopped).count() == 2
    };
    wait_until("its partitions to come back", MINUTE, || {
        let answer = http::get(&address, "/ready").unwrap();
        answer.status == 503 && failed(&answer.body)
    });
    readings(broker, 2);
    let own: Vec<i32> = (0..PARTITIONS).filter(|p| !taken.contains(p)).collect();
    let mut expected: Vec<(String, i64)> = (0..PARTITIONS).map(|p| (p.to_string(), 0)).collect();
    for number in [1, 2] {
        expected.extend(own.iter().map(|p| (p.to_string(), number)));
    }
    expected.sort();
    wait_until("the others to go on", MINUTE, || came(broker) == expected);
    first.signal("TERM").unwrap();
    let status = first.wait(MINUTE).unwrap();
    assert_eq!(status.code(), Some(1), "{}", first.output());
    names(
        &first.output(),
        &["ERROR", "--on-foreign-commit take", "`reset`"],
    );

    // Another start asks again; with the choice of a person it goes on where the stranger was.
    let mut again = worker(&app, &["--until-caught-up"]);
    assert_eq!(again.wait(MINUTE).unwrap().code(), Some(1));
    let mut take = worker(&app, &["--until-caught-up", "--on-foreign-commit", "take"]);
    assert!(take.wait(MINUTE).unwrap().success(), "{}", take.output());
    expected.extend(taken.iter().map(|p| (p.to_string(), 2)));
    expected.sort();
    assert_eq!(came(broker), expected);
    // From then on the offsets are the app's again.
    let mut last = worker(&app, &["--until-caught-up"]);
    assert!(last.wait(MINUTE).unwrap().success(), "{}", last.output());
}

#[test]
fn a_consumer_with_the_group_id_of_an_app_is_noticed_on_the_embedded_broker() {
    a_consumer_with_the_group_id_of_an_app_is_noticed(&Broker::embedded());
}

#[test]
fn a_consumer_with_the_group_id_of_an_app_is_noticed_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        a_consumer_with_the_group_id_of_an_app_is_noticed(&broker);
    }
}

/// Offsets that are there before any worker's are taken, once, and said: an app of before, or a place that somebody
/// chose.
#[test]
fn offsets_of_before_the_first_start_are_taken_and_committed_again_as_the_app_s() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = stateless(&broker);
    for topic in [READINGS, HIGH] {
        client::create_topic(&bootstrap, topic, PARTITIONS, &[]).unwrap();
    }
    readings(&broker, 0);
    for partition in 0..2 {
        client::set_committed(&bootstrap, NAME, READINGS, partition, 1).unwrap();
    }
    let mut first = worker(&app, &["--until-caught-up"]);
    assert!(first.wait(MINUTE).unwrap().success(), "{}", first.output());
    names(&first.output(), &["WARN", "it is taken once"]);
    let expected = [("2".to_owned(), 0), ("3".to_owned(), 0)];
    assert_eq!(came(&broker), expected);
    let mut second = worker(&app, &["--until-caught-up"]);
    assert!(second.wait(MINUTE).unwrap().success());
    assert!(
        !second.output().contains("taken once"),
        "{}",
        second.output()
    );
}
