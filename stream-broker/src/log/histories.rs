//! Random histories of a log, with crashes in between, against a model that keeps everything in memory.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::batch::tests::{From, NOBODY, batch_of};
use super::compaction_tests::compact;
use super::compression::tests::{PACKERS, Packer, packed};
use super::tests::{NOW, Place, config, put, read};
use super::{Log, LogConfig, Outcome};

#[derive(Debug, Clone)]
enum Step {
    /// A record of this key, from a producer without transactions.
    Plain(u8),
    /// Records of these keys in one batch, compressed.
    Packed(Packer, Vec<u8>),
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
        2 => (proptest::sample::select(&PACKERS[..]), proptest::collection::vec(0u8..6, 1..5))
            .prop_map(|(packer, keys)| Step::Packed(packer, keys)),
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
        Step::Packed(packer, ref keys) => {
            let keys: Vec<_> = keys.iter().map(|key| format!("k{key}")).collect();
            let records: Vec<_> = keys.iter().map(|key| (Some(&key[..]), Some("v"))).collect();
            let mut batch = packed(&batch_of(NOBODY, NOW, &records), packer);
            let base = log.append(&mut batch, NOW).unwrap().base_offset;
            assert_eq!(base, model.next);
            keys.iter().for_each(|key| model.add(key, Fate::Held));
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

/// What happens to an idempotent producer and its broker.
#[derive(Debug, Clone)]
enum Event {
    /// A batch of so many records goes out, is written and acknowledged.
    Delivered(usize),
    /// Batches go out; the broker is killed when so many of them are written, and so much of the next one (in 1/100).
    /// None is acknowledged: the client sends all of them again.
    Killed(Vec<usize>, usize, usize),
    /// The client asks for another epoch, or another id, and numbers from 0 again.
    NewEpoch,
    NewId,
    Checkpoint,
}

fn event() -> impl Strategy<Value = Event> {
    let in_flight = proptest::collection::vec(1usize..40, 1..=5);
    prop_oneof![
        8 => (1usize..40).prop_map(Event::Delivered),
        6 => (in_flight, 0usize..6, 0usize..=100)
            .prop_map(|(batches, whole, part)| Event::Killed(batches, whole, part)),
        1 => Just(Event::NewEpoch),
        1 => Just(Event::NewId),
        1 => Just(Event::Checkpoint),
    ]
}

/// A client with at most five batches in flight, as librdkafka keeps them.
struct Client {
    from: From,
    /// The number of the next record, which is its key.
    next: usize,
}

impl Client {
    /// The next batch, and whose it is.
    fn batch(&mut self, count: usize) -> (From, Vec<String>) {
        let keys = (self.next..self.next + count).map(|number| format!("{number}"));
        let batch = (self.from, keys.collect());
        self.next += count;
        // Numbers start again at 0 after the largest.
        let after = i64::from(self.from.2) + count as i64;
        self.from.2 = (after & i64::from(i32::MAX)) as i32;
        batch
    }
}

/// Acknowledged records are in the log, each once, in order and where the acknowledgement said.
fn feed(
    events: &[Event],
    first_sequence: i32,
    segment_bytes: u64,
    value: &str,
) -> Result<(), TestCaseError> {
    let place = Place::new(LogConfig {
        segment_bytes,
        ..config()
    });
    let mut log = place.open();
    let mut client = Client {
        from: From(7, 0, first_sequence, false),
        next: 0,
    };
    let send = |log: &mut Log, (from, keys): &(From, Vec<String>)| {
        let records: Vec<_> = keys.iter().map(|key| (key.as_str(), value)).collect();
        put(log, *from, &records).unwrap()
    };
    for event in events {
        match event {
            Event::Delivered(count) => {
                let first = client.next as i64;
                prop_assert_eq!(send(&mut log, &client.batch(*count)), first);
            }
            Event::Killed(counts, whole, part) => {
                let first = client.next as i64;
                let batches: Vec<_> = counts.iter().map(|it| client.batch(*it)).collect();
                let mut torn = None;
                for (at, batch) in batches.iter().enumerate().take(whole + 1) {
                    let before = (log.active().base, log.active().size);
                    send(&mut log, batch);
                    let rolled = before.0 != log.active().base;
                    let start = if rolled { 0 } else { before.1 };
                    torn = (at == *whole).then_some(start);
                }
                if let Some(start) = torn {
                    let written = (log.active().size - start) * *part as u64 / 100;
                    log.active().file.set_len(start + written).unwrap();
                }
                log = place.open();
                let mut due = first;
                for batch in &batches {
                    prop_assert_eq!(send(&mut log, batch), due, "sent again");
                    due += batch.1.len() as i64;
                }
            }
            Event::NewEpoch => (client.from.1, client.from.2) = (client.from.1 + 1, 0),
            Event::NewId => {
                (client.from.0, client.from.1, client.from.2) = (client.from.0 + 1, 0, 0)
            }
            Event::Checkpoint => log.settle(),
        }
        let seen = read(&log, 0, true, 1 << 20);
        let expected: Vec<_> = (0..client.next)
            .map(|it| (it as i64, format!("{it}")))
            .collect();
        prop_assert_eq!(&seen, &expected);
    }
    Ok(())
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

    #[test]
    fn what_is_acknowledged_over_kills_is_there_once(events in proptest::collection::vec(event(), 1..40)) {
        feed(&events, 0, 3000, "v")?;
        // With entries of the index in the middle of a segment, and numbers that start again.
        feed(&events, i32::MAX - 100, 100_000, &"v".repeat(200))?;
    }
}
