//! Orders for the app `faulty`: fed while faults happen, and proof that each was counted once.

use crate::client::{self, Isolation, Sender};
use crate::feed::{Feed, Outgoing};
use std::collections::BTreeMap;

pub const INPUT: &str = "orders";
pub const OUTPUT: &str = "totals";
pub const CHANGELOG: &str = "faulty-orders-changelog";

/// An order that does `act`.
pub fn order(amount: i64, act: &str) -> String {
    format!(r#"{{"at":"2026-01-01T00:00:00Z","amount":{amount},"act":"{act}"}}"#)
}

/// `each` orders of `keys` keys in every partition, one after the other; the n-th of a key is worth n % 1000 + 1.
pub fn records(partitions: i32, keys: i64, each: i64) -> Vec<Outgoing> {
    let all = each * keys * i64::from(partitions);
    (0..all).map(|at| nth(partitions, keys, at)).collect()
}

fn nth(partitions: i32, keys: i64, at: i64) -> Outgoing {
    let (turn, partition) = (at / i64::from(partitions), at % i64::from(partitions));
    let (number, key) = (turn / keys, turn % keys);
    Outgoing {
        key: format!("{partition}-{key}"),
        value: order(number % 1000 + 1, ""),
        partition: Some(partition as i32),
    }
}

/// Makes the input topic.
pub fn create(bootstrap: &str, partitions: i32) {
    client::create_topic(bootstrap, INPUT, partitions, &[("retention.ms", "-1")]).unwrap();
}

/// Feeds `per_second` orders of 5 keys in each partition until it is stopped.
pub fn feed(bootstrap: &str, partitions: i32, per_second: u64) -> Feed {
    let records = (0..).map(move |at| nth(partitions, 5, at));
    Feed::start(bootstrap, INPUT, records, per_second)
}

/// Sends records as fast as it goes.
pub fn send(bootstrap: &str, records: Vec<Outgoing>) {
    Feed::start(bootstrap, INPUT, records, u64::MAX)
        .finish()
        .unwrap();
}

/// Sends one order.
pub fn send_one(bootstrap: &str, key: &str, amount: i64, partition: i32) {
    let sender = Sender::new(bootstrap).unwrap();
    let value = order(amount, "");
    let (key, value) = (key.as_bytes(), value.as_bytes());
    sender
        .send(INPUT, Some(key), Some(value), Some(partition))
        .unwrap();
    sender.finish().unwrap();
}

/// The committed totals of every key: (count, sum), in the order of offsets.
pub fn totals(bootstrap: &str) -> BTreeMap<String, Vec<(i64, i64)>> {
    let mut totals: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
    for record in client::read_all(bootstrap, OUTPUT, Isolation::Committed).unwrap() {
        let total = record.json();
        let number = |name: &str| total[name].as_i64().unwrap();
        totals
            .entry(record.key().to_owned())
            .or_default()
            .push((number("count"), number("sum")));
    }
    totals
}

/// The totals of every key as a replay of the input has them.
fn replayed(bootstrap: &str) -> BTreeMap<String, Vec<(i64, i64)>> {
    let mut expected: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
    for record in client::read_all(bootstrap, INPUT, Isolation::Committed).unwrap() {
        let amount = record.json()["amount"].as_i64().unwrap();
        let totals = expected.entry(record.key().to_owned()).or_default();
        let (count, sum) = totals.last().copied().unwrap_or_default();
        totals.push((count + 1, sum + amount));
    }
    expected
}

/// No order in the input was lost: the last total of each key counts no fewer.
pub fn assert_none_lost(bootstrap: &str) {
    let (expected, found) = (replayed(bootstrap), totals(bootstrap));
    assert!(!expected.is_empty(), "nothing was compared");
    for (key, expected) in &expected {
        let counted = found.get(key).and_then(|totals| totals.last());
        let counted = counted.map_or(0, |(count, _)| *count);
        let sent = expected.len() as i64;
        assert!(counted >= sent, "{key}: {counted} counted of {sent}");
    }
}

/// Every order in the input was counted once: the totals of each key are those of a replay, none missing, none twice.
/// Returns how many there are.
pub fn assert_each_counted_once(bootstrap: &str) -> usize {
    let (expected, found) = (replayed(bootstrap), totals(bootstrap));
    let mut compared = 0;
    for (key, expected) in &expected {
        let found = found.get(key).map_or(&[][..], Vec::as_slice);
        let first = expected.iter().zip(found).find(|(want, got)| want != got);
        let (want, got) = (expected.len(), found.len());
        assert!(
            first.is_none() && want == got,
            "{key}: {got} totals of {want}, (expected, found) {first:?}"
        );
        compared += want;
    }
    assert_eq!(found.len(), expected.len(), "totals of other keys");
    assert!(compared > 0, "nothing was compared");
    compared
}
