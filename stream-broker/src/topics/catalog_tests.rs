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

fn put(catalog: &Catalog, topic: &str, partition: i32) {
    use crate::log::batch::tests::{NOBODY, batch_of};
    let mut batch = batch_of(NOBODY, 0, &[(Some("k"), Some("v"))]);
    let partition = catalog.partition(topic, partition).unwrap();
    partition.append(&mut batch, 0).unwrap();
}

/// Every file below, with its bytes.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// Does not open, names the file and the next step, and leaves every file as it is.
fn refused(directory: &Path) -> String {
    let before = files(directory);
    let error = Catalog::open(directory, 4, 0).unwrap_err().to_string();
    assert!(before == files(directory), "changed: {error}");
    assert!(
        error.contains("topics.journal") && error.contains("move the data directory away"),
        "{error}"
    );
    error
}

#[test]
fn records_that_a_damaged_journal_does_not_name_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("topics.journal");
    let catalog = Catalog::open(directory.path(), 4, 0).unwrap();
    let alone = std::fs::read(&path).unwrap();
    catalog.create(&new_topic("a", 2), false, 0).unwrap();
    let ungrown = std::fs::read(&path).unwrap();
    catalog.grow("a", 3, false, 0).unwrap();
    put(&catalog, "a", 2);
    let id = catalog.get("a").unwrap().id.to_string();
    drop(catalog);
    let whole = std::fs::read(&path).unwrap();

    let garbage: Vec<u8> = (0..whole.len()).map(|ix| (ix * 37 % 251) as u8).collect();
    let mut middle = whole.clone();
    middle[alone.len() + 20] ^= 0xff;
    for bytes in [&garbage, &middle, &alone, &ungrown, &Vec::new()] {
        std::fs::write(&path, bytes).unwrap();
        refused(directory.path());
    }
    std::fs::write(&path, &alone).unwrap();
    assert!(refused(directory.path()).contains(&id));

    std::fs::write(&path, &whole).unwrap();
    let catalog = Catalog::open(directory.path(), 4, 0).unwrap();
    let last = catalog.partition("a", 2).unwrap();
    assert_eq!(last.log().high_watermark(), 1);
}

#[test]
fn a_kill_while_a_topic_is_made_grown_or_deleted_does_not_keep_the_broker_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("topics.journal");
    let open = || Catalog::open(directory.path(), 4, 0).unwrap();
    let catalog = open();
    catalog.create(&new_topic("a", 2), false, 0).unwrap();
    let logs = directory
        .path()
        .join("topics")
        .join(catalog.get("a").unwrap().id.to_string());
    // Its entry is written, its files are not all made.
    std::fs::remove_dir_all(logs.join("1")).unwrap();
    drop(catalog);
    let catalog = open();
    put(&catalog, "a", 1);
    let before = std::fs::read(&path).unwrap();
    catalog.grow("a", 3, false, 0).unwrap();
    drop(catalog);
    // The files are made, the entry is not written, or not wholly.
    let grown = std::fs::read(&path).unwrap();
    for cut in before.len()..grown.len() {
        std::fs::write(&path, &grown[..cut]).unwrap();
        assert_eq!(open().get("a").unwrap().partitions.len(), 2);
    }
    // The entry is written, the files are not removed.
    let copy = files(&logs);
    open().delete("a").unwrap();
    std::fs::create_dir_all(logs.join("1")).unwrap();
    let (name, bytes) = copy.iter().find(|(_, bytes)| !bytes.is_empty()).unwrap();
    std::fs::write(name, bytes).unwrap();
    assert!(open().all().is_empty());
    assert!(!logs.exists(), "the rest is removed");
}

#[test]
fn a_deleted_topic_whose_files_stay_is_still_named_after_the_journal_is_rewritten() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(directory.path(), 4, 0).unwrap();
    let (topic, _) = catalog.create(&new_topic("a", 1), false, 0).unwrap();
    let id = topic.unwrap().id;
    let logs = directory.path().join("topics").join(id.to_string());
    catalog.delete("a").unwrap();
    // As if they could not be removed.
    std::fs::create_dir_all(logs.join("0")).unwrap();
    catalog.undead.lock().unwrap().push(id);
    let big = BTreeMap::from([("retention.ms".to_owned(), "1".repeat(15))]);
    catalog.create(&new_topic("b", 1), false, 0).unwrap();
    let mut longest = 0;
    let length = || {
        std::fs::metadata(directory.path().join("topics.journal"))
            .unwrap()
            .len()
    };
    while length() >= longest {
        longest = length();
        catalog.configure("b", big.clone(), false).unwrap();
    }
    drop(catalog);
    let catalog = Catalog::open(directory.path(), 4, 0).unwrap();
    assert_eq!(catalog.all().len(), 1);
    assert!(!logs.exists());
}
