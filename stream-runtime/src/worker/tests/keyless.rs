//! Records that are grouped by no key, in a worker.

use super::*;
use crate::key::partition_of_none;

#[record]
struct View {
    country: Option<String>,
}

#[table(key = Option<String>, name = "keyless_views")]
#[derive(Clone, Default)]
struct ByCountry {
    n: u64,
}

#[agent(topic = "worker_keyless_in", name = "keyless", group_by = country)]
async fn count(view: Event<View, Option<String>>, mut views: Table<ByCountry>) {
    views.update(view.key(), |row| row.n += 1);
}

#[test]
fn what_is_grouped_by_no_key_lies_in_one_partition() {
    let server = Server::start();
    let (properties, app, dir) = (
        server.properties(),
        unique("keyless"),
        tempfile::tempdir().unwrap(),
    );
    make_input(&properties, &app, 3);
    let sender = Sender::new(&properties).unwrap();
    for number in 0..24 {
        sender
            .send(Outgoing {
                topic: &format!("{app}-in"),
                partition: Some(number % 3),
                key: None,
                value: Some(br#"{"country":null}"#),
                timestamp: None,
                headers: None,
                slot: 0,
            })
            .unwrap();
    }
    assert_eq!(sender.flush(Duration::from_secs(20)).unwrap().failed, 0);
    for exactly_once in [true, false] {
        let settings = WorkerSettings {
            exactly_once,
            ..settings(&properties, &dir, 1)
        };
        let ended = work_of(&app, module_path!(), settings).unwrap();
        assert_eq!(ended.failed, []);
    }
    let topic: Arc<str> = Arc::from(format!("{app}-keyless-country-repartition"));
    let places: Vec<_> = (0..3)
        .map(|partition| (Arc::clone(&topic), partition))
        .collect();
    let admin = Admin::new(&properties, BROKER_TIMEOUT).unwrap();
    let ends = admin.ends(&places).unwrap();
    let reader = Reader::new(&properties, "keyless", Isolation::Committed, &Wake::new()).unwrap();
    let places = places
        .iter()
        .map(|(topic, at)| TopicPartitionOffset::new(Arc::clone(topic), *at, 0));
    let queues = reader.add(&places.collect::<Vec<_>>()).unwrap();
    let (mut batch, mut found) = (Batch::new(64), [0; 3]);
    for (at, queue) in queues.iter().enumerate() {
        let mut read = 0;
        while read < ends[at] {
            reader.serve().unwrap();
            queue.read(&mut batch, |fetched| match fetched {
                Fetched::Record(record) => {
                    // Watermarks go everywhere.
                    found[at] += usize::from(record.value.is_some());
                    read = record.offset + 1;
                }
                Fetched::End { offset } => read = read.max(offset),
                Fetched::Error { code, text } => panic!("{code}: {text}"),
            });
        }
    }
    let mut expected = [0; 3];
    expected[partition_of_none(3) as usize] = 24;
    assert_eq!(found, expected);
}
