//! E4: a table is the fold of its changelog and of the input, on every worker.

use super::crew::Crew;
use super::outputs::Input;
use super::{APP, Check, Guarantee, HOP, INPUT, PARTITIONS};
use crate::client::{self, Isolation};
use crate::numbers::Summary;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use stream_runtime::store::{SledOptions, SledStore, Store};

/// The first byte of a row's key in a changelog; the mark has another.
const ROW: u8 = 1;

/// Tables of the task that reads the input.
const TABLES: [&str; 3] = ["running", "sums", "bursts"];
/// The table behind the hop.
const BUCKETS: &str = "buckets";

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
        HOP => &[BUCKETS],
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

pub fn folds(guarantee: Guarantee, bootstrap: &str, input: &Input, crew: &Crew) -> Result<Check> {
    let mut check = Check::new(
        "E4",
        "tables are the fold of changelog and input on every worker",
    );
    let mut logs = HashMap::new();
    for table in TABLES.into_iter().chain([BUCKETS]) {
        logs.insert(table, fold(bootstrap, table)?);
    }
    if guarantee == Guarantee::ExactlyOnce {
        for partition in 0..PARTITIONS as usize {
            of_input(&mut check, &logs, input, partition)?;
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

/// The changelogs of a partition against the replay of its input.
fn of_input(
    check: &mut Check,
    logs: &HashMap<&str, Vec<Folded>>,
    input: &Input,
    partition: usize,
) -> Result<()> {
    let replay = &input.replays[partition];
    let rows = |table: &str| {
        logs[table][partition]
            .iter()
            .filter_map(|(key, (_, value))| Some((key.as_slice(), value.as_deref()?)))
    };
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
    Ok(())
}
