//! `group_by` in a worker: through a repartition topic of a real broker.

use super::*;
use crate::table::NO_TIME;
use crate::task::watermark::{SourceState, Word, words_of};

/// A reading that says which meter it is of; the topic's keys do not.
#[record(timestamp = time)]
struct Reading {
    #[field(coerce)]
    time: DateTime<Utc>,
    meter: String,
    amount: i64,
}

/// The readings of a second, folded. A source partition may run ahead of the others by all there is: hence the grace.
#[table(key = String, name = "hop_seconds", tumbling = "1s", grace = "1h", idle = "300ms")]
#[derive(Clone, Default)]
struct Seconds {
    count: u64,
    sum: i64,
}

#[agent(topic = "worker_hops_in", name = "hop", group_by = meter)]
async fn collect(reading: Event<Reading>, mut seconds: Table<Seconds>) {
    seconds.update(reading.key(), |second| {
        second.count += 1;
        second.sum += reading.amount;
    });
}

#[agent(on_close = Seconds, name = "hop_total", sink = "worker_test_out")]
async fn total(second: Closed<Seconds>) -> Total {
    Total {
        start: second.start(),
        count: second.count,
        sum: second.sum,
    }
}

/// Sends readings `range`: ten a second, of seven meters, under keys that have nothing to do with them.
fn send(properties: &Properties, app: &str, range: std::ops::Range<i64>) {
    let sender = Sender::new(properties).unwrap();
    for number in range {
        let value = format!(
            r#"{{"time":{},"meter":"meter-{}","amount":{number}}}"#,
            1_000_000 + number * 100,
            number % 7
        );
        sender
            .send(Outgoing {
                topic: &format!("{app}-in"),
                partition: None,
                key: Some(format!("{}", number % 31).as_bytes()),
                value: Some(value.as_bytes()),
                timestamp: None,
                headers: None,
                slot: 0,
            })
            .unwrap();
    }
    assert_eq!(sender.flush(Duration::from_secs(20)).unwrap().failed, 0);
}

fn work(app: &str, settings: WorkerSettings) -> Ended {
    work_of(app, module_path!(), settings).unwrap()
}

#[test]
fn a_key_s_records_come_together_and_its_windows_close_by_idle_only_when_all_has_come_through() {
    let server = Server::start();
    let (properties, app, dir) = (
        server.properties(),
        unique("hop"),
        tempfile::tempdir().unwrap(),
    );
    make_input(&properties, &app, 3);
    send(&properties, &app, 0..5_000);
    // Two workers at once: what one reads, the other folds.
    let other = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| work(&app, settings(&properties, &other, 1)));
        assert_eq!(work(&app, settings(&properties, &dir, 1)).failed, []);
        assert_eq!(second.join().unwrap().failed, []);
    });
    // The last worker to stop has closed what the other may have left.
    assert_eq!(work(&app, settings(&properties, &dir, 2)).failed, []);
    let found = totals(&properties, &app);
    assert_eq!(added(&found), expected(0..5_000));
    // Seven meters, 500 seconds: each window of a meter is one row, whatever partitions its readings lay in.
    assert_eq!(found.len(), 7 * 500, "a window closed in parts");

    let admin = Admin::new(&properties, BROKER_TIMEOUT).unwrap();
    let topic = format!("{app}-hop-meter-repartition");
    assert_eq!(admin.topic(&topic).unwrap().unwrap().partitions, 3);
    let config = admin.config(&topic).unwrap();
    assert_eq!(config["cleanup.policy"], "delete");
    assert_eq!(config["retention.ms"], "-1");

    // More input, on an empty disk.
    send(&properties, &app, 5_000..6_000);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(work(&app, settings(&properties, &empty, 2)).failed, []);
    assert_eq!(added(&totals(&properties, &app)), expected(0..6_000));
}

#[test]
fn what_has_been_read_of_a_repartition_topic_is_taken_away() {
    let server = Server::start();
    let (properties, app, dir) = (
        server.properties(),
        unique("purged"),
        tempfile::tempdir().unwrap(),
    );
    make_input(&properties, &app, 1);
    let admin = Admin::new(&properties, BROKER_TIMEOUT).unwrap();
    let hop = [(Arc::from(format!("{app}-hop-meter-repartition")), 0)];
    for round in 0..2 {
        send(&properties, &app, round * 2_000..(round + 1) * 2_000);
        let mut settings = settings(&properties, &dir, 1);
        settings.intervals.commit_events = 500;
        settings.intervals.purge = Duration::ZERO;
        assert_eq!(work(&app, settings).failed, []);
        assert_eq!(
            added(&totals(&properties, &app)),
            expected(0..(round + 1) * 2_000)
        );
        let group = admin.committed(&app, &hop).unwrap()[0].offset.unwrap();
        let start = admin.starts(&hop).unwrap()[0];
        assert!(
            start > round * 2_000 && start <= group,
            "round {round}: the log begins at {start}, committed is {group}"
        );
    }
}

/// Returns what is said of the sources in a partition of a topic, each word with its offset.
fn words(properties: &Properties, topic: &str, partition: i32) -> Vec<(i64, Word)> {
    let admin = Admin::new(properties, BROKER_TIMEOUT).unwrap();
    let topic: Arc<str> = topic.into();
    let place = [(Arc::clone(&topic), partition)];
    let (start, end) = (
        admin.starts(&place).unwrap()[0],
        admin.ends(&place).unwrap()[0],
    );
    let reader = Reader::new(properties, "words", Isolation::Committed, &Wake::new()).unwrap();
    let queues = reader
        .add(&[TopicPartitionOffset::new(topic, partition, start)])
        .unwrap();
    let (mut batch, mut words, mut at) = (Batch::new(256), Vec::new(), start);
    let began = Instant::now();
    while at < end {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "at {at} of {end}"
        );
        reader.serve().unwrap();
        let got = queues[0].read(&mut batch, |fetched| match fetched {
            Fetched::Record(record) => {
                at = at.max(record.offset + 1);
                let first = record.headers.iter().next();
                let said = words_of(record.key, record.value, first).unwrap_or_default();
                words.extend(said.into_iter().map(|word| (record.offset, word)));
            }
            Fetched::End { offset } => at = at.max(offset),
            Fetched::Error { code, text } => panic!("{code}: {text}"),
        });
        if got == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    words
}

#[test]
fn a_static_member_that_is_back_says_that_its_sources_count_before_anything_else() {
    let server = Server::start();
    let (properties, app, dir) = (
        server.properties(),
        unique("static"),
        tempfile::tempdir().unwrap(),
    );
    make_input(&properties, &app, 1);
    send(&properties, &app, 0..100);
    let topic = format!("{app}-hop-meter-repartition");
    let settings = || WorkerSettings {
        instance_id: Some("one".to_owned()),
        ..settings(&properties, &dir, 1)
    };
    assert_eq!(work(&app, settings()).failed, []);
    let before = words(&properties, &topic, 0);
    let (end, last) = *before.last().unwrap();
    assert_eq!((last.time, last.state), (1_009_900, SourceState::Idle));
    assert_eq!(work(&app, settings()).failed, []);
    let after = words(&properties, &topic, 0);
    let mut news = after.iter().filter(|(offset, _)| *offset > end);
    let (_, first) = news.next().unwrap();
    // Not how far it is: that is known when its task has recovered.
    assert_eq!((first.time, first.state), (NO_TIME, SourceState::Counts));
    assert_eq!(after.last().unwrap().1.state, SourceState::Idle);
}

#[test]
fn a_worker_that_begins_at_the_end_loses_nothing_that_waits_in_a_repartition_topic() {
    let server = Server::start();
    let (properties, app, dir) = (
        server.properties(),
        unique("latest"),
        tempfile::tempdir().unwrap(),
    );
    make_input(&properties, &app, 1);
    let settings = || WorkerSettings {
        start_at_end: true,
        ..settings(&properties, &dir, 1)
    };
    send(&properties, &app, 0..100);
    assert_eq!(work(&app, settings()).failed, []);
    // One record is passed on by hand, as a worker does that dies before the group has read it.
    let value = r#"{"time":1000000,"meter":"meter-0","amount":7}"#;
    let sender = Sender::new(&properties).unwrap();
    sender
        .send(Outgoing {
            topic: &format!("{app}-hop-meter-repartition"),
            partition: None,
            key: Some(b"meter-0"),
            value: Some(value.as_bytes()),
            timestamp: Some(1_000_000),
            headers: None,
            slot: 0,
        })
        .unwrap();
    assert_eq!(sender.flush(Duration::from_secs(20)).unwrap().failed, 0);
    assert_eq!(work(&app, settings()).failed, []);
    assert_eq!(added(&totals(&properties, &app)), (1, 7));
}
