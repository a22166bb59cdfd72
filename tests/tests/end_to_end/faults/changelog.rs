//! Changelogs and stores that do not belong together.

use super::*;
use std::path::Path;
use tests::broker::SharedApache;
use tests::client::Isolation;

/// The changelog deleted by hand: the group's offsets know it, so it is not taken for a new table. The store is kept.
#[test]
fn a_changelog_deleted_by_hand_is_refused_and_the_store_kept() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = app(&broker);
    counted(&broker, &app);
    client::delete_topics(&bootstrap, &[CHANGELOG]).unwrap();
    orders::send_one(&bootstrap, "0-0", 7, 0);
    let store = app.dir().join(".stream/faulty/worker-0/store");
    assert!(store.exists());
    let output = ends_badly(&app);
    names(
        &output,
        &["orders[0]", "table `orders`", "gone or empty", "reset"],
    );
    assert!(store.exists(), "the store is kept");
    assert!(
        has_total(&broker, "0-0", (20, 210)),
        "nothing is counted on from nothing"
    );
    // Again, and not taken for a new one then either.
    names(&ends_badly(&app), &["gone or empty"]);
    orders::send_one(&bootstrap, "1-0", 7, 1);
    is_cured_by_reset(&broker, &app, (21, 217));
}

/// The same on an empty disk: nothing there says it, but the offsets do.
#[test]
fn a_changelog_deleted_by_hand_is_missed_on_an_empty_disk_too() {
    let broker = Broker::embedded();
    let app = app(&broker);
    counted(&broker, &app);
    client::delete_topics(&broker.bootstrap(), &[CHANGELOG]).unwrap();
    orders::send_one(&broker.bootstrap(), "0-0", 7, 0);
    std::fs::remove_dir_all(app.dir().join(".stream")).unwrap();
    names(&ends_badly(&app), &["gone or empty", "reset"]);
    assert!(has_total(&broker, "0-0", (20, 210)));
}

/// A worker with another data directory.
fn beside(app: &App, dir: &Path) -> Vec<String> {
    let mut args = app.until_caught_up();
    args.extend(["--data-dir".into(), dir.display().to_string()]);
    args
}

/// Reset and counted again from elsewhere: a store of the changelog that was there before is noticed and rebuilt.
#[test]
fn a_store_of_a_changelog_that_was_made_again_is_rebuilt() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = app(&broker);
    let other = app.dir().join("other");
    counted(&broker, &app);
    let reset = ["reset", "--yes", "--data-dir", other.to_str().unwrap()];
    app.run(&reset, MINUTE).unwrap();
    // More than before, so that the old store's offset is within the new changelog.
    orders::send(&bootstrap, orders::records(2, 1, 60));
    app.run(&beside(&app, &other), MINUTE).unwrap();
    assert!(has_total(&broker, "0-0", (80, 2040)));
    orders::send_one(&bootstrap, "0-0", 7, 0);
    let worker = app.run(&app.until_caught_up(), MINUTE).unwrap();
    names(
        &worker.output(),
        &["rebuilt from the changelog", "another changelog"],
    );
    assert!(has_total(&broker, "0-0", (81, 2047)));
}

/// A key that was forgotten, and the changelog has forgotten that it was: a store from before that still has it, is too
/// old to be trusted, and is rebuilt.
#[test]
fn a_store_from_before_a_compaction_is_rebuilt() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = app(&broker);
    let other = app.dir().join("other");
    orders::create(&bootstrap, 1);
    let settings = [
        ("cleanup.policy", "compact"),
        ("delete.retention.ms", "1000"),
        ("segment.ms", "200"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    client::create_topic(&bootstrap, CHANGELOG, 1, &settings).unwrap();
    orders::send(&bootstrap, orders::records(1, 2, 20));
    app.run(&app.until_caught_up(), MINUTE).unwrap();
    assert!(has_total(&broker, "0-0", (20, 210)));

    // Elsewhere the key is forgotten, and the changelog compacted until nothing of it is left.
    let sender = client::Sender::new(&bootstrap).unwrap();
    let forget = orders::order(1, "forget");
    sender
        .send(INPUT, Some(b"0-0"), Some(forget.as_bytes()), Some(0))
        .unwrap();
    sender.finish().unwrap();
    app.run(&beside(&app, &other), MINUTE).unwrap();
    let named = |record: &client::Record| {
        record
            .key
            .as_deref()
            .is_some_and(|key| key.windows(3).any(|part| part == b"0-0"))
    };
    let mut more = app.start(&["worker", "--data-dir", other.to_str().unwrap()]);
    wait_until("the end of the tombstone", MINUTE, || {
        // New rows, so that there is a segment to close.
        orders::send_one(&bootstrap, "0-1", 1, 0);
        std::thread::sleep(Duration::from_millis(500));
        let records = client::read_all(&bootstrap, CHANGELOG, Isolation::Committed).unwrap();
        !records.iter().any(named)
    });
    stop(&mut more);

    orders::send_one(&bootstrap, "0-0", 7, 0);
    let worker = app.run(&app.until_caught_up(), MINUTE).unwrap();
    names(
        &worker.output(),
        &["rebuilt from the changelog", "tombstones"],
    );
    assert!(has_total(&broker, "0-0", (1, 7)), "the key starts again");
}

/// A way to lose a changelog.
type Loss = fn(&str);

/// Two ways to lose it: all that is in it expires, and somebody makes it again.
const LOSSES: [(Loss, &str); 2] = [
    (
        |bootstrap| {
            let ends = client::end_offsets(bootstrap, CHANGELOG, Isolation::Uncommitted).unwrap();
            for (partition, end) in ends.into_iter().enumerate() {
                client::delete_records(bootstrap, CHANGELOG, partition as i32, end).unwrap();
            }
        },
        "below the changelog's first",
    ),
    (
        |bootstrap| {
            client::delete_topics(bootstrap, &[CHANGELOG]).unwrap();
            let compact = [("cleanup.policy", "compact")];
            client::create_topic(bootstrap, CHANGELOG, 2, &compact).unwrap();
        },
        "past the changelog's end",
    ),
];

/// The store is the last copy of the rows, whichever way the changelog was lost: it is kept, and said to be, at every
/// start. Put back, nothing is lost.
fn the_last_copy_is_kept(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    for (lose, why) in LOSSES {
        let app = app(broker);
        // Nothing expires by itself; of a topic that is only compacted nobody can delete records.
        let both = [("cleanup.policy", "compact,delete"), ("retention.ms", "-1")];
        client::create_topic(&bootstrap, CHANGELOG, 2, &both).unwrap();
        counted(broker, &app);
        let backup = client::read_all(&bootstrap, CHANGELOG, Isolation::Committed).unwrap();
        // A store that is at the very end lacks nothing of what is lost.
        let sender = client::Sender::new(&bootstrap).unwrap();
        for partition in 0..2 {
            let sent = sender.send(CHANGELOG, Some(b"\x01gone"), None, Some(partition));
            sent.unwrap();
        }
        sender.finish().unwrap();
        lose(&bootstrap);
        orders::send_one(&bootstrap, "0-0", 7, 0);
        for _ in 0..2 {
            let output = ends_badly(&app);
            let said = ["table `orders`, partition 0, is kept: it is at offset", why];
            names(&output, &[&said[..], &["gone or empty", "reset"]].concat());
            assert!(!output.contains("rebuilt"), "{output}");
        }
        assert!(has_total(broker, "0-0", (20, 210)), "nothing is counted on");
        let sender = client::Sender::new(&bootstrap).unwrap();
        for record in &backup {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            sender
                .send(CHANGELOG, key, value, Some(record.partition))
                .unwrap();
        }
        sender.finish().unwrap();
        app.run(&app.until_caught_up(), MINUTE).unwrap();
        assert!(has_total(broker, "0-0", (21, 217)), "all is there again");
        client::delete_everything(&bootstrap).unwrap();
    }
}

#[test]
fn the_last_copy_of_the_rows_is_kept_when_the_changelog_is_lost() {
    the_last_copy_is_kept(&Broker::embedded());
}

#[test]
fn the_last_copy_of_the_rows_is_kept_when_the_changelog_is_lost_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        the_last_copy_is_kept(&broker);
    }
}
