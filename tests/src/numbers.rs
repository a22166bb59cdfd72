//! The verifier's input and oracle: keys `lo-hi` whose values are every integer from lo to hi, so that the key itself
//! says what count, sum, min and max must be; and a replay of the input that says every output, record by record.

use crate::chaos::Chaos;
use crate::client::Record;
use crate::feed::Outgoing;
use std::collections::{BTreeMap, HashMap};

/// 2026-01-01T00:00:00Z
const FIRST: i64 = 1_767_225_600_000;
const SIZE: i64 = 10_000;
const GRACE: i64 = 5_000;

/// `keys` keys of `values` integers each, shuffled among their neighbours, with times that jitter by up to ten seconds:
/// some are late. A last record in each partition closes every window.
pub fn generate(keys: i64, values: i64, partitions: i32, chaos: &mut Chaos) -> Vec<Outgoing> {
    let mut records = Vec::new();
    let mut order: Vec<i64> = (0..values).collect();
    for ix in 0..order.len() {
        let other = (ix + chaos.below(50) as usize).min(order.len() - 1);
        order.swap(ix, other);
    }
    for (step, nth) in order.into_iter().enumerate() {
        for key in 0..keys {
            let lo = key * 1000;
            let at = FIRST + step as i64 * 200 + chaos.below(10_000) as i64;
            let value = format!(r#"{{"at":{at},"number":{}}}"#, lo + nth);
            records.push(Outgoing {
                key: format!("{lo}-{}", lo + values - 1),
                value,
                partition: None,
            });
        }
    }
    let end = FIRST + values * 200 + 60_000;
    for partition in 0..partitions {
        // A key that belongs there, so that its outputs stay there too.
        let key = (0..)
            .find(|n| partition_of(&format!("{n}-{n}"), partitions) == partition)
            .expect("one of many");
        let value = format!(r#"{{"at":{end},"number":{key}}}"#);
        records.push(Outgoing {
            key: format!("{key}-{key}"),
            value,
            partition: None,
        });
    }
    records
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

/// What the key `lo-hi` promises: (count, sum, min, max).
pub fn promised(key: &str) -> (i64, i64, i64, i64) {
    let (lo, hi) = key.split_once('-').expect("lo-hi");
    let (lo, hi): (i64, i64) = (lo.parse().expect("lo"), hi.parse().expect("hi"));
    let count = hi - lo + 1;
    (count, (lo + hi) * count / 2, lo, hi)
}

/// What one partition must emit on close, in order: (key, start, count, sum).
pub type Sums = Vec<(String, i64, i64, i64)>;

/// Replays the records of one partition by the definition of windows and lateness. Returns the sums in the order in
/// which they close, and how many records were late.
pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> (Sums, usize) {
    let mut open: BTreeMap<(i64, Vec<u8>), (i64, i64)> = BTreeMap::new();
    let (mut closed, mut late, mut stream_time) = (Vec::new(), 0, i64::MIN / 2);
    for record in records {
        let number = record.json();
        let (at, value) = (
            number["at"].as_i64().expect("at"),
            number["number"].as_i64().expect("value"),
        );
        let end = at.div_euclid(SIZE) * SIZE + SIZE;
        if end + GRACE <= stream_time {
            late += 1;
        } else {
            let sum = open
                .entry((end, record.key().as_bytes().to_vec()))
                .or_default();
            sum.0 += 1;
            sum.1 += value;
        }
        stream_time = stream_time.max(at);
        while let Some(first) = open.first_entry() {
            if first.key().0 + GRACE > stream_time {
                break;
            }
            let ((end, key), (count, sum)) = first.remove_entry();
            closed.push((
                String::from_utf8(key).expect("text"),
                end - SIZE,
                count,
                sum,
            ));
        }
    }
    (closed, late)
}

/// Records by partition, in the order of offsets.
pub fn by_partition(records: Vec<Record>) -> HashMap<i32, Vec<Record>> {
    let mut partitions: HashMap<i32, Vec<Record>> = HashMap::new();
    for record in records {
        partitions.entry(record.partition).or_default().push(record);
    }
    partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, at: i64, value: i64) -> Record {
        let value = format!(r#"{{"at":{at},"number":{value}}}"#).into_bytes();
        let key = Some(key.as_bytes().to_vec());
        Record {
            partition: 0,
            offset: 0,
            timestamp: None,
            key,
            value: Some(value),
            headers: Vec::new(),
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
        assert_eq!(promised("3-5"), (3, 12, 3, 5));
    }

    #[test]
    fn windows_close_by_end_then_key_and_late_records_do_not_count() {
        let records = [
            record("b", 1, 1),
            record("a", 9_999, 2),
            record("a", 15_000, 4),
            record("b", 9_999, 8),
        ];
        let (closed, late) = replay(&records);
        assert_eq!(closed, [("a".into(), 0, 1, 2), ("b".into(), 0, 1, 1)]);
        assert_eq!(late, 1);
    }

    #[test]
    fn every_value_of_a_key_is_made_once() {
        let mut chaos = Chaos::new();
        let mut values: Vec<String> = generate(2, 100, 3, &mut chaos)
            .into_iter()
            .filter(|r| r.key == "1000-1099")
            .map(|r| r.value)
            .collect();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), 100);
    }
}
