//! Tests of the log, without a socket.

use std::sync::Arc;

use super::batch::tests::{From, NOBODY, batch_at, batch_of};
use super::batch::{Header, Records};
use super::compression::opened;
use super::{Log, LogConfig, LogError, Outcome, ReadOutcome, RecordFault};

pub(super) const NOW: i64 = 1_700_000_000_000;

pub(super) fn config() -> LogConfig {
    LogConfig {
        compact: false,
        delete: true,
        retention_ms: -1,
        retention_bytes: -1,
        segment_bytes: 1 << 30,
        segment_ms: i64::MAX,
        delete_retention_ms: 1000,
        min_compaction_lag_ms: 0,
        max_compaction_lag_ms: i64::MAX,
        min_dirty_ratio: 0.0,
        max_message_bytes: 1 << 20,
        append_time: false,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: 3_600_000,
    }
}

pub(super) struct Place {
    pub(super) directory: tempfile::TempDir,
    config: Arc<LogConfig>,
}

impl Place {
    pub(super) fn new(config: LogConfig) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            config: Arc::new(config),
        }
    }

    pub(super) fn open(&self) -> Log {
        Log::open(self.directory.path(), self.config.clone(), NOW).unwrap()
    }

    pub(super) fn files(&self, extension: &str) -> Vec<String> {
        let all = std::fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> = all
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.retain(|name| name.ends_with(extension));
        names.sort();
        names
    }
}

pub(super) fn put(log: &mut Log, from: From, records: &[(&str, &str)]) -> Result<i64, LogError> {
    let records: Vec<_> = records
        .iter()
        .map(|(key, value)| (Some(*key), Some(*value)))
        .collect();
    log.append(&mut batch_of(from, NOW, &records), NOW)
        .map(|appended| appended.base_offset)
}

fn headers(bytes: &[u8]) -> Vec<Header> {
    let (mut at, mut all) = (0, Vec::new());
    while let Some(header) = Header::read(&bytes[at..]) {
        at += header.size;
        all.push(header);
    }
    all
}

/// Everything a client gets from an offset on, piece by piece: (offset, key) of the records it would show, and "?" for
/// a batch that cannot be opened.
pub(super) fn read(log: &Log, from: i64, committed: bool, most: usize) -> Vec<(i64, String)> {
    let (mut from, mut all) = (from, Vec::new());
    loop {
        let fetched = match log
            .plan(from, most, committed)
            .unwrap()
            .read(most, true)
            .unwrap()
        {
            ReadOutcome::GoOn(next) => {
                from = next;
                continue;
            }
            ReadOutcome::Done(fetched) if fetched.records.is_empty() => return all,
            ReadOutcome::Done(fetched) => fetched,
        };
        let (mut at, mut aborted) = (0, fetched.aborted);
        for header in headers(&fetched.records) {
            let bytes = &fetched.records[at..at + header.size];
            at += header.size;
            let reached = from;
            from = header.last_offset() + 1;
            let ends = |it: &super::producers::Aborted| it.producer_id == header.producer_id;
            if header.is_control() {
                if super::batch::outcome(bytes) == Some(Outcome::Abort)
                    && let Some(first) = aborted.iter().position(ends)
                {
                    aborted.remove(first);
                }
                continue;
            }
            if header.is_transactional()
                && aborted
                    .iter()
                    .any(|it| ends(it) && it.first_offset <= header.base_offset)
            {
                continue;
            }
            let Ok(bytes) = opened(bytes, &header) else {
                all.push((header.base_offset, "?".to_owned()));
                continue;
            };
            for record in Records::of(&bytes) {
                let record = record.unwrap();
                let offset = header.base_offset + i64::from(record.offset_delta);
                if offset >= reached {
                    let key = String::from_utf8(record.key.unwrap_or_default().to_vec()).unwrap();
                    all.push((offset, key));
                }
            }
        }
    }
}

pub(super) fn keys(log: &Log, committed: bool) -> String {
    read(log, log.log_start(), committed, 1 << 20)
        .into_iter()
        .map(|(_, key)| key)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn records_are_read_from_any_offset_in_any_piece_and_after_a_restart() {
    let place = Place::new(LogConfig {
        segment_bytes: 100_000,
        ..config()
    });
    let mut log = place.open();
    for at in 0..3000 {
        let key = format!("{}", 2 * at);
        assert_eq!(
            put(
                &mut log,
                NOBODY,
                &[(&key, "value"), (&format!("{}", 2 * at + 1), "value")]
            )
            .unwrap(),
            2 * at
        );
    }
    assert!(place.files(".log").len() > 2, "several segments");
    for restarted in [false, true] {
        if restarted {
            log = place.open();
        }
        for (from, most) in [
            (0, 1 << 20),
            (0, 10),
            (2999, 1000),
            (5998, 1),
            (5999, 1),
            (6000, 1),
        ] {
            let expected: Vec<_> = (from..6000)
                .map(|offset| (offset, offset.to_string()))
                .collect();
            assert_eq!(
                read(&log, from, true, most),
                expected,
                "from {from}, {most} bytes at a time"
            );
        }
    }
    assert!(matches!(
        log.plan(6001, 1, false),
        Err(LogError::OffsetOutOfRange)
    ));
    assert!(matches!(
        log.plan(-1, 1, false),
        Err(LogError::OffsetOutOfRange)
    ));
}

#[test]
fn a_torn_tail_is_cut_off() {
    let place = Place::new(config());
    let mut log = place.open();
    for at in 0..3 {
        put(&mut log, NOBODY, &[(&at.to_string(), "v")]).unwrap();
    }
    drop(log);
    let path = place.directory.path().join(&place.files(".log")[0]);
    let whole = std::fs::read(&path).unwrap();
    let batch = whole.len() / 3;
    for cut in 2 * batch..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let mut log = place.open();
        assert_eq!(
            (log.high_watermark(), keys(&log, false).as_str()),
            (2, "0 1"),
            "cut at {cut}"
        );
        assert_eq!(put(&mut log, NOBODY, &[("n", "v")]).unwrap(), 2);
        assert_eq!(keys(&log, false), "0 1 n");
    }
    let mut garbled = whole.clone();
    garbled[2 * batch + 65] ^= 1;
    std::fs::write(&path, garbled).unwrap();
    assert_eq!(
        place.open().high_watermark(),
        2,
        "a garbled last batch is as good as none"
    );
}

#[test]
fn a_damaged_index_or_checkpoint_costs_time_and_no_records() {
    let place = Place::new(LogConfig {
        segment_bytes: 300_000,
        ..config()
    });
    let mut log = place.open();
    for at in 0..2000 {
        put(
            &mut log,
            From(5, 0, at, false),
            &[(&at.to_string(), &"v".repeat(300))],
        )
        .unwrap();
    }
    log.settle();
    let expected = read(&log, 0, false, 1 << 20);
    drop(log);
    let indexes = place.files(".index");
    assert!(indexes.len() > 2);
    let damage: [fn(&mut Vec<u8>); 4] = [
        Vec::clear,
        |it| it.truncate(it.len() / 2 + 5),
        |it| it.fill(0),
        |it| it.fill(0x7f),
    ];
    for spoil in damage {
        for name in indexes.iter().map(String::as_str).chain(["checkpoint"]) {
            let path = place.directory.path().join(name);
            let mut bytes = std::fs::read(&path).unwrap();
            spoil(&mut bytes);
            std::fs::write(&path, bytes).unwrap();
        }
        let mut log = place.open();
        assert_eq!(read(&log, 0, false, 1 << 20), expected);
        assert_eq!(
            put(&mut log, From(5, 0, 1999, false), &[("1999", "v")]).unwrap(),
            1999,
            "producers are known"
        );
        log.settle();
    }
}

#[test]
fn a_producer_is_held_to_its_sequence_before_and_after_a_restart() {
    for restarts in [false, true] {
        for checkpoint in [false, true] {
            let place = Place::new(config());
            let mut log = place.open();
            for at in 0..7 {
                assert_eq!(
                    put(&mut log, From(5, 1, at, false), &[("k", "v")]).unwrap(),
                    i64::from(at)
                );
            }
            if checkpoint {
                log.settle();
            }
            if restarts {
                log = place.open();
            }
            for at in 2..7 {
                let again = put(&mut log, From(5, 1, at, false), &[("k", "v")]);
                assert_eq!(
                    again.unwrap(),
                    i64::from(at),
                    "one of the last five is acknowledged again"
                );
            }
            let mut refused = |from| put(&mut log, from, &[("k", "v")]).unwrap_err();
            assert!(
                matches!(refused(From(5, 1, 8, false)), LogError::OutOfOrderSequence),
                "a gap"
            );
            assert!(
                matches!(refused(From(5, 1, 1, false)), LogError::OutOfOrderSequence),
                "too old to be recognised"
            );
            assert!(matches!(
                refused(From(5, 0, 7, false)),
                LogError::InvalidProducerEpoch
            ));
            assert!(
                matches!(refused(From(5, 2, 7, false)), LogError::OutOfOrderSequence),
                "an epoch begins at 0"
            );
            assert_eq!(
                put(&mut log, From(5, 1, 7, false), &[("k", "v")]).unwrap(),
                7
            );
            assert_eq!(
                put(&mut log, From(5, 2, 0, false), &[("k", "v")]).unwrap(),
                8
            );
            assert_eq!(log.high_watermark(), 9);
        }
    }
}

#[test]
fn read_committed_waits_for_the_oldest_transaction_and_leaves_out_aborted_ones() {
    let place = Place::new(config());
    let mut log = place.open();
    log.producers().admit(1, 0);
    log.producers().admit(2, 0);
    put(&mut log, NOBODY, &[("a", "v")]).unwrap();
    put(&mut log, From(1, 0, 0, true), &[("b", "v")]).unwrap();
    put(&mut log, From(2, 0, 0, true), &[("c", "v")]).unwrap();
    put(&mut log, NOBODY, &[("d", "v")]).unwrap();
    for restarted in [false, true] {
        if restarted {
            log = place.open();
        }
        assert_eq!((log.last_stable_offset(), log.high_watermark()), (1, 4));
        assert_eq!(
            (keys(&log, true).as_str(), keys(&log, false).as_str()),
            ("a", "a b c d")
        );
    }
    log.append_marker(Outcome::Commit, 2, 0, NOW).unwrap();
    assert_eq!(keys(&log, true), "a", "the older one is still open");
    log.append_marker(Outcome::Abort, 1, 1, NOW).unwrap();
    for restarted in [false, true] {
        if restarted {
            log.settle();
            log = place.open();
        }
        assert_eq!(
            (log.last_stable_offset(), keys(&log, true).as_str()),
            (6, "a c d")
        );
    }
    log.producers().admit(1, 1);
    let late = put(&mut log, From(1, 0, 1, true), &[("late", "v")]);
    assert!(
        matches!(late, Err(LogError::InvalidProducerEpoch)),
        "a fenced producer adds nothing"
    );
    log.producers().admit(2, 0);
    put(&mut log, From(2, 0, 1, true), &[("e", "v")]).unwrap();
    log.append_marker(Outcome::Commit, 2, 0, NOW).unwrap();
    let stray = put(&mut log, From(2, 0, 2, true), &[("stray", "v")]);
    assert!(
        matches!(stray, Err(LogError::InvalidTxnState)),
        "nothing joins a transaction that has ended"
    );
    assert_eq!(keys(&log, true), "a c d e");
}

#[test]
fn records_are_deleted_up_to_an_offset_for_good() {
    let place = Place::new(LogConfig {
        segment_bytes: 300,
        ..config()
    });
    let mut log = place.open();
    for at in 0..20 {
        put(&mut log, NOBODY, &[(&at.to_string(), "v")]).unwrap();
    }
    let before = place.files(".log").len();
    assert_eq!(log.delete_records(15).unwrap(), 15);
    assert_eq!(
        log.delete_records(3).unwrap(),
        15,
        "the start never moves back"
    );
    assert!(matches!(
        log.delete_records(21),
        Err(LogError::OffsetOutOfRange)
    ));
    assert!(place.files(".log").len() < before);
    log = place.open();
    assert_eq!(
        (log.log_start(), keys(&log, false).as_str()),
        (15, "15 16 17 18 19")
    );
    assert_eq!(log.delete_records(-1).unwrap(), 20);
    drop(log);
    assert_eq!(
        (place.open().log_start(), place.open().high_watermark()),
        (20, 20)
    );
}

#[test]
fn retention_removes_what_is_old_or_too_much() {
    let place = Place::new(LogConfig {
        segment_bytes: 300,
        retention_ms: 1000,
        ..config()
    });
    let mut log = place.open();
    for at in 0..9 {
        put(&mut log, NOBODY, &[(&at.to_string(), "v")]).unwrap();
    }
    log.retain(NOW + 1000).unwrap();
    assert_eq!(log.log_start(), 0, "not old enough");
    log.retain(NOW + 1001).unwrap();
    assert_eq!(
        (log.log_start(), log.high_watermark()),
        (9, 9),
        "the segment in use goes as well"
    );
    assert_eq!(put(&mut log, NOBODY, &[("next", "v")]).unwrap(), 9);

    let place = Place::new(LogConfig {
        segment_bytes: 300,
        retention_bytes: 300,
        ..config()
    });
    let mut log = place.open();
    for at in 0..9 {
        put(&mut log, NOBODY, &[(&at.to_string(), "v")]).unwrap();
    }
    log.retain(NOW).unwrap();
    assert!((1..9).contains(&log.log_start()), "{}", log.log_start());
}

#[test]
fn a_time_is_found() {
    let place = Place::new(LogConfig {
        segment_bytes: 2000,
        ..config()
    });
    let mut log = place.open();
    for at in 0..100 {
        let mut batch = batch_of(NOBODY, 1000 + 10 * at, &[(Some("k"), Some("v"))]);
        log.append(&mut batch, NOW).unwrap();
    }
    for restarted in [false, true] {
        if restarted {
            log = place.open();
        }
        assert_eq!(log.offset_of_time(0).unwrap(), Some((0, 1000)));
        assert_eq!(log.offset_of_time(1501).unwrap(), Some((51, 1510)));
        assert_eq!(log.offset_of_time(1991).unwrap(), None);
        assert_eq!(log.largest_time().unwrap(), Some((99, 1990)));
        log.append_marker(Outcome::Commit, 1, 0, NOW).unwrap();
        assert_eq!(
            log.largest_time().unwrap(),
            Some((99, 1990)),
            "a marker is not a record"
        );
    }
}

#[test]
fn what_may_not_be_appended_is_refused() {
    let one = [(Some("k"), Some("v"))];
    let refused = |config: LogConfig, mut batch: Vec<u8>| {
        let mut log = Place::new(config).open();
        let error = log.append(&mut batch, NOW).unwrap_err();
        assert_eq!(log.high_watermark(), 0);
        error
    };
    let small = LogConfig {
        max_message_bytes: 60,
        ..config()
    };
    assert!(matches!(
        refused(small, batch_of(NOBODY, NOW, &one)),
        LogError::TooLarge
    ));
    let late = batch_of(NOBODY, NOW + 3_600_001, &one);
    assert!(matches!(
        refused(config(), late),
        LogError::Records(RecordFault::Timestamp, _)
    ));
    // The first record's time says nothing of the others', and "none" is within all bounds.
    let bounded = LogConfig {
        timestamp_before_max_ms: 1_000,
        ..config()
    };
    let times = [NOW, NOW - 1_001, NOW - 1_000, -1];
    let LogError::Records(RecordFault::Timestamp, at) = refused(bounded, batch_at(&times)) else {
        panic!("not refused for its time");
    };
    assert_eq!(at, [1]);
    let compacted = LogConfig {
        compact: true,
        ..config()
    };
    let keyless = batch_of(NOBODY, NOW, &[(None, Some("v"))]);
    assert!(matches!(
        refused(compacted, keyless),
        LogError::Records(RecordFault::Keyless, at) if at == [0]
    ));
    let stray = batch_of(From(1, 0, 0, true), NOW, &one);
    assert!(matches!(
        refused(config(), stray),
        LogError::InvalidTxnState
    ));
}

#[test]
fn a_topic_may_be_stamped_with_the_time_of_arrival() {
    let place = Place::new(LogConfig {
        append_time: true,
        ..config()
    });
    let mut log = place.open();
    let appended = log
        .append(&mut batch_of(NOBODY, 5, &[(Some("k"), Some("v"))]), NOW)
        .unwrap();
    assert_eq!(appended.append_time, NOW);
    assert_eq!(log.offset_of_time(NOW).unwrap(), Some((0, NOW)));
    assert_eq!(place.open().high_watermark(), 1, "its checksum holds");
}
