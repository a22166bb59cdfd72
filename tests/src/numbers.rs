//! The verifier's input and oracle: keys `lo-hi` whose values are every integer from lo to hi, so that the key itself
//! says what count, sum, min and max must be; and a replay of the input that says every output, record by record.

use crate::chaos::Chaos;
use crate::feed::Outgoing;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// Where event time begins: 2026-01-01T00:00:00Z.
pub const FIRST: i64 = 1_767_225_600_000;
const SIZE: i64 = 10_000;
const GRACE: i64 = 5_000;
/// Longest pause within a burst.
const GAP: i64 = 8_000;
/// How many remainders there are.
const BUCKETS: i64 = 97;
/// Event time between two values of a key: two of them fall into a window.
const STEP: i64 = 5_000;
/// Event times jitter by this much.
const JITTER: u64 = 10_000;
/// One record in so many is later than jitter and grace allow.
const LATE: u64 = 50;
/// How far values are moved among their neighbours.
const SHUFFLE: u64 = 10;

/// How much is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    pub keys: i64,
    /// Integers of each key.
    pub values: i64,
    pub partitions: i32,
}

impl Amount {
    /// All records, the last one of each partition included.
    pub fn records(self) -> u64 {
        (self.keys * self.values) as u64 + self.partitions as u64
    }

    fn name(self, key: i64) -> String {
        let lo = key * self.values;
        format!("{lo}-{}", lo + self.values - 1)
    }

    /// All keys, those of the last records included.
    pub fn names(self) -> Vec<String> {
        let last = (0..self.partitions).map(|partition| last_key(partition, self.partitions).0);
        (0..self.keys)
            .map(|key| self.name(key))
            .chain(last)
            .collect()
    }
}

/// A key of one value that belongs to the partition, so that its outputs stay there too.
fn last_key(partition: i32, partitions: i32) -> (String, i64) {
    (0..)
        .map(|number: i64| (format!("{number}-{number}"), number))
        .find(|(key, _)| partition_of(key, partitions) == partition)
        .expect("one of many")
}

/// Each key's integers, shuffled among their neighbours, with times that jitter; some are late. A last record in each
/// partition closes every window.
pub fn generate(
    amount: Amount,
    mut chaos: Chaos,
) -> impl Iterator<Item = Outgoing> + Send + 'static {
    let Amount {
        keys,
        values,
        partitions,
    } = amount;
    assert!(values > 1, "a key of one value is a last key");
    let mut order: Vec<i64> = (0..values).collect();
    for ix in 0..order.len() {
        let other = (ix + chaos.below(SHUFFLE) as usize).min(order.len() - 1);
        order.swap(ix, other);
    }
    let body = order
        .into_iter()
        .enumerate()
        .flat_map(move |(step, nth)| (0..keys).map(move |key| (step as i64, nth, key)));
    let body = body.map(move |(step, nth, key)| {
        let mut at = FIRST + step * STEP + chaos.below(JITTER) as i64;
        if chaos.below(LATE) == 0 {
            at -= SIZE + GRACE + JITTER as i64;
        }
        outgoing(amount.name(key), at, key * values + nth)
    });
    let end = FIRST + values * STEP + 60_000;
    body.chain((0..partitions).map(move |partition| {
        let (key, number) = last_key(partition, partitions);
        outgoing(key, end, number)
    }))
}

fn outgoing(key: String, at: i64, number: i64) -> Outgoing {
    Outgoing {
        key,
        value: format!(r#"{{"at":{at},"number":{number}}}"#),
        partition: None,
    }
}

/// Where Java's partitioner puts a key: murmur2, sign bit cleared, modulo.
pub fn partition_of(key: &str, partitions: i32) -> i32 {
    (murmur2(key.as_bytes()) & 0x7fff_ffff) as i32 % partitions
}

/// MurmurHash2 with Kafka's seed.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let words = bytes.chunks_exact(4);
    let rest = words.remainder();
    for word in words {
        let mut mixed = u32::from_le_bytes(word.try_into().expect("four bytes")).wrapping_mul(M);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(M) ^ mixed.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest
            .iter()
            .rev()
            .fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// Count, sum, min and max of numbers: what the app keeps a key, and what it sends with every record.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Summary {
    pub count: i64,
    pub sum: i64,
    pub min: i64,
    pub max: i64,
}

impl Summary {
    pub fn add(&mut self, number: i64) {
        if self.count == 0 {
            (self.min, self.max) = (number, number);
        }
        self.count += 1;
        self.sum += number;
        self.min = self.min.min(number);
        self.max = self.max.max(number);
    }
}

/// What the key `lo-hi` promises.
pub fn promised(key: &str) -> Summary {
    let (lo, hi) = key.split_once('-').expect("lo-hi");
    let (min, max): (i64, i64) = (lo.parse().expect("lo"), hi.parse().expect("hi"));
    let count = max - min + 1;
    Summary {
        count,
        sum: (min + max) * count / 2,
        min,
        max,
    }
}

/// The key by which numbers of all keys are gathered.
pub fn bucket(number: i64) -> String {
    format!("bucket-{}", number.rem_euclid(BUCKETS))
}

/// A record of the input.
#[derive(Clone, Debug)]
pub struct Number {
    pub key: Rc<str>,
    pub at: i64,
    pub number: i64,
}

/// A window that closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sum {
    pub key: Rc<str>,
    pub start: i64,
    pub count: i64,
    pub sum: i64,
}

/// A burst that is over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct Burst {
    pub start: i64,
    pub end: i64,
    pub count: i64,
    pub sum: i64,
}

/// What one partition must come to.
#[derive(Debug, Default)]
pub struct Replay {
    /// What is known of the key after each record.
    pub running: Vec<Summary>,
    /// The same after the last one.
    pub totals: HashMap<Rc<str>, Summary>,
    /// In the order in which they close.
    pub closed: Vec<Sum>,
    /// Count and sum by end and key of the windows that are still open.
    pub open: BTreeMap<(i64, Rc<str>), (i64, i64)>,
    /// Records that came too late.
    pub late: u64,
    /// Bursts by key, in the order in which they are over.
    pub bursts: Vec<(Rc<str>, Burst)>,
    /// Those that go on, by key and in the order of their ends.
    pub bursting: BTreeMap<Rc<str>, Vec<Burst>>,
    /// Records that came too late for their burst.
    pub late_for_bursts: i64,
}

/// Bounds of what a window of a bucket may hold: counts and sums behind a hop, over all partitions of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketSum {
    /// Numbers that were in time in their own partition: all of them count.
    pub in_time: i64,
    /// These and the late ones: where another partition was behind, such a number still counts.
    pub all: i64,
}

/// The windows of each bucket, by bucket and start, and the time up to which they are over: the slowest partition's.
pub fn bucket_sums(partitions: &[Vec<Number>]) -> (BTreeMap<(String, i64), BucketSum>, i64) {
    let mut sums: BTreeMap<(String, i64), BucketSum> = BTreeMap::new();
    let mut slowest = i64::MAX;
    for numbers in partitions {
        let mut time = i64::MIN / 2;
        for number in numbers {
            let start = number.at.div_euclid(SIZE) * SIZE;
            let sum = sums.entry((bucket(number.number), start)).or_default();
            sum.all += 1;
            if start + SIZE + GRACE > time {
                sum.in_time += 1;
            }
            time = time.max(number.at);
        }
        slowest = slowest.min(time);
    }
    (sums, slowest - SIZE - GRACE)
}

/// Replays the records of one partition by the definition of windows and lateness.
pub fn replay<'a>(records: impl IntoIterator<Item = &'a Number>) -> Replay {
    let mut replay = Replay::default();
    let mut stream_time = i64::MIN / 2;
    let mut bursts = Bursts::default();
    for record in records {
        let total = replay.totals.entry(record.key.clone()).or_default();
        total.add(record.number);
        replay.running.push(*total);
        let end = record.at.div_euclid(SIZE) * SIZE + SIZE;
        if end + GRACE <= stream_time {
            replay.late += 1;
        } else {
            let (count, sum) = replay.open.entry((end, record.key.clone())).or_default();
            *count += 1;
            *sum += record.number;
        }
        bursts.take(record, stream_time, &mut replay);
        stream_time = stream_time.max(record.at);
        while let Some(first) = replay.open.first_entry() {
            if first.key().0 + GRACE > stream_time {
                break;
            }
            let ((end, key), (count, sum)) = first.remove_entry();
            replay.closed.push(Sum {
                key,
                start: end - SIZE,
                count,
                sum,
            });
        }
        bursts.close(stream_time, &mut replay);
    }
    for (key, mut open) in bursts.open {
        open.sort_by_key(|burst| burst.end);
        if !open.is_empty() {
            replay.bursting.insert(key, open);
        }
    }
    replay
}

/// The bursts that go on: those of a key in the order of time, and which ends first.
#[derive(Default)]
struct Bursts {
    open: HashMap<Rc<str>, Vec<Burst>>,
    ends: BTreeSet<(i64, Rc<str>)>,
}

impl Bursts {
    fn take(&mut self, record: &Number, stream_time: i64, replay: &mut Replay) {
        let bursts = self.open.entry(record.key.clone()).or_default();
        let mut merged = Burst {
            start: record.at,
            end: record.at + GAP + 1,
            count: 1,
            sum: record.number,
        };
        // Two belong together when their last and first records are at most a gap apart.
        let belongs = |burst: &Burst| record.at >= burst.start - GAP && record.at < burst.end;
        let own: Vec<Burst> = bursts
            .iter()
            .filter(|burst| belongs(burst))
            .cloned()
            .collect();
        for burst in &own {
            merged.start = merged.start.min(burst.start);
            merged.end = merged.end.max(burst.end);
            merged.count += burst.count;
            merged.sum += burst.sum;
        }
        if merged.end + GRACE <= stream_time {
            replay.late_for_bursts += 1;
            return;
        }
        for burst in own {
            self.ends.remove(&(burst.end, record.key.clone()));
            bursts.retain(|other| *other != burst);
        }
        self.ends.insert((merged.end, record.key.clone()));
        bursts.push(merged);
    }

    fn close(&mut self, stream_time: i64, replay: &mut Replay) {
        while let Some((end, key)) = self.ends.first().cloned() {
            if end + GRACE > stream_time {
                return;
            }
            self.ends.pop_first();
            let bursts = self.open.get_mut(&key).expect("it has an end");
            let at = bursts.iter().position(|burst| burst.end == end);
            let burst = bursts.swap_remove(at.expect("the one with this end"));
            replay.bursts.push((key, burst));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(key: &str, at: i64, number: i64) -> Number {
        Number {
            key: key.into(),
            at,
            number,
        }
    }

    #[test]
    fn hashes_as_java_does() {
        // The vectors of Kafka's own UtilsTest.
        let vectors = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
        ];
        for (text, hash) in vectors {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
    }

    #[test]
    fn keys_promise_their_values() {
        let (count, sum, min, max) = (3, 12, 3, 5);
        let expected = Summary {
            count,
            sum,
            min,
            max,
        };
        assert_eq!(promised("3-5"), expected);
        let mut added = Summary::default();
        [5, 3, 4].into_iter().for_each(|number| added.add(number));
        assert_eq!(added, expected);
    }

    #[test]
    fn a_window_behind_a_hop_holds_all_that_was_in_time_in_its_own_partition() {
        let of = |numbers: &[(i64, i64)]| -> Vec<Number> {
            let numbers = numbers.iter();
            numbers.map(|(at, n)| number("a", *at, *n)).collect()
        };
        let partitions = [
            of(&[(1, 1), (40_000, 2), (2, 1 + BUCKETS)]),
            of(&[(3, 1), (31_000, 3)]),
        ];
        let (sums, over) = bucket_sums(&partitions);
        let first = sums[&("bucket-1".to_owned(), 0)];
        assert_eq!((first.in_time, first.all), (2, 3));
        assert_eq!(over, 16_000, "the start of the last window that is over");
    }

    #[test]
    fn windows_close_by_end_then_key_and_late_records_do_not_count() {
        let records = [
            number("b", 1, 1),
            number("a", 9_999, 2),
            number("a", 15_000, 4),
            number("b", 9_999, 8),
        ];
        let replay = replay(&records);
        let sums: Vec<_> = replay
            .closed
            .iter()
            .map(|sum| (&*sum.key, sum.start, sum.count, sum.sum))
            .collect();
        assert_eq!(sums, [("a", 0, 1, 2), ("b", 0, 1, 1)]);
        assert_eq!(replay.late, 1);
        assert_eq!(replay.open.len(), 1);
        assert_eq!(replay.running[3].sum, 9);
    }

    #[test]
    fn a_record_between_two_bursts_makes_them_one() {
        let records = [
            number("a", 0, 1),
            number("a", 12_000, 2),
            number("a", 6_000, 4),
            number("a", 33_001, 8),
        ];
        let replay = replay(&records);
        let (start, end, count, sum) = (0, 20_001, 3, 7);
        let burst = Burst {
            start,
            end,
            count,
            sum,
        };
        assert_eq!(replay.bursts, [("a".into(), burst)]);
        assert_eq!(replay.bursting["a"][0].sum, 8);
        assert_eq!(replay.late_for_bursts, 0);
    }

    #[test]
    fn every_value_of_a_key_is_made_once() {
        let amount = Amount {
            keys: 2,
            values: 100,
            partitions: 3,
        };
        let records: Vec<Outgoing> = generate(amount, Chaos::seeded(7)).collect();
        assert_eq!(records.len() as u64, amount.records());
        assert_eq!(amount.names().len(), 5);
        for key in amount.names() {
            let numbers = records.iter().filter(|record| record.key == key);
            let mut numbers: Vec<i64> = numbers
                .map(|record| {
                    let value: serde_json::Value = serde_json::from_str(&record.value).unwrap();
                    value["number"].as_i64().unwrap()
                })
                .collect();
            numbers.sort_unstable();
            let Summary { min, max, .. } = promised(&key);
            assert_eq!(numbers, (min..=max).collect::<Vec<_>>(), "{key}");
        }
    }
}
