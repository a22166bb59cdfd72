//! E4: a table is the fold of its changelog and of the input, on every worker.

use super::crew::Crew;
use super::meetings;
use super::outputs::Input;
use super::{APP, Check, Guarantee, HOP, INPUT, PARTITIONS};
use crate::client::{self, Isolation};
use crate::numbers::{Burst, Summary};
use crate::pairs::{self, Meetings};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use stream_runtime::store::{SledOptions, SledStore, Store};

/// The first byte of a row's key in a changelog; the mark has another.
const ROW: u8 = 1;

/// Tables of the task that reads the input.
const TABLES: [&str; 3] = ["running", "sums", "bursts"];
/// The tables behind the hop.
const BUCKETS: &str = "buckets";
const BUCKET_SUMS: &str = "bucket_sums";
/// The two sides of the join.
const SIDES: [&str; 2] = ["meet-left", "meet-right"];

fn changelog(table: &str) -> String {
    format!("{APP}-{table}-changelog")
}

/// The changelogs that belong to a partition, by its label in a worker's log.
pub fn changelogs(label: &str) -> Vec<(String, i32)> {
    let Some((topic, number)) = label.trim_end_matches(']').split_once('[') else {
        return Vec::new();
    };
    let number = number.parse().expect("a partition's number");
    let tables: &[&str] = match topic {
        INPUT => &TABLES,
        HOP => &[BUCKETS, BUCKET_SUMS],
        _ if topic == pairs::TOPICS.join("+") => &SIDES,
        _ => &[],
    };
    tables
        .iter()
        .map(|table| (changelog(table), number))
        .collect()
}

/// The last change of a row: its offset, and the value if it is still there.
type Last = (i64, Option<Vec<u8>>);

/// A table's partition as its changelog says, by key; the mark left out.
type Folded = BTreeMap<Vec<u8>, Last>;

fn fold(bootstrap: &str, table: &str) -> Result<Vec<Folded>> {
    let mut folded = vec![Folded::new(); PARTITIONS as usize];
    client::each(
        bootstrap,
        &changelog(table),
        Isolation::Committed,
        |record| {
            if let Some((&ROW, key)) = record.key.as_deref().and_then(<[u8]>::split_first) {
                folded[record.partition as usize]
                    .insert(key.to_vec(), (record.offset, record.value));
            }
        },
    )?;
    Ok(folded)
}

#[derive(Deserialize)]
struct SumRow {
    count: i64,
    sum: i64,
}

/// A session in a row: start, end, its last record's time, sums, what it was when it closed, whether it is silent.
type SessionRow = (i64, i64, i64, SumRow, Vec<SumRow>, bool);

fn burst((start, end, _, SumRow { count, sum }, ..): SessionRow) -> Burst {
    Burst {
        start,
        end,
        count,
        sum,
    }
}

pub fn folds(
    guarantee: Guarantee,
    bootstrap: &str,
    input: &Input,
    meetings: &[Meetings],
    crew: &Crew,
) -> Result<Check> {
    let mut check = Check::new(
        "E4",
        "tables are the fold of changelog and input on every worker",
    );
    let mut logs = HashMap::new();
    for table in TABLES
        .into_iter()
        .chain([BUCKETS, BUCKET_SUMS])
        .chain(SIDES)
    {
        logs.insert(table, fold(bootstrap, table)?);
    }
    if guarantee == Guarantee::ExactlyOnce {
        for partition in 0..PARTITIONS as usize {
            of_input(&mut check, &logs, input, partition)?;
            for (side, table) in SIDES.into_iter().enumerate() {
                let waiting = &meetings[partition].waiting[side];
                let rows = rows(&logs[table][partition]);
                meetings::waits(&mut check, waiting, rows, &format!("{table}[{partition}]"))?;
            }
        }
        let mut buckets = HashMap::new();
        for (key, (_, value)) in logs[BUCKETS].iter().flatten() {
            if let Some(value) = value {
                let row: Summary = rmp_serde::from_slice(value)?;
                buckets.insert(std::str::from_utf8(key)?.to_owned(), row);
            }
        }
        check.same(&buckets, &input.buckets(), || {
            "the table buckets".to_owned()
        });
    }
    for worker in crew.stores() {
        let store = SledStore::open(&worker, SledOptions::default())
            .with_context(|| worker.display().to_string())?;
        check.holds(store.set_aside().is_none(), || {
            format!("{} did not open", worker.display())
        });
        for (table, partition) in store.trees()? {
            let Some(folded) = logs.get(table.as_str()) else {
                continue;
            };
            let tree = store.tree(&table, partition)?;
            let Some(checkpoint) = tree.checkpoint()? else {
                continue;
            };
            let mut rows: BTreeMap<Vec<u8>, Vec<u8>> =
                tree.scan(&[], None).collect::<Result<_, _>>()?;
            for (key, (offset, value)) in &folded[partition as usize] {
                let stored = rows.remove(key);
                // What comes behind the checkpoint is read from the changelog, whatever the store holds.
                check.holds(
                    *offset >= checkpoint.changelog_offset || stored == *value,
                    || {
                        format!(
                            "{} holds {stored:?} of a row of {table}[{partition}] that changed last at {offset} to {value:?}, and says that it is true up to {}",
                            worker.display(),
                            checkpoint.changelog_offset
                        )
                    },
                );
            }
            check.holds(rows.is_empty(), || {
                format!(
                    "{} holds {} rows of {table}[{partition}] that the changelog has not",
                    worker.display(),
                    rows.len()
                )
            });
        }
    }
    Ok(check)
}

/// The rows that are still there.
fn rows(folded: &Folded) -> impl Iterator<Item = (&[u8], &[u8])> {
    folded
        .iter()
        .filter_map(|(key, (_, value))| Some((key.as_slice(), value.as_deref()?)))
}

/// The changelogs of a partition against the replay of its input.
fn of_input(
    check: &mut Check,
    logs: &HashMap<&str, Vec<Folded>>,
    input: &Input,
    partition: usize,
) -> Result<()> {
    let replay = &input.replays[partition];
    let rows = |table: &str| rows(&logs[table][partition]);
    let mut running = HashMap::new();
    for (key, value) in rows("running") {
        let row: Summary = rmp_serde::from_slice(value)?;
        running.insert(std::str::from_utf8(key)?, row);
    }
    for (key, total) in &replay.totals {
        check.same(&running.remove(&**key), &Some(*total), || {
            format!("the changelog's total of {key}")
        });
    }
    let left: Vec<_> = running.into_iter().collect();
    check.same_list(&left, &[], |_| format!("running[{partition}]"));

    let mut open = Vec::new();
    for (key, value) in rows("sums") {
        let (end, key) = key.split_first_chunk::<8>().context("a window's key")?;
        let end = (u64::from_be_bytes(*end) ^ (1 << 63)) as i64;
        let SumRow { count, sum } = rmp_serde::from_slice(value)?;
        open.push(((end, std::str::from_utf8(key)?), (count, sum)));
    }
    let expected: Vec<_> = replay
        .open
        .iter()
        .map(|((end, key), sums)| ((*end, &**key), *sums))
        .collect();
    check.same_list(&open, &expected, |at| {
        format!("open windows of sums[{partition}] #{at}")
    });

    let mut bursts = replay.bursting.clone();
    for (key, value) in rows("bursts") {
        let key = std::str::from_utf8(key)?;
        let found: Vec<SessionRow> = rmp_serde::from_slice(value)?;
        let found: Vec<Burst> = found.into_iter().map(burst).collect();
        check.same(&bursts.remove(key).unwrap_or_default(), &found, || {
            format!("bursts of {key} that go on, by the input and by the changelog")
        });
    }
    let left: Vec<_> = bursts.into_iter().collect();
    check.same_list(&[], &left, |_| format!("bursts[{partition}]"));
    Ok(())
}
