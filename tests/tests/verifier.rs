//! The end-to-end verifier: faults at random moments, then every output compared with a replay of the input.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;
use tests::broker::{Broker, SharedApache};
use tests::chaos::Chaos;
use tests::client::{self, Isolation, Record};
use tests::feed::Feed;
use tests::leash::Leashed;
use tests::numbers::{self, by_partition};
use tests::progress::Progress;
use tests::voltage::App;

const PARTITIONS: i32 = 4;
const MINUTES: Duration = Duration::from_secs(240);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// SIGKILL, then another worker.
    Kill,
    /// Stopped past its session, then continued: a zombie that must not write.
    Freeze,
    /// One more worker that leaves again, in order.
    JoinAndLeave,
    /// SIGKILL of the broker, and its restart.
    Broker,
}

/// Feeds numbers to two workers, does each fault while input is left, and compares.
fn verify(broker: &mut Broker, faults: &[Fault], guarantee: &str) {
    let bootstrap = broker.bootstrap();
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_verified")), &bootstrap);
    let mut chaos = Chaos::new();
    client::create_topic(&bootstrap, "numbers", PARTITIONS, &[("retention.ms", "-1")]).unwrap();
    let records = numbers::generate(40, 1000, PARTITIONS, &mut chaos);
    let seconds = 8 + 6 * faults.len() as u64;
    let per_second = records.len() as u64 / seconds;
    let feed = Feed::start(&bootstrap, "numbers", records, per_second);
    let progress = Progress::of(&bootstrap, "verified", "numbers");
    let worker = || {
        let mut args = app.impatient();
        args.extend(["--processing-guarantee".into(), guarantee.into()]);
        app.start(&args)
    };
    let mut workers = [worker(), worker()];
    for fault in faults {
        progress.wait_for_more();
        chaos.sleep(Duration::from_millis(1500));
        assert!(feed.goes_on(), "the input ended before {fault:?}");
        let victim = chaos.below(2) as usize;
        match fault {
            Fault::Kill => {
                workers[victim].kill();
                chaos.sleep(Duration::from_millis(1500));
                workers[victim] = worker();
            }
            Fault::Freeze => {
                workers[victim].signal("STOP").unwrap();
                std::thread::sleep(Duration::from_millis(3500));
                workers[victim].signal("CONT").unwrap();
            }
            Fault::JoinAndLeave => {
                let mut third = worker();
                chaos.sleep(Duration::from_millis(4000));
                third.line_with("", Duration::from_secs(10)).unwrap();
                stop(&mut third);
            }
            Fault::Broker => {
                broker.kill();
                chaos.sleep(Duration::from_millis(1500));
                broker.restart();
            }
        }
    }
    feed.finish().unwrap();
    progress.wait_for_all();
    workers.iter_mut().for_each(stop);
    let mut last = app.impatient();
    last.extend([
        "--until-caught-up".into(),
        "--processing-guarantee".into(),
        guarantee.into(),
    ]);
    app.run(&last, MINUTES).unwrap();
    compare(&bootstrap, guarantee);
}

/// Every number of every key is there once, and every offset up to the end was read: else says which of the two it is.
fn whole(bootstrap: &str, input: &HashMap<i32, Vec<Record>>) {
    let ends = client::end_offsets(bootstrap, "numbers", Isolation::Uncommitted).unwrap();
    for (partition, records) in input {
        let offsets: Vec<i64> = records.iter().map(|record| record.offset).collect();
        let skipped = (0..ends[*partition as usize])
            .zip(&offsets)
            .find(|(due, offset)| due != *offset);
        let (read, end) = (offsets.len() as i64, ends[*partition as usize]);
        assert!(
            skipped.is_none() && read == end,
            "partition {partition}: {read} of {end} records were read, (expected, found) {skipped:?}"
        );
        let mut kept: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for record in records {
            let number = record.json()["number"].as_i64().unwrap();
            kept.entry(record.key()).or_default().push(number);
        }
        for (key, mut found) in kept {
            found.sort_unstable();
            let (count, _, lo, hi) = numbers::promised(key);
            let missing: Vec<i64> = (lo..=hi)
                .filter(|number| found.binary_search(number).is_err())
                .collect();
            let found = found.len() as i64;
            assert!(
                missing.is_empty() && found == count,
                "partition {partition}, {end} records: {found} of {count} of {key}; missing: {missing:?}"
            );
        }
    }
}

/// Ends a worker in order; it must still be there.
fn stop(worker: &mut Leashed) {
    assert!(
        worker.ended().is_none(),
        "it ended by itself:\n{}",
        worker.output()
    );
    worker.signal("TERM").unwrap();
    assert!(
        worker.wait(Duration::from_secs(20)).unwrap().success(),
        "{}",
        worker.output()
    );
}

fn compare(bootstrap: &str, guarantee: &str) {
    let read = |topic: &str| {
        by_partition(client::read_all(bootstrap, topic, Isolation::Committed).unwrap())
    };
    let (input, echoes, running, sums) = (
        read("numbers"),
        read("echoes"),
        read("running"),
        read("sums"),
    );
    // What the broker acknowledged is there, once: else nothing below means anything.
    whole(bootstrap, &input);
    let mut last: HashMap<String, Record> = HashMap::new();
    let mut late_records = 0;
    for partition in 0..PARTITIONS {
        let input = &input[&partition];
        let (expected, late) = numbers::replay(input);
        late_records += late;
        let running = running.get(&partition).map_or(&[][..], Vec::as_slice);
        running
            .iter()
            .for_each(|record| drop(last.insert(record.key().to_owned(), record.clone())));
        if guarantee == "exactly_once" {
            let essence =
                |record: &Record| (record.key().to_owned(), record.json()["number"].as_i64());
            let echoed: Vec<_> = echoes[&partition].iter().map(essence).collect();
            assert_eq!(
                echoed,
                input.iter().map(essence).collect::<Vec<_>>(),
                "echoes of partition {partition}"
            );
            assert_eq!(
                running.len(),
                input.len(),
                "running totals of partition {partition}"
            );
            let summed: Vec<_> = sums[&partition].iter().map(sum).collect();
            assert_eq!(summed, expected, "sums of partition {partition}");
        } else {
            let mut echoed: Vec<&[u8]> = echoes[&partition].iter().map(Record::bytes).collect();
            echoed.sort_unstable();
            echoed.dedup();
            assert!(
                echoed.len() >= distinct(input),
                "echoes are missing in partition {partition}"
            );
            for (key, start, count, _) in expected {
                let emitted = sums[&partition]
                    .iter()
                    .map(sum)
                    .rfind(|sum| sum.0 == key && sum.1 == start);
                assert!(
                    emitted.as_ref().is_some_and(|sum| sum.2 >= count),
                    "{key} {start}: {emitted:?} of {count}"
                );
            }
        }
    }
    assert!(
        late_records > 0,
        "the input holds late records, or lateness is not tested"
    );
    assert_eq!(last.len(), 40 + PARTITIONS as usize);
    for (key, record) in last {
        let total = record.json();
        let of = |name: &str| total[name].as_i64().unwrap();
        let (count, sum, min, max) = numbers::promised(&key);
        assert_eq!((of("min"), of("max")), (min, max), "{key}");
        if guarantee == "exactly_once" {
            assert_eq!((of("count"), of("sum")), (count, sum), "{key}");
        } else {
            assert!(
                of("count") >= count && of("sum") >= sum,
                "{key}: {total} of {count}, {sum}"
            );
        }
    }
    // Nothing hangs: no transaction is open.
    for topic in client::topics(bootstrap).unwrap() {
        let ends = |isolation| client::end_offsets(bootstrap, &topic, isolation).unwrap();
        assert_eq!(
            ends(Isolation::Committed),
            ends(Isolation::Uncommitted),
            "{topic}"
        );
    }
}

fn distinct(records: &[Record]) -> usize {
    let mut values: Vec<&[u8]> = records.iter().map(Record::bytes).collect();
    values.sort_unstable();
    values.dedup();
    values.len()
}

fn sum(record: &Record) -> (String, i64, i64, i64) {
    let sum = record.json();
    let of = |name: &str| sum[name].as_i64().unwrap();
    (record.key().to_owned(), of("start"), of("count"), of("sum"))
}

const WORKER_FAULTS: [Fault; 5] = [
    Fault::Kill,
    Fault::JoinAndLeave,
    Fault::Freeze,
    Fault::Kill,
    Fault::Freeze,
];

#[test]
fn exactly_once_on_the_embedded_broker() {
    let faults = [
        Fault::Kill,
        Fault::Broker,
        Fault::Freeze,
        Fault::JoinAndLeave,
        Fault::Broker,
        Fault::Kill,
    ];
    verify(&mut Broker::embedded(), &faults, "exactly_once");
}

#[test]
fn exactly_once_on_apache_kafka() {
    let Some(mut broker) = SharedApache::take() else {
        return;
    };
    verify(&mut broker, &WORKER_FAULTS, "exactly_once");
}

#[test]
fn at_least_once_on_the_embedded_broker() {
    verify(&mut Broker::embedded(), &WORKER_FAULTS, "at_least_once");
}
