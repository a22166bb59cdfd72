//! Tests of compaction.

use super::batch::tests::{From, NOBODY, batch_of};
use super::tests::{NOW, Place, config, keys, put, read};
use super::{Log, LogConfig, Outcome};

pub(super) fn compacted() -> LogConfig {
    LogConfig {
        compact: true,
        delete: false,
        segment_bytes: 400,
        ..config()
    }
}

pub(super) fn compact(log: &mut Log, now: i64) -> bool {
    let Some(job) = log.plan_compaction(now) else {
        return false;
    };
    log.finish_compaction(job.run(&|| false).unwrap().unwrap(), now)
        .unwrap();
    true
}

#[test]
fn the_last_of_each_key_stays_at_its_offset() {
    let place = Place::new(compacted());
    let mut log = place.open();
    for at in 0..200 {
        put(
            &mut log,
            NOBODY,
            &[(&format!("k{}", at % 7), "v"), (&format!("once{at}"), "v")],
        )
        .unwrap();
    }
    let before = read(&log, 0, true, 1 << 20);
    assert!(compact(&mut log, NOW));
    assert!(!compact(&mut log, NOW), "nothing is dirty any more");
    let end = log.active().base;
    let last = |key: &str| {
        before
            .iter()
            .rev()
            .find(|(at, it)| it == key && *at < end)
            .map(|(at, _)| *at)
    };
    let expected: Vec<_> = before
        .iter()
        .filter(|(at, key)| *at >= end || last(key) == Some(*at))
        .cloned()
        .collect();
    for restarted in [false, true] {
        if restarted {
            log = place.open();
        }
        assert_eq!(read(&log, 0, true, 1 << 20), expected);
        assert_eq!(read(&log, 0, true, 1), expected);
        assert_eq!(log.high_watermark(), 400);
    }
    let names = place.files("");
    assert!(
        names.iter().all(|name| !name.starts_with("clean")),
        "{names:?}"
    );
}

#[test]
fn tombstones_stay_for_their_time() {
    let place = Place::new(compacted());
    let mut log = place.open();
    put(&mut log, NOBODY, &[("gone", "v"), ("stays", "v")]).unwrap();
    log.append(&mut batch_of(NOBODY, NOW, &[(Some("gone"), None)]), NOW)
        .unwrap();
    log.roll().unwrap();
    assert!(compact(&mut log, NOW));
    assert_eq!(
        keys(&log, true),
        "stays gone",
        "the value is gone, the tombstone is there"
    );
    let fill = |log: &mut Log, key: &str| {
        put(log, NOBODY, &[(key, "v")]).unwrap();
        log.roll().unwrap();
    };
    fill(&mut log, "x");
    assert!(compact(&mut log, NOW + 999));
    assert_eq!(keys(&log, true), "stays gone x");
    log = place.open();
    fill(&mut log, "y");
    assert!(compact(&mut log, NOW + 1000));
    assert_eq!(keys(&log, true), "stays x y");
}

#[test]
fn open_transactions_are_not_touched_and_aborted_ones_go() {
    let place = Place::new(compacted());
    let mut log = place.open();
    log.producers().admit(1, 0);
    put(&mut log, NOBODY, &[("a", "old"), ("b", "kept")]).unwrap();
    put(
        &mut log,
        From(1, 0, 0, true),
        &[("a", "aborted"), ("b", "aborted")],
    )
    .unwrap();
    log.roll().unwrap();
    put(&mut log, NOBODY, &[("a", "new")]).unwrap();
    log.roll().unwrap();
    assert!(
        !compact(&mut log, NOW),
        "everything closed is at or after an open transaction"
    );
    log.append_marker(Outcome::Abort, 1, 0, NOW).unwrap();
    log.roll().unwrap();
    assert!(compact(&mut log, NOW));
    assert_eq!(
        read(&log, 0, true, 1 << 20),
        [(1, "b".to_owned()), (4, "a".to_owned())]
    );
    put(&mut log, NOBODY, &[("c", "v")]).unwrap();
    log.roll().unwrap();
    assert!(compact(&mut log, NOW + 5000));
    let everything = read(&log, 0, false, 1 << 20);
    assert_eq!(
        everything
            .iter()
            .map(|(_, key)| key.as_str())
            .collect::<Vec<_>>(),
        ["b", "a", "c"]
    );
    log.producers().admit(1, 0);
    put(&mut log, From(1, 0, 2, true), &[("d", "v")]).unwrap();
    log.append_marker(Outcome::Commit, 1, 0, NOW).unwrap();
    assert_eq!(
        keys(&log, true),
        "b a c d",
        "a producer that once aborted is read again"
    );
}

#[test]
fn a_compaction_cut_short_loses_nothing() {
    let place = Place::new(LogConfig {
        segment_bytes: 4000,
        ..compacted()
    });
    let mut log = place.open();
    for at in 0..40 {
        put(&mut log, NOBODY, &[(&format!("k{}", at % 3), "v")]).unwrap();
        if at % 10 == 9 {
            log.roll().unwrap();
        }
    }
    // Killed between the renaming of the new segment and the removal of the old ones.
    let second = place.directory.path().join(&place.files(".log")[1]);
    let old = std::fs::read(&second).unwrap();
    assert!(compact(&mut log, NOW));
    let expected = keys(&log, true);
    assert!(!second.exists());
    drop(log);
    std::fs::write(&second, old).unwrap();
    std::fs::write(place.directory.path().join("clean-5.log"), b"half").unwrap();
    assert_eq!(keys(&place.open(), true), expected);
    assert!(!second.exists());
}
