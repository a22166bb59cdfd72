//! E0 to E3 and E7: the input is whole, and every output is that of a replay.

use super::{Check, INPUT, PARTITIONS};
use crate::client::{self, Isolation, Record};
use crate::numbers::{self, Amount, Burst, Number, Replay, Sum, Summary};
use anyhow::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// The input as the log holds it, and what must become of it.
pub struct Input {
    /// By partition, in the order of offsets.
    pub numbers: Vec<Vec<Number>>,
    pub replays: Vec<Replay>,
    names: Names,
}

impl Input {
    /// What the numbers of each bucket come to.
    pub fn buckets(&self) -> HashMap<String, Summary> {
        let mut buckets: HashMap<String, Summary> = HashMap::new();
        for number in self.numbers.iter().flatten() {
            let bucket = buckets.entry(numbers::bucket(number.number)).or_default();
            bucket.add(number.number);
        }
        buckets
    }
}

/// Keys, each kept once.
#[derive(Default)]
pub struct Names(HashSet<Rc<str>>);

impl Names {
    pub fn of(&mut self, record: &Record) -> Rc<str> {
        if let Some(name) = self.0.get(record.key()) {
            return name.clone();
        }
        let name: Rc<str> = record.key().into();
        self.0.insert(name.clone());
        name
    }
}

#[derive(Deserialize)]
struct NumberValue {
    at: serde_json::Value,
    number: i64,
}

#[derive(Deserialize)]
struct SumValue {
    start: i64,
    count: i64,
    sum: i64,
}

pub fn read<T: DeserializeOwned>(record: &Record) -> T {
    serde_json::from_slice(record.bytes()).expect("a value that the app wrote")
}

/// Every partition of a topic by `f`, in the order of offsets.
pub fn by_partition<T>(
    bootstrap: &str,
    topic: &str,
    mut f: impl FnMut(Record) -> T,
) -> Result<Vec<Vec<T>>> {
    let mut partitions: Vec<Vec<T>> = (0..PARTITIONS).map(|_| Vec::new()).collect();
    client::each(bootstrap, topic, Isolation::Committed, |record| {
        let partition = record.partition as usize;
        partitions[partition].push(f(record));
    })?;
    Ok(partitions)
}

/// Reads the input. E0: every number of every key is there once, in a log without gaps, or nothing else means anything.
pub fn input(bootstrap: &str, amount: Amount) -> Result<(Input, Check)> {
    let mut check = Check::new("E0", "the input is whole: each number of each key once");
    let mut names = Names::default();
    let mut next = [0; PARTITIONS as usize];
    let numbers = by_partition(bootstrap, INPUT, |record| {
        let due = &mut next[record.partition as usize];
        check.same(&record.offset, due, || {
            format!("offset in {INPUT}[{}]", record.partition)
        });
        *due = record.offset + 1;
        let value: NumberValue = read(&record);
        Number {
            key: names.of(&record),
            at: value.at.as_i64().expect("ms"),
            number: value.number,
        }
    })?;
    let ends = client::end_offsets(bootstrap, INPUT, Isolation::Uncommitted)?;
    for (partition, end) in ends.iter().enumerate() {
        check.same(&next[partition], end, || {
            format!("records read from {INPUT}[{partition}]")
        });
    }
    let mut kept: HashMap<&str, Vec<i64>> = HashMap::new();
    for number in numbers.iter().flatten() {
        kept.entry(&number.key).or_default().push(number.number);
    }
    for key in amount.names() {
        let mut found = kept.remove(key.as_str()).unwrap_or_default();
        found.sort_unstable();
        let Summary { min, max, .. } = numbers::promised(&key);
        let missing: Vec<i64> = (min..=max)
            .filter(|number| found.binary_search(number).is_err())
            .collect();
        let whole = missing.is_empty() && found.len() as i64 == max - min + 1;
        check.holds(whole, || {
            format!("{} numbers of {key}, missing {missing:?}", found.len())
        });
    }
    check.same_list(&kept.into_keys().collect::<Vec<_>>(), &[], |_| {
        "a key that nobody sent".to_owned()
    });
    let replays = numbers.iter().map(numbers::replay).collect();
    Ok((
        Input {
            numbers,
            replays,
            names,
        },
        check,
    ))
}

/// E1, E2, E3.
pub fn exactly(bootstrap: &str, input: &Input) -> Result<[Check; 3]> {
    let mut each = Check::new(
        "E1",
        "each record's outputs are those of a replay, in order",
    );
    let mut last = Check::new("E2", "the last totals are what the key says");
    let mut once = Check::new("E3", "each window closes once, sums and late are the input");
    let mut names = Names(input.names.0.clone());

    let echoes = by_partition(bootstrap, "echoes", |record| {
        let value: NumberValue = read(&record);
        (names.of(&record), value.number, record.timestamp)
    })?;
    for (partition, echoes) in echoes.iter().enumerate() {
        let expected: Vec<_> = input.numbers[partition]
            .iter()
            .map(|number| (number.key.clone(), number.number, Some(number.at)))
            .collect();
        each.same_list(echoes, &expected, |at| format!("echoes[{partition}] #{at}"));
    }
    drop(echoes);

    let running = by_partition(bootstrap, "running", |record| {
        (names.of(&record), read::<Summary>(&record))
    })?;
    let mut totals: HashMap<Rc<str>, Summary> = HashMap::new();
    for (partition, running) in running.into_iter().enumerate() {
        let (numbers, replay) = (&input.numbers[partition], &input.replays[partition]);
        let expected: Vec<_> = numbers
            .iter()
            .map(|number| number.key.clone())
            .zip(replay.running.iter().copied())
            .collect();
        each.same_list(&running, &expected, |at| {
            format!("running[{partition}] #{at}")
        });
        totals.extend(running);
    }
    for key in &input.names.0 {
        last.same(
            &totals.get(key).copied(),
            &Some(numbers::promised(key)),
            || format!("the total of {key}"),
        );
    }

    let mut buckets: HashMap<Rc<str>, Summary> = HashMap::new();
    by_partition(bootstrap, "buckets", |record| {
        let (key, found): (_, Summary) = (names.of(&record), read(&record));
        let before = buckets.insert(key.clone(), found).unwrap_or_default();
        // In which order records of several partitions come through the hop is open; that each comes once is not.
        each.same(&found.count, &(before.count + 1), || {
            format!(
                "count of {key}, at {} of buckets[{}]",
                record.offset, record.partition
            )
        });
    })?;
    for (key, expected) in input.buckets() {
        let found = buckets.remove(key.as_str());
        last.same(&found, &Some(expected), || format!("the total of {key}"));
    }

    let bursts = bursts(bootstrap, &mut names)?;
    for (partition, bursts) in bursts.iter().enumerate() {
        let replay = &input.replays[partition];
        once.same_list(bursts, &replay.bursts, |at| {
            format!("bursts[{partition}] #{at}")
        });
        let emitted: i64 = bursts.iter().map(|(_, burst)| burst.count).sum();
        let open: i64 = replay
            .bursting
            .values()
            .flatten()
            .map(|burst| burst.count)
            .sum();
        once.same(
            &(emitted + open + replay.late_for_bursts),
            &(input.numbers[partition].len() as i64),
            || format!("bursts[{partition}]: emitted, still open and late"),
        );
    }
    drop(bursts);

    let sums = sums(bootstrap, &mut names)?;
    for (partition, sums) in sums.iter().enumerate() {
        let replay = &input.replays[partition];
        once.same_list(sums, &replay.closed, |at| {
            format!("sums[{partition}] #{at}")
        });
        let emitted: i64 = sums.iter().map(|sum| sum.count).sum();
        let open: i64 = replay.open.values().map(|(count, _)| count).sum();
        once.same(
            &(emitted + open + replay.late as i64),
            &(input.numbers[partition].len() as i64),
            || format!("sums[{partition}]: emitted, still open and late"),
        );
    }
    bucket_sums(bootstrap, input, &mut once, true)?;
    once.holds(input.replays.iter().any(|replay| replay.late > 0), || {
        "no record was late: lateness is not tested".to_owned()
    });
    Ok([each, last, once])
}

/// Windows behind the hop: each that is over by the slowest partition of the input closes, `once` or more often, with
/// all that was in time in its own partition.
fn bucket_sums(bootstrap: &str, input: &Input, check: &mut Check, once: bool) -> Result<()> {
    let (sums, over) = numbers::bucket_sums(&input.numbers);
    let mut found: HashMap<(String, i64), Vec<i64>> = HashMap::new();
    by_partition(bootstrap, "bucket_sums", |record| {
        let SumValue { start, count, .. } = read(&record);
        let window = (record.key().to_owned(), start);
        found.entry(window).or_default().push(count);
    })?;
    for (window, sum) in &sums {
        let counts = found.remove(window).unwrap_or_default();
        let closed = match counts.len() {
            0 => window.1 > over || sum.in_time == 0,
            times => times == 1 || !once,
        };
        let most = if once { sum.all } else { i64::MAX };
        let whole = match once {
            true => counts.iter().all(|n| (sum.in_time..=most).contains(n)),
            false => counts.iter().min().is_none_or(|n| *n >= sum.in_time),
        };
        check.holds(closed && whole, || {
            format!("{counts:?} of {window:?} in bucket_sums, which is {sum:?}")
        });
    }
    check.holds(found.is_empty(), || {
        format!("windows of nothing in bucket_sums: {found:?}")
    });
    Ok(())
}

/// A burst and its key.
type Over = (Rc<str>, Burst);

fn bursts(bootstrap: &str, names: &mut Names) -> Result<Vec<Vec<Over>>> {
    by_partition(bootstrap, "bursts", |record| {
        (names.of(&record), read(&record))
    })
}

fn sums(bootstrap: &str, names: &mut Names) -> Result<Vec<Vec<Sum>>> {
    by_partition(bootstrap, "sums", |record| {
        let SumValue { start, count, sum } = read(&record);
        Sum {
            key: names.of(&record),
            start,
            count,
            sum,
        }
    })
}

/// E7: at-least-once. Nothing is missing; a record counts again at most as often as it was echoed again.
pub fn at_least(bootstrap: &str, input: &Input) -> Result<Check> {
    let mut check = Check::new(
        "E7",
        "nothing missing, counts too high by replayed records at most",
    );
    let mut names = Names(input.names.0.clone());
    let mut echoes: HashMap<(Rc<str>, i64), i64> = HashMap::new();
    by_partition(bootstrap, "echoes", |record| {
        let value: NumberValue = read(&record);
        *echoes.entry((names.of(&record), value.number)).or_default() += 1;
    })?;
    // Count and sum of what was echoed again.
    let mut again: HashMap<Rc<str>, (i64, i64)> = HashMap::new();
    for number in input.numbers.iter().flatten() {
        let times = echoes.get(&(number.key.clone(), number.number));
        check.holds(times.is_some(), || format!("no echo of {number:?}"));
        let more = times.map_or(0, |times| times - 1);
        let again = again.entry(number.key.clone()).or_default();
        again.0 += more;
        again.1 += more * number.number;
    }
    let mut totals: HashMap<Rc<str>, Summary> = HashMap::new();
    by_partition(bootstrap, "running", |record| {
        totals.insert(names.of(&record), read::<Summary>(&record));
    })?;
    for key in &input.names.0 {
        let truth = numbers::promised(key);
        let (count, sum) = again.get(key).copied().unwrap_or_default();
        let total = totals.get(key).copied().unwrap_or_default();
        let holds = (total.min, total.max) == (truth.min, truth.max)
            && (truth.count..=truth.count + count).contains(&total.count)
            && (truth.sum..=truth.sum + sum).contains(&total.sum);
        check.holds(holds, || {
            format!("{total:?} of {key}, of which {count} numbers were echoed again")
        });
    }
    bucket_sums(bootstrap, input, &mut check, false)?;
    for (partition, bursts) in bursts(bootstrap, &mut names)?.into_iter().enumerate() {
        // It begins and ends where it must; what came again may count again.
        let mut least: HashMap<(Rc<str>, i64, i64), i64> = HashMap::new();
        for (key, burst) in bursts {
            let least = least
                .entry((key, burst.start, burst.end))
                .or_insert(burst.count);
            *least = (*least).min(burst.count);
        }
        for (key, burst) in &input.replays[partition].bursts {
            let found = least.get(&(key.clone(), burst.start, burst.end)).copied();
            check.holds(found >= Some(burst.count), || {
                format!("{found:?} of {burst:?} of {key} in bursts[{partition}]")
            });
        }
    }
    for (partition, sums) in sums(bootstrap, &mut names)?.into_iter().enumerate() {
        let mut least: HashMap<(Rc<str>, i64), i64> = HashMap::new();
        for sum in sums {
            let least = least.entry((sum.key, sum.start)).or_insert(sum.count);
            *least = (*least).min(sum.count);
        }
        for sum in &input.replays[partition].closed {
            let found = least.get(&(sum.key.clone(), sum.start)).copied();
            check.holds(found >= Some(sum.count), || {
                format!("{found:?} of {sum:?} in sums[{partition}]")
            });
        }
    }
    Ok(check)
}
