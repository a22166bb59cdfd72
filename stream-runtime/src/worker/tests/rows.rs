//! Rows over two runs of a worker: through the changelog of a real broker, onto an empty disk.

use std::net::IpAddr;
use std::sync::atomic::AtomicBool;

use super::*;

/// The program of tomorrow does not read every row of today.
static TOMORROW: AtomicBool = AtomicBool::new(false);

#[record]
#[derive(Clone, Debug, Default)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Last {
    #[default]
    Nothing,
    Login {
        from: IpAddr,
    },
    Buy {
        #[serde(deserialize_with = "cents")]
        cents: i64,
    },
    Sum {
        #[field(max = 1000)]
        cents: i64,
    },
}

fn cents<'de, D: serde::Deserializer<'de>>(d: D) -> std::result::Result<i64, D::Error> {
    let cents = <i64 as serde::Deserialize>::deserialize(d)?;
    if TOMORROW.load(Ordering::Relaxed) && cents == 7 {
        return Err(serde::de::Error::custom("seven cents are not a price"));
    }
    Ok(cents)
}

#[table(value = Last, name = "last_of", on_unreadable_row = "set_aside")]
struct LastOf;

#[agent(topic = "worker_rows_in", name = "rows_keep", sink = "worker_test_out")]
async fn keep(last: Last, Key(user): Key<String>, mut kept: Table<LastOf>) -> String {
    // What the handler makes of it, no reader has checked.
    let last = match last {
        Last::Buy { cents: 500 } => Last::Sum { cents: 5_000 },
        last => last,
    };
    match kept.insert(&user, last) {
        Some(before) => format!("{user}: {before:?}"),
        None => format!("{user}: none"),
    }
}

fn put(properties: &Properties, app: &str, records: &[(&str, &str)]) {
    let sender = Sender::new(properties).unwrap();
    for (key, value) in records {
        sender
            .send(Outgoing {
                topic: &format!("{app}-in"),
                partition: None,
                key: Some(key.as_bytes()),
                value: Some(value.as_bytes()),
                timestamp: None,
                headers: None,
                slot: 0,
            })
            .unwrap();
    }
    assert_eq!(sender.flush(Duration::from_secs(20)).unwrap().failed, 0);
}

/// Keys and values committed in a topic.
fn texts(properties: &Properties, topic: &str) -> Vec<(String, Vec<u8>)> {
    let admin = Admin::new(properties, BROKER_TIMEOUT).unwrap();
    let topic: Arc<str> = topic.into();
    let count = admin.topic(&topic).unwrap().unwrap().partitions;
    let partitions: Vec<_> = (0..count).map(|p| (Arc::clone(&topic), p)).collect();
    let ends = admin.ends(&partitions).unwrap();
    let reader = Reader::new(properties, "texts", Isolation::Committed, &Wake::new()).unwrap();
    let places: Vec<TopicPartitionOffset> = partitions
        .iter()
        .map(|(t, p)| TopicPartitionOffset::new(Arc::clone(t), *p, 0))
        .collect();
    let queues = reader.add(&places).unwrap();
    let (mut batch, mut found, start) = (Batch::new(256), Vec::new(), Instant::now());
    for (queue, end) in queues.iter().zip(ends) {
        let mut at = 0;
        while at < end {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{topic}: at {at}"
            );
            reader.serve().unwrap();
            queue.read(&mut batch, |fetched| match fetched {
                Fetched::Record(record) => {
                    let text = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
                    let key = String::from_utf8(text(record.key)).unwrap();
                    found.push((key, text(record.value)));
                    at = at.max(record.offset + 1);
                }
                Fetched::End { offset } => at = at.max(offset),
                Fetched::Error { code, text } => panic!("{code}: {text}"),
            });
        }
    }
    found.sort();
    found
}

fn said(properties: &Properties, app: &str) -> Vec<String> {
    let texts = texts(properties, &format!("{app}-out"));
    let mut said: Vec<String> = texts
        .into_iter()
        .map(|(_, text)| String::from_utf8(text).unwrap())
        .collect();
    said.sort();
    said
}

fn run_on_empty_disk(properties: &Properties, app: &str) {
    let dir = tempfile::tempdir().unwrap();
    let ended = work_of(app, module_path!(), settings(properties, &dir, 1)).unwrap();
    assert_eq!(ended.failed, []);
}

#[test]
fn a_tagged_row_with_an_address_is_there_after_the_restart_and_a_wrong_one_never_was() {
    let server = Server::start();
    let (properties, app) = (server.properties(), unique("rows"));
    make_input(&properties, &app, 1);
    let login = r#"{"kind":"login","from":"10.0.0.1"}"#;
    put(
        &properties,
        &app,
        &[
            ("a", login),
            ("b", r#"{"kind":"buy","cents":5}"#),
            ("c", r#"{"kind":"buy","cents":500}"#),
            ("d", r#"{"kind":"buy","cents":7}"#),
        ],
    );
    run_on_empty_disk(&properties, &app);
    assert_eq!(said(&properties, &app), ["a: none", "b: none", "d: none"]);
    let dead = texts(&properties, &format!("{app}-rows_keep-dead-letters"));
    assert_eq!(dead.len(), 1, "the event whose row breaks its rule");
    assert_eq!(dead[0].0, "c");

    TOMORROW.store(true, Ordering::Relaxed);
    let all = ["a", "b", "c", "d"].map(|key| (key, login));
    put(&properties, &app, &all);
    run_on_empty_disk(&properties, &app);
    assert_eq!(
        said(&properties, &app)[1..],
        [
            "a: none",
            "b: Buy { cents: 5 }",
            "b: none",
            "c: none",
            "d: none",
            "d: none"
        ]
    );
    assert_eq!(said(&properties, &app)[0], "a: Login { from: 10.0.0.1 }");
    let aside = texts(&properties, &format!("{app}-last_of-unreadable"));
    assert_eq!(aside.len(), 1, "the row of d, once");
    assert_eq!(aside[0].0, "d");
    let changelog = texts(&properties, &format!("{app}-last_of-changelog"));
    let written = |(_, row): &(String, Vec<u8>)| *row == aside[0].1;
    assert!(changelog.iter().any(written), "it lies there as it was");
}
