//! Agents that hold several events at once, while workers are killed, stopped and come back: every event's effect comes
//! once, and those of a key in their order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tests::broker::{Broker, SharedApache};
use tests::chaos::Chaos;
use tests::client::{self, Sender};
use tests::feed::{Feed, Outgoing};
use tests::progress::Progress;
use tests::voltage::App;

const WAYS: [&str; 3] = ["batches", "unacked", "beside"];
const PARTITIONS: i32 = 2;
const WITHIN: Duration = Duration::from_secs(120);

/// The n-th item of each way.
fn item(n: u64) -> Outgoing {
    Outgoing {
        key: format!("k{}", n % 8),
        value: format!(r#"{{"n":{n}}}"#),
        partition: Some((n % PARTITIONS as u64) as i32),
    }
}

fn faults(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_holding")), &bootstrap);
    let mut chaos = Chaos::new();
    for way in WAYS {
        client::create_topic(&bootstrap, &format!("in_{way}"), PARTITIONS, &[]).unwrap();
    }
    let numbers = (0..).flat_map(|n| WAYS.map(|way| (format!("in_{way}"), item(n))));
    let feed = Feed::start_all(&bootstrap, numbers, 900);
    let progress = WAYS.map(|way| Progress::of(&bootstrap, "holding", &format!("in_{way}")));
    let mut workers = [app.start(&app.impatient()), app.start(&app.impatient())];
    for round in 0..6 {
        progress.iter().for_each(Progress::wait_for_more);
        chaos.sleep(Duration::from_millis(1500));
        let victim = &mut workers[chaos.below(2) as usize];
        assert!(
            victim.ended().is_none(),
            "the worker ended by itself:\n{}",
            victim.output()
        );
        if round % 2 == 0 {
            victim.kill();
        } else {
            // What is held is requeued; nobody waits for it.
            victim.signal("TERM").unwrap();
            assert!(
                victim.wait(WITHIN).unwrap().success(),
                "{}",
                victim.output()
            );
        }
        *victim = app.start(&app.impatient());
    }
    assert!(feed.goes_on(), "the input ended before the faults");
    feed.stop().unwrap();
    let sender = Sender::new(&bootstrap).unwrap();
    for way in WAYS {
        for partition in 0..PARTITIONS {
            let (key, value) = (format!("last{partition}"), r#"{"n":0,"last":true}"#);
            let topic = format!("in_{way}");
            sender
                .send(
                    &topic,
                    Some(key.as_bytes()),
                    Some(value.as_bytes()),
                    Some(partition),
                )
                .unwrap();
        }
    }
    sender.finish().unwrap();
    drop(workers);
    app.run(&app.until_caught_up(), WITHIN).unwrap();
    for way in WAYS {
        let sent = by_key(&bootstrap, &format!("in_{way}"));
        let came = by_key(&bootstrap, &format!("out_{way}"));
        assert_eq!(came, sent, "{way}");
    }
}

/// The numbers of each key, in the order of the topic.
fn by_key(bootstrap: &str, topic: &str) -> BTreeMap<String, Vec<u64>> {
    let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for record in client::read_all(bootstrap, topic, client::Isolation::Committed).unwrap() {
        let n = record.json()["n"].as_u64().expect("a number");
        all.entry(record.key().to_owned()).or_default().push(n);
    }
    all
}

#[test]
fn held_events_under_faults_on_the_embedded_broker() {
    faults(&Broker::embedded());
}

#[test]
fn held_events_under_faults_on_apache_kafka() {
    let Some(broker) = SharedApache::take() else {
        return;
    };
    faults(&broker);
}
