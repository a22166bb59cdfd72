//! Tests of compaction, and of what is asked of records, where batches are compressed.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::batch::tests::{From, NOBODY, batch_at, batch_of};
use super::batch::{self, HEADER, Header, Records};
use super::compaction_tests::{compact, compacted};
use super::compression::tests::{PACKERS, Packer, packed, with_data};
use super::producers::Producers;
use super::tests::{NOW, Place, config, keys, put, read};
use super::{Log, LogConfig, LogError, Outcome, RecordFault};

/// Key and value.
type Of<'a> = (&'a str, Option<&'a str>);

fn records_of(from: From, records: &[Of<'_>]) -> Vec<u8> {
    let records: Vec<_> = records.iter().map(|(key, it)| (Some(*key), *it)).collect();
    batch_of(from, NOW, &records)
}

fn put_packed(log: &mut Log, packer: Packer, from: From, records: &[Of<'_>]) {
    let mut batch = packed(&records_of(from, records), packer);
    log.append(&mut batch, NOW).unwrap();
}

/// Closes the segment with a fresh key behind it, so that there is something to compact, and compacts.
fn pass(log: &mut Log, fresh: &str, now: i64) {
    put(log, NOBODY, &[(fresh, "v")]).unwrap();
    log.roll().unwrap();
    assert!(compact(log, now));
}

/// Every batch as it stands in the files.
fn batches(log: &Log) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for segment in &log.segments {
        let mut bytes = vec![0; segment.size as usize];
        std::os::unix::fs::FileExt::read_exact_at(&*segment.file, &mut bytes, 0).unwrap();
        let mut rest = &bytes[..];
        while let Some(header) = Header::read(rest) {
            all.push(rest[..header.size].to_vec());
            rest = &rest[header.size..];
        }
    }
    all
}

/// Log lines of this thread.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn said(work: impl FnOnce()) -> String {
    let said = Said::default();
    let writer = said.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = said.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn older_values_in_compressed_batches_go_and_the_others_stay_at_their_offsets() {
    for packer in PACKERS {
        let place = Place::new(compacted());
        let mut log = place.open();
        let values = [("a", Some("1")), ("b", Some("1")), ("a", Some("2"))];
        put_packed(&mut log, packer, NOBODY, &values);
        put_packed(&mut log, packer, NOBODY, &[("c", Some("1")), ("d", None)]);
        put(&mut log, NOBODY, &[("e", "1"), ("b", "2")]).unwrap();
        put_packed(&mut log, packer, NOBODY, &[("c", Some("2"))]);
        log.roll().unwrap();
        assert!(compact(&mut log, NOW));
        assert!(!compact(&mut log, NOW), "nothing is dirty any more");
        let left = [(2, "a"), (4, "d"), (5, "e"), (6, "b"), (7, "c")]
            .map(|(at, key)| (at, key.to_owned()));
        for restarted in [false, true] {
            if restarted {
                log = place.open();
            }
            assert_eq!(read(&log, 0, true, 1 << 20), left, "{packer:?}");
            assert_eq!(read(&log, 0, true, 1), left, "{packer:?}");
            assert_eq!(read(&log, 3, true, 1 << 20), left[1..], "{packer:?}");
            assert_eq!(log.high_watermark(), 8);
        }
        let codecs: Vec<_> = batches(&log)
            .iter()
            .map(|it| Header::read(it).unwrap().codec() != 0)
            .collect();
        assert_eq!(codecs, [false, false, false, true], "{packer:?}");
        assert!(batches(&log).iter().all(|it| batch::is_intact(it)));
    }
}

#[test]
fn a_compressed_batch_of_which_all_is_kept_stays_byte_for_byte() {
    for packer in PACKERS {
        let place = Place::new(compacted());
        let mut log = place.open();
        put(&mut log, NOBODY, &[("a", "1")]).unwrap();
        put_packed(&mut log, packer, NOBODY, &[("a", Some("2")), ("b", None)]);
        log.roll().unwrap();
        let before = batches(&log);
        assert!(compact(&mut log, NOW));
        assert_eq!(batches(&log), before[1..], "{packer:?}");
    }
}

#[test]
fn what_is_left_of_a_compressed_batch_has_all_else_of_its_header() {
    for packer in PACKERS {
        let place = Place::new(LogConfig {
            append_time: true,
            ..compacted()
        });
        let mut log = place.open();
        log.producers().admit(9, 3);
        let values = [("a", Some("1")), ("b", Some("1")), ("c", Some("1"))];
        put_packed(&mut log, packer, From(9, 3, 0, true), &values);
        log.append_marker(Outcome::Commit, 9, 3, NOW).unwrap();
        put(&mut log, NOBODY, &[("b", "2")]).unwrap();
        log.roll().unwrap();
        let before = batches(&log);
        assert!(compact(&mut log, NOW));
        let after = batches(&log);
        assert_eq!(after[1..], before[1..], "the marker and what is last");
        let (old, new) = (
            Header::read(&before[0]).unwrap(),
            Header::read(&after[0]).unwrap(),
        );
        let expected = Header {
            size: new.size,
            attributes: old.attributes - old.codec(),
            count: 2,
            ..old
        };
        assert_eq!(new, expected, "{packer:?}");
        assert!(new.is_transactional() && new.is_log_append_time() && batch::is_intact(&after[0]));
        let left: Vec<_> = Records::of(&after[0])
            .map(|it| it.unwrap())
            .map(|it| (it.offset_delta, it.key.unwrap()))
            .collect();
        assert_eq!(left, [(0, &b"a"[..]), (2, b"c")]);
        // The producer is known as before.
        log = place.open();
        log.producers().admit(9, 3);
        put(&mut log, From(9, 3, 3, true), &[("d", "v")]).unwrap();
    }
}

#[test]
fn a_deleted_key_does_not_live_again_from_compressed_batches() {
    for packer in PACKERS {
        let place = Place::new(compacted());
        let mut log = place.open();
        put_packed(
            &mut log,
            packer,
            NOBODY,
            &[("gone", Some("1")), ("stays", Some("1"))],
        );
        put_packed(&mut log, packer, NOBODY, &[("gone", Some("2"))]);
        log.append(&mut records_of(NOBODY, &[("gone", None)]), NOW)
            .unwrap();
        log.roll().unwrap();
        assert!(compact(&mut log, NOW));
        assert_eq!(keys(&log, true), "stays gone", "{packer:?}");
        pass(&mut log, "x", NOW + 1000);
        log = place.open();
        pass(&mut log, "y", NOW + 2000);
        assert_eq!(keys(&log, true), "stays x y", "{packer:?}");
    }
}

#[test]
fn a_tombstone_in_a_compressed_batch_deletes_and_goes_when_its_time_is_over() {
    for packer in PACKERS {
        let place = Place::new(compacted());
        let mut log = place.open();
        put(&mut log, NOBODY, &[("gone", "1"), ("a", "1")]).unwrap();
        put_packed(
            &mut log,
            packer,
            NOBODY,
            &[("gone", Some("2")), ("b", Some("1"))],
        );
        put_packed(
            &mut log,
            packer,
            NOBODY,
            &[("gone", None), ("c", Some("1"))],
        );
        log.roll().unwrap();
        assert!(compact(&mut log, NOW));
        assert_eq!(keys(&log, true), "a b gone c", "{packer:?}");
        pass(&mut log, "x", NOW + 999);
        assert_eq!(keys(&log, true), "a b gone c x", "{packer:?}: too early");
        log = place.open();
        pass(&mut log, "y", NOW + 1000);
        assert_eq!(keys(&log, true), "a b c x y", "{packer:?}");
    }
}

#[test]
fn aborted_records_in_compressed_batches_go_and_are_nobodys_last_word() {
    for packer in PACKERS {
        let place = Place::new(compacted());
        let mut log = place.open();
        log.producers().admit(1, 0);
        put_packed(
            &mut log,
            packer,
            NOBODY,
            &[("a", Some("kept")), ("b", Some("kept"))],
        );
        let aborted = [("a", Some("aborted")), ("b", None)];
        put_packed(&mut log, packer, From(1, 0, 0, true), &aborted);
        log.append_marker(Outcome::Abort, 1, 0, NOW).unwrap();
        log.roll().unwrap();
        assert!(compact(&mut log, NOW));
        assert_eq!(keys(&log, false), "a b", "{packer:?}");
        pass(&mut log, "x", NOW + 5000);
        assert_eq!(keys(&log, false), "a b x", "{packer:?}");
    }
}

#[test]
fn a_batch_that_cannot_be_opened_stays_with_the_tombstones_behind_it_and_that_is_said_once() {
    let whole = records_of(NOBODY, &[("behind", Some("v"))]);
    let gzip = packed(&whole, Packer::Gzip);
    let claim = [0x81, 0x80, 0x80, 0x20, 0];
    let cases = [
        (
            with_data(&whole, 7, &whole[HEADER..]),
            "there is no codec 7",
        ),
        (
            with_data(&whole, 1, &gzip[HEADER..gzip.len() - 9]),
            "not what gzip writes",
        ),
        (with_data(&whole, 2, &claim), "more than 67108864 bytes"),
        (with_data(&whole, 4, b"no frame"), "not what zstd writes"),
    ];
    for (mut shut, why) in cases {
        let place = Place::new(compacted());
        let mut log = place.open();
        let tombstone = |log: &mut Log, key: &str| {
            log.append(&mut records_of(NOBODY, &[(key, None)]), NOW)
                .unwrap();
            log.roll().unwrap();
        };
        put(&mut log, NOBODY, &[("before", "v")]).unwrap();
        tombstone(&mut log, "before");
        // A compacted topic does not take it: this one was not always compacted.
        log.configure(Arc::new(config()));
        log.append(&mut shut, NOW).unwrap();
        log.configure(Arc::new(compacted()));
        log.roll().unwrap();
        put_packed(
            &mut log,
            Packer::Lz4,
            NOBODY,
            &[("behind", Some("v")), ("a", None)],
        );
        tombstone(&mut log, "behind");
        let text = said(|| {
            assert!(compact(&mut log, NOW));
            // Each pass later than the time that tombstones have, and after a restart as well.
            for (round, fresh) in ["x", "y", "z"].into_iter().enumerate() {
                pass(&mut log, fresh, NOW + 1000 * (round as i64 + 1));
                log = place.open();
            }
        });
        assert_eq!(
            keys(&log, true),
            "? a behind x y z",
            "{why}: the value in there would live again without its tombstone"
        );
        assert!(batches(&log).contains(&shut), "{why}: it is as it was");
        let lines: Vec<_> = text.lines().filter(|it| it.contains("WARN")).collect();
        let [line] = lines[..] else {
            panic!("not said once: {text}")
        };
        let place = place.directory.path().display().to_string();
        for part in ["cannot be opened", "offset=2", why, &place] {
            assert!(line.contains(part), "{part} is not in: {line}");
        }
    }
}

#[test]
fn a_tombstone_waits_for_values_that_earlier_brokers_left_compressed() {
    /// A checkpoint of a broker that opened no compressed batch.
    #[derive(serde::Serialize)]
    struct Before {
        offset: i64,
        log_start: i64,
        producers: Producers,
        passes: Vec<(i64, i64)>,
    }
    let place = Place::new(compacted());
    let mut log = place.open();
    put_packed(
        &mut log,
        Packer::Zstd,
        NOBODY,
        &[("gone", Some("v")), ("a", Some("v"))],
    );
    log.append(&mut records_of(NOBODY, &[("gone", None)]), NOW)
        .unwrap();
    log.roll().unwrap();
    drop(log);
    let body = rmp_serde::to_vec_named(&Before {
        offset: 3,
        log_start: 0,
        producers: Producers::default(),
        passes: vec![(3, NOW)],
    })
    .unwrap();
    let bytes = [&crc32c::crc32c(&body).to_be_bytes()[..], &body].concat();
    std::fs::write(place.directory.path().join("checkpoint"), bytes).unwrap();
    log = place.open();
    pass(&mut log, "x", NOW + 5000);
    assert_eq!(keys(&log, true), "a gone x", "the value goes first");
    log = place.open();
    pass(&mut log, "y", NOW + 10_000);
    assert_eq!(keys(&log, true), "a x y", "then the tombstone");
}

#[test]
fn a_record_without_a_key_in_a_compressed_batch_is_refused_by_a_compacted_topic() {
    let two = batch_of(NOBODY, NOW, &[(Some("k"), Some("v")), (None, Some("v"))]);
    for packer in PACKERS {
        let place = Place::new(compacted());
        let mut log = place.open();
        let refused = log.append(&mut packed(&two, packer), NOW);
        assert!(
            matches!(&refused, Err(LogError::Records(RecordFault::Keyless, at)) if *at == [1]),
            "{packer:?}: {refused:?}"
        );
        let good = records_of(NOBODY, &[("k", Some("v")), ("k", None)]);
        log.append(&mut packed(&good, packer), NOW).unwrap();
        assert_eq!(log.high_watermark(), 2);
        let place = Place::new(config());
        place.open().append(&mut packed(&two, packer), NOW).unwrap();
    }
}

#[test]
fn what_cannot_be_opened_is_refused_by_a_compacted_topic_and_taken_unopened_by_others() {
    let whole = records_of(NOBODY, &[("k", Some("v"))]);
    let claim = [0x81, 0x80, 0x80, 0x20, 0];
    let cases = [
        with_data(&whole, 5, &whole[HEADER..]),
        with_data(&whole, 3, b"no frame"),
        with_data(&whole, 2, &claim),
    ];
    let refusals = cases.map(|mut shut| {
        Place::new(config()).open().append(&mut shut, NOW).unwrap();
        Place::new(compacted())
            .open()
            .append(&mut shut, NOW)
            .unwrap_err()
    });
    assert!(matches!(
        refusals,
        [
            LogError::InvalidRecord,
            LogError::InvalidRecord,
            LogError::TooLarge
        ]
    ));
}

#[test]
fn times_of_records_in_compressed_batches_are_known() {
    for packer in PACKERS {
        let place = Place::new(LogConfig {
            timestamp_before_max_ms: 1000,
            ..config()
        });
        let mut log = place.open();
        let mut batch = packed(&batch_at(&[NOW, NOW - 1000, -1, NOW + 5, NOW + 3]), packer);
        log.append(&mut batch, NOW).unwrap();
        assert_eq!(log.offset_of_time(NOW + 1).unwrap(), Some((3, NOW + 5)));
        assert_eq!(log.offset_of_time(NOW + 6).unwrap(), None);
        assert_eq!(log.largest_time().unwrap(), Some((3, NOW + 5)));
        for times in [[NOW, NOW - 1001, NOW], [NOW, NOW + 3_600_001, NOW]] {
            let refused = log.append(&mut packed(&batch_at(&times), packer), NOW);
            assert!(
                matches!(&refused, Err(LogError::Records(RecordFault::Timestamp, at)) if *at == [1]),
                "{packer:?}: {refused:?}"
            );
        }
    }
    // For one that cannot be opened its first offset stands.
    let mut log = Place::new(config()).open();
    put(&mut log, NOBODY, &[("k", "v")]).unwrap();
    let mut shut = with_data(&batch_at(&[NOW, NOW + 5]), 4, b"no frame");
    log.append(&mut shut, NOW).unwrap();
    assert_eq!(log.offset_of_time(NOW + 1).unwrap(), Some((1, NOW + 5)));
}
