//! Random histories of a log, with crashes in between, against a model that keeps everything in memory.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::batch::tests::From;
use super::compaction_tests::compact;
use super::tests::{NOW, Place, config, put, read};
use super::{Log, LogConfig, Outcome};

#[derive(Debug, Clone)]
enum Step {
    /// A record of this key, from a producer without transactions.
    Plain(u8),
    /// A record of this key within the producer's transaction, which begins with it if none is open.
    Send(i64, u8),
    End(i64, bool),
    Roll,
    Compact,
    Checkpoint,
    /// The process is killed; up to so many bytes of a batch that was being written are in the file.
    Crash(usize),
    DeleteRecords(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..6).prop_map(Step::Plain),
        6 => (1i64..4, 0u8..6).prop_map(|(producer, key)| Step::Send(producer, key)),
        3 => (1i64..4, any::<bool>()).prop_map(|(producer, commit)| Step::End(producer, commit)),
        1 => Just(Step::Roll),
        1 => Just(Step::Compact),
        1 => Just(Step::Checkpoint),
        1 => (0usize..80).prop_map(Step::Crash),
        1 => (0u8..100).prop_map(Step::DeleteRecords),
    ]
}

/// What a record came to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Held,
    Open(i64),
    Aborted,
}

#[derive(Default)]
struct Model {
    records: BTreeMap<i64, (String, Fate)>,
    next: i64,
    start: i64,
    /// Next sequence number of each producer, and whether it has a transaction open.
    producers: BTreeMap<i64, (i32, bool)>,
}

impl Model {
    fn stable(&self) -> i64 {
        let open = self
            .records
            .iter()
            .find(|(_, (_, fate))| matches!(fate, Fate::Open(_)));
        open.map_or(self.next, |(offset, _)| *offset)
    }

    fn add(&mut self, key: &str, fate: Fate) {
        self.records.insert(self.next, (key.to_owned(), fate));
        self.next += 1;
    }

    fn end(&mut self, producer: i64, commit: bool) {
        let fate = if commit { Fate::Held } else { Fate::Aborted };
        let of = self
            .records
            .values_mut()
            .filter(|(_, it)| *it == Fate::Open(producer));
        of.for_each(|(_, it)| *it = fate);
        self.next += 1;
    }

    /// What read_committed shows.
    fn committed(&self) -> Vec<(i64, String)> {
        let (start, stable) = (self.start, self.stable());
        let seen = self
            .records
            .iter()
            .filter(|(at, (_, fate))| **at >= start && **at < stable && *fate == Fate::Held);
        seen.map(|(at, (key, _))| (*at, key.clone())).collect()
    }
}

fn run(steps: &[Step], compacted: bool) -> Result<(), TestCaseError> {
    let place = Place::new(LogConfig {
        compact: compacted,
        segment_bytes: 500,
        ..config()
    });
    let mut log = place.open();
    let mut model = Model::default();
    for (at, step) in steps.iter().enumerate() {
        act(&place, &mut log, &mut model, step, NOW + 600 * at as i64);
        prop_assert_eq!(log.high_watermark(), model.next);
        prop_assert_eq!(log.last_stable_offset(), model.stable());
        let expected = model.committed();
        for most in [1, 100, 1 << 20] {
            let seen = read(&log, log.log_start(), true, most);
            if compacted {
                prop_assert!(
                    seen.iter().all(|it| expected.contains(it)),
                    "{:?} of {:?}",
                    seen,
                    expected
                );
                let last: BTreeMap<_, _> = expected.iter().map(|(at, key)| (key, at)).collect();
                let kept = last
                    .into_iter()
                    .all(|(key, at)| seen.contains(&(*at, key.clone())));
                prop_assert!(kept, "{:?} lacks a last record of {:?}", seen, expected);
            } else {
                prop_assert_eq!(&seen, &expected);
            }
        }
    }
    Ok(())
}

fn act(place: &Place, log: &mut Log, model: &mut Model, step: &Step, now: i64) {
    match *step {
        Step::Plain(key) => {
            let key = format!("k{key}");
            assert_eq!(
                put(log, From(-1, -1, -1, false), &[(&key, "v")]).unwrap(),
                model.next
            );
            model.add(&key, Fate::Held);
        }
        Step::Send(id, key) => {
            let key = format!("k{key}");
            let (sequence, open) = model.producers.entry(id).or_default();
            let from = From(id, 0, *sequence, true);
            if !*open {
                log.producers().admit(id, 0);
                *open = true;
            }
            *sequence += 1;
            assert_eq!(put(log, from, &[(&key, "v")]).unwrap(), model.next);
            assert_eq!(
                put(log, from, &[(&key, "v")]).unwrap(),
                model.next,
                "sent again, acknowledged again"
            );
            model.add(&key, Fate::Open(id));
        }
        Step::End(id, commit) => {
            if model.producers.get(&id).is_some_and(|(_, open)| *open) {
                let outcome = if commit {
                    Outcome::Commit
                } else {
                    Outcome::Abort
                };
                log.append_marker(outcome, id, 0, NOW).unwrap();
                model.producers.entry(id).or_default().1 = false;
                model.end(id, commit);
            }
        }
        Step::Roll => log.roll().unwrap(),
        Step::Compact => {
            compact(log, now);
        }
        Step::Checkpoint => log.settle(),
        Step::Crash(torn) => {
            let end = log.active().size;
            let file = log.active().file.clone();
            std::os::unix::fs::FileExt::write_all_at(&*file, &vec![0x55; torn], end).unwrap();
            *log = place.open();
            for (id, (_, open)) in &model.producers {
                // The coordinator knows what is open and says so after a restart.
                if *open {
                    log.producers().admit(*id, 0);
                } else {
                    log.producers().disown(*id);
                }
            }
        }
        Step::DeleteRecords(percent) => {
            let before = model.next * i64::from(percent) / 100;
            let before = before.min(model.stable());
            model.start = model.start.max(before);
            assert_eq!(log.delete_records(before).unwrap(), model.start);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_what_was_written(steps in proptest::collection::vec(step(), 1..60)) {
        run(&steps, false)?;
    }

    #[test]
    fn compaction_keeps_the_last_of_what_was_committed(steps in proptest::collection::vec(step(), 1..60)) {
        run(&steps, true)?;
    }
}
