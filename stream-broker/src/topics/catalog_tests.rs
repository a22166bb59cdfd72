//! Tests of the catalog.

use super::*;

fn new_topic(name: &str, partitions: i32) -> NewTopic {
    NewTopic {
        name: name.into(),
        partitions,
        replication_factor: 1,
        config: BTreeMap::new(),
    }
}

#[test]
fn topics_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Catalog::open(directory.path(), 4, 0).unwrap();
    let catalog = open();
    let cluster = catalog.cluster;
    catalog.create(&new_topic("a", -1), false, 0).unwrap();
    catalog.create(&new_topic("b", 2), false, 0).unwrap();
    catalog.grow("b", 3, false, 0).unwrap();
    catalog
        .configure(
            "b",
            BTreeMap::from([("retention.ms".into(), "-1".into())]),
            false,
        )
        .unwrap();
    catalog.create(&new_topic("c", 1), false, 0).unwrap();
    catalog.delete("c").unwrap();
    let id = catalog.get("b").unwrap().id;
    drop(catalog);
    let catalog = open();
    let all: Vec<_> = catalog
        .all()
        .iter()
        .map(|it| (it.name.clone(), it.partitions.len()))
        .collect();
    assert_eq!(all, [("a".to_owned(), 4), ("b".to_owned(), 3)]);
    assert_eq!(
        (
            catalog.cluster,
            catalog.by_id(id).unwrap().config.log.retention_ms
        ),
        (cluster, -1)
    );
    assert_eq!(
        std::fs::read_dir(directory.path().join("topics"))
            .unwrap()
            .count(),
        2
    );
}

#[test]
fn what_cannot_be_created_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(directory.path(), 4, 0).unwrap();
    let code = |new: NewTopic| catalog.create(&new, false, 0).unwrap_err().code;
    catalog.create(&new_topic("a.b", 1), false, 0).unwrap();
    assert_eq!(code(new_topic("a.b", 1)), Code::TopicAlreadyExists);
    assert_eq!(code(new_topic("a_b", 1)), Code::InvalidTopicException);
    for name in ["", ".", "..", "a b", "ä", &"x".repeat(250)] {
        assert_eq!(
            code(new_topic(name, 1)),
            Code::InvalidTopicException,
            "{name}"
        );
    }
    for partitions in [0, -2, 10_001] {
        assert_eq!(code(new_topic("x", partitions)), Code::InvalidPartitions);
    }
    assert_eq!(
        code(NewTopic {
            replication_factor: 3,
            ..new_topic("x", 1)
        }),
        Code::InvalidReplicationFactor
    );
    let config = BTreeMap::from([("a".into(), "b".into())]);
    assert_eq!(
        code(NewTopic {
            config,
            ..new_topic("x", 1)
        }),
        Code::InvalidConfig
    );
    assert_eq!(
        catalog.grow("a.b", 1, false, 0).unwrap_err().code,
        Code::InvalidPartitions
    );
    assert_eq!(catalog.create(&new_topic("x", 1), true, 0).unwrap().1, 1);
    assert!(catalog.get("x").is_none());
}
