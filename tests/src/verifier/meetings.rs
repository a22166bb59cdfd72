//! The join in E1, E3, E4 and E7: each pair once, each record that met nobody once when its time was over, and the rest
//! in its tables.

use super::Check;
use super::outputs::{self, Names};
use crate::pairs::{self, Meetings, Met, Said, Waiting};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::HashMap;
use std::rc::Rc;

#[derive(Deserialize)]
struct SaidValue {
    at: i64,
    number: i64,
}

#[derive(Deserialize)]
struct MetValue {
    question: Option<i64>,
    answer: Option<i64>,
}

/// The row of a record that waits.
#[derive(Deserialize)]
struct Row {
    matched: bool,
}

/// What must come of both topics, by partition.
pub fn expected(bootstrap: &str) -> Result<Vec<Meetings>> {
    let mut names = Names::default();
    let mut side = |topic| {
        outputs::by_partition(bootstrap, topic, |record| {
            let SaidValue { at, number } = outputs::read(&record);
            Said {
                key: names.of(&record),
                at,
                number,
                offset: record.offset,
            }
        })
    };
    let [questions, answers] = pairs::TOPICS.map(&mut side);
    let both = questions?.into_iter().zip(answers?);
    Ok(both
        .map(|(questions, answers)| pairs::meet(&questions, &answers))
        .collect())
}

fn found(bootstrap: &str) -> Result<Vec<Vec<Met>>> {
    let mut names = Names::default();
    outputs::by_partition(bootstrap, "met", |record| {
        let MetValue { question, answer } = outputs::read(&record);
        Met {
            key: names.of(&record),
            question,
            answer,
            at: record.timestamp.unwrap_or(-1),
        }
    })
}

/// How often each came.
fn times(met: &[Met]) -> HashMap<&Met, u64> {
    let mut times = HashMap::new();
    for met in met {
        *times.entry(met).or_default() += 1;
    }
    times
}

/// Pairs are part of E1, records that went alone of E3. In which order the two topics were read is open, so only what
/// closes has an order.
pub fn exactly(
    bootstrap: &str,
    expected: &[Meetings],
    each: &mut Check,
    once: &mut Check,
) -> Result<()> {
    for (partition, found) in found(bootstrap)?.iter().enumerate() {
        let meetings = &expected[partition];
        let mut found_times = times(found);
        for (check, met) in [(&mut *each, &meetings.pairs), (&mut *once, &meetings.alone)] {
            // Once, unless a client wrote a record of the input twice.
            for (met, expected) in times(met) {
                let times = found_times.remove(met).unwrap_or_default();
                check.same(&times, &expected, || {
                    format!("times of {met:?} in met[{partition}]")
                });
            }
        }
        for (met, times) in found_times {
            let check = if met.is_pair() {
                &mut *each
            } else {
                &mut *once
            };
            check.same(&times, &0, || {
                format!("times of {met:?} in met[{partition}]")
            });
        }
        let mut last = i64::MIN;
        for met in found.iter().filter(|met| !met.is_pair()) {
            once.holds(last <= met.at, || {
                format!("{met:?} closed after one of {last} in met[{partition}]")
            });
            last = met.at;
        }
    }
    let tested = |of: &Meetings| !of.pairs.is_empty() && !of.alone.is_empty() && of.late > 0;
    once.holds(expected.iter().any(tested), || {
        "no partition has pairs, records alone and late ones: the join is not tested".to_owned()
    });
    Ok(())
}

/// E7 of the join: all there, and nothing else; how often is open.
pub fn at_least(bootstrap: &str, expected: &[Meetings], check: &mut Check) -> Result<()> {
    for (partition, found) in found(bootstrap)?.iter().enumerate() {
        let mut times = times(found);
        let Meetings { pairs, alone, .. } = &expected[partition];
        for met in pairs.iter().chain(alone) {
            check.holds(times.remove(met).is_some(), || {
                format!("{met:?} is not in met[{partition}]")
            });
        }
        for met in times.into_keys() {
            check.holds(false, || format!("{met:?} in met[{partition}] is not so"));
        }
    }
    Ok(())
}

/// The rows of one side are those that somebody who is not late may be near to.
pub fn waits<'a>(
    check: &mut Check,
    waiting: &Waiting,
    rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    table: &str,
) -> Result<()> {
    let mut waiting = waiting.clone();
    for (key, value) in rows {
        let key = parse(key).with_context(|| format!("a row's key in {table}"))?;
        let Row { matched } = rmp_serde::from_slice(value)?;
        check.same(&Some(matched), &waiting.remove(&key), || {
            format!("whether the record {key:?} in {table} has met one")
        });
    }
    let left: Vec<_> = waiting.into_iter().collect();
    check.same_list(&[], &left, |_| format!("waiting in {table}"));
    Ok(())
}

/// Key, two zeros, time, two zeros, offset; numbers big-endian with the sign flipped, zeros of the time escaped by
/// `ff`.
fn parse(bytes: &[u8]) -> Option<(Rc<str>, i64, i64)> {
    let end = bytes.windows(2).position(|two| two == [0, 0])?;
    let key = std::str::from_utf8(&bytes[..end]).ok()?;
    let (rest, offset) = bytes[end + 2..].split_last_chunk::<8>()?;
    let mut time = Vec::new();
    let mut escaped = rest.strip_suffix(&[0, 0])?.iter();
    while let Some(byte) = escaped.next() {
        time.push(*byte);
        if *byte == 0 {
            escaped.next();
        }
    }
    let number = |bytes: [u8; 8]| (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64;
    Some((key.into(), number(time.try_into().ok()?), number(*offset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_join_are_read() {
        let bytes = b"a\0\0\x80\0\xff\0\xff\0\xff\0\xff\0\xff\x01\0\xff\0\0\x80\0\0\0\0\0\0\x07";
        assert_eq!(parse(bytes), Some(("a".into(), 256, 7)));
        assert_eq!(parse(b"a\0"), None);
    }
}
