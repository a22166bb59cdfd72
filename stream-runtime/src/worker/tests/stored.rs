//! How far the store says it is.

use super::*;
use crate::store::{SledOptions, SledStore, Store};

#[record(timestamp = time)]
struct Step {
    #[field(coerce)]
    time: DateTime<Utc>,
    first: bool,
}

#[table(key = String, name = "stored_firsts")]
#[derive(Clone, Default)]
struct Firsts {
    n: u64,
}

#[agent(topic = "worker_stored_in", name = "stored")]
async fn count(step: Event<Step>, mut firsts: Table<Firsts>) {
    if step.first {
        firsts.update(step.key(), |row| row.n += 1);
    }
}

#[test]
fn the_store_says_how_far_it_is_when_only_time_has_moved() {
    let server = Server::start();
    let (properties, app, dir) = (
        server.properties(),
        unique("stored"),
        tempfile::tempdir().unwrap(),
    );
    make_input(&properties, &app, 1);
    let mut said = Vec::new();
    for life in 0..2 {
        let sender = Sender::new(&properties).unwrap();
        for number in 0..20 {
            let time = 1_000_000 + (life * 20 + number) * 1_000;
            let value = format!(r#"{{"time":{time},"first":{}}}"#, life + number == 0);
            sender
                .send(Outgoing {
                    topic: &format!("{app}-in"),
                    partition: None,
                    key: Some(b"k"),
                    value: Some(value.as_bytes()),
                    timestamp: None,
                    headers: None,
                    slot: 0,
                })
                .unwrap();
        }
        assert_eq!(sender.flush(Duration::from_secs(20)).unwrap().failed, 0);
        let mut settings = settings(&properties, &dir, 1);
        settings.intervals.commit_events = 1;
        let ended = work_of(&app, module_path!(), settings).unwrap();
        assert_eq!(ended.failed, []);
        let store = dir.path().join(&app).join("worker-0/store");
        let store = SledStore::open(&store, SledOptions::default()).unwrap();
        let tree = store.tree("stored_firsts", 0).unwrap();
        said.push(
            tree.checkpoint()
                .unwrap()
                .expect("a checkpoint")
                .changelog_offset,
        );
    }
    let topic: Arc<str> = format!("{app}-stored_firsts-changelog").into();
    let admin = Admin::new(&properties, BROKER_TIMEOUT).unwrap();
    let end = admin.ends(&[(topic, 0)]).unwrap()[0];
    assert!(said[1] > said[0] + 2, "{said:?}");
    // The marker of the last transaction is behind what was written in it.
    assert!((end - 1..=end).contains(&said[1]), "{said:?}, {end}");
}
