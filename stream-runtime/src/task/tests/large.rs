//! A table larger than its cache, over sled.

use std::any::{Any, TypeId};
use std::sync::Arc;

use super::by_hand::{shape, start};
use super::driver::settings;
use super::specs::*;
use crate::handler::Event;
use crate::record::Record;
use crate::store::{Checkpoint, MemoryStore, SledOptions, SledStore, Store, Tree, TreeWrite};
use crate::table::{Plain, Table, TableSpec, open};
use crate::task::{Now, Pulse, RawRecord, Task, TaskParts, TaskSettings};
use crate::topology::{AgentFuture, AgentOptions, SourceLocation, TableDescriptor};

#[derive(Debug)]
struct Sums;

impl TableSpec for Sums {
    type Key = u64;
    type Value = i64;
    type Kind = Plain;
    const DESCRIPTOR: &'static TableDescriptor = &TableDescriptor {
        name: "sums",
        place: SourceLocation {
            module: module_path!(),
            file: file!(),
            line: line!(),
        },
        key: "u64",
        value: "i64",
        type_id: TypeId::of::<Sums>,
        open: open::<Sums>,
        ..TableDescriptor::DEFAULT
    };
}

/// Adds the value to the row of the time; a negative value removes the row.
fn sum(cx: &dyn Any) -> AgentFuture {
    start::<Event<In>, _, _, _>(cx, |event, cx| {
        let mut sums = cx.get::<Table<Sums>>();
        async move {
            let key = event.time as u64;
            if event.value < 0 {
                sums.remove(&key);
            } else {
                sums.update(&key, |sum| *sum += event.value);
            }
        }
    })
}

/// Looks at the row of the time.
fn look(cx: &dyn Any) -> AgentFuture {
    start::<Event<In>, _, _, _>(cx, |event, cx| {
        let sums = cx.get::<Table<Sums>>();
        async move {
            assert_eq!(sums.get(&(event.time as u64)), Some(event.value));
        }
    })
}

/// A task with one agent over a tree, its cache so large.
fn task_over(tree: Arc<dyn Tree>, cache_bytes: usize, agent: fn(&dyn Any) -> AgentFuture) -> Task {
    let settings = TaskSettings {
        cache_bytes,
        ..settings()
    };
    Task::new(TaskParts {
        topology: one_agent(
            AgentOptions::DEFAULT,
            || shape::<Event<In>, _, (Table<Sums>,), ()>(&[true]),
            agent,
        ),
        partition: 0,
        partitions: 1,
        sources: vec![],
        settings,
        trees: vec![Some(tree)],
        states: Arc::default(),
        wake: Arc::new(|| {}),
        pulse: Arc::new(Pulse::default()),
    })
    .unwrap()
}

/// The changelog's key of a row.
fn change(key: u64) -> Vec<u8> {
    let mut bytes = vec![crate::table::ROW_TAG];
    bytes.extend_from_slice(&key.to_be_bytes());
    bytes
}

#[test]
fn a_row_that_is_restored_again_while_its_round_is_written_is_not_lost() {
    let tree = MemoryStore::new().tree("sums", 0).unwrap();
    let mut task = task_over(tree, 64 << 10, sum);
    task.restore(0, &change(1), Some(&[5])).unwrap();
    let (_, commit, _) = task.take_round(0, false).unwrap();
    task.restore(0, &change(1), Some(&[7])).unwrap();
    task.round_done(0, commit, true);
    let (rows, _, _) = task.take_round(0, false).unwrap();
    let values: Vec<_> = rows.iter().map(|(_, value)| value.as_deref()).collect();
    assert_eq!(values, [Some(&[7][..])]);
}

#[test]
fn a_cache_is_full_by_what_its_rows_weigh_and_until_the_store_has_them() {
    let tree = MemoryStore::new().tree("sums", 0).unwrap();
    let mut task = task_over(tree, 1 << 20, sum);
    let heavy = [0; 10_000];
    for key in 0..45 {
        task.restore(0, &change(key), Some(&heavy)).unwrap();
    }
    assert!(!task.is_full());
    for key in 45..200 {
        task.restore(0, &change(key), Some(&heavy)).unwrap();
    }
    assert!(task.is_full());
    let (rows, commit, _) = task.take_round(0, false).unwrap();
    assert_eq!(rows.len(), 200);
    assert!(task.is_full());
    task.round_done(0, commit, true);
    assert!(!task.is_full());
    assert!(task.cached(0) <= 100, "{} rows", task.cached(0));
}

#[test]
fn rows_that_are_only_read_do_not_stay_in_memory() {
    let store = MemoryStore::new();
    let tree = store.tree("sums", 0).unwrap();
    let value = |key: u64| (key % 100) as i64;
    let row = |key: u64| {
        let bytes = Some([value(key) as u8].into());
        (key.to_be_bytes().into(), bytes)
    };
    store
        .round(&mut [TreeWrite {
            tree: tree.clone(),
            rows: (0..KEYS).map(row).collect(),
            checkpoint: Checkpoint::default(),
        }])
        .unwrap();
    let mut task = task_over(tree, 64 << 10, look);
    task.recovered(&[Default::default()]).unwrap();
    task.begin_at(&[0]);
    let now = Now {
        wall: 1_900_000_000_000,
        mono: 0,
    };
    let mut largest = 0;
    for key in 0..KEYS {
        let mut bytes = Vec::new();
        let (time, value) = (key as i64, value(key));
        In { time, value }.encode(&mut bytes).unwrap();
        task.inbox(0).push(RawRecord {
            offset: key as i64,
            timestamp: 1,
            key: Some(b"k"),
            value: Some(&bytes),
            headers: &[],
        });
        if key % 1000 == 999 {
            while task.run(now).unwrap().more {}
            task.prepare().unwrap();
            task.committed();
            largest = largest.max(task.cached(0));
        }
    }
    assert!(largest < 2_000, "{largest} rows in the cache");
}

const KEYS: u64 = 20_000;

#[test]
fn a_table_larger_than_its_cache_works_over_sled() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
    // Room for a few hundred rows.
    let tree = store.tree("sums", 0).unwrap();
    let mut task = task_over(tree.clone(), 64 << 10, sum);
    task.recovered(&[Default::default()]).unwrap();
    task.begin_at(&[0]);
    let now = Now {
        wall: 1_900_000_000_000,
        mono: 0,
    };
    let mut expected = vec![None; KEYS as usize];
    let (mut offset, mut largest) = (0, 0);
    for round in 0..6u64 {
        for i in 0..KEYS / 2 {
            let key = (i * 7919 + round * 104_729) % KEYS;
            let value = if i % 11 == 0 { -1 } else { i as i64 };
            let row = &mut expected[key as usize];
            *row = (value >= 0).then(|| row.unwrap_or(0) + value);
            let mut bytes = Vec::new();
            In {
                time: key as i64,
                value,
            }
            .encode(&mut bytes)
            .unwrap();
            task.inbox(0).push(RawRecord {
                offset,
                timestamp: 1,
                key: Some(b"k"),
                value: Some(&bytes),
                headers: &[],
            });
            offset += 1;
            if i % 1000 == 999 {
                while task.run(now).unwrap().more {}
                task.prepare().unwrap();
                task.committed();
                let (rows, commit, _) = task.take_round(0, false).unwrap();
                let checkpoint = Checkpoint {
                    changelog_offset: offset,
                    mark: vec![],
                    written_at: 0,
                    incarnation: [1; 16],
                };
                store
                    .round(&mut [TreeWrite {
                        tree: tree.clone(),
                        rows,
                        checkpoint,
                    }])
                    .unwrap();
                task.round_done(0, commit, true);
                largest = largest.max(task.cached(0));
            }
        }
    }
    assert!(largest < 2_000, "{largest} rows in the cache");
    let stored: Vec<_> = tree.scan(&[], None).map(Result::unwrap).collect();
    let have: Vec<(u64, i64)> = stored
        .iter()
        .map(|(k, v)| {
            (
                u64::from_be_bytes(k[..].try_into().unwrap()),
                crate::codec::rows::decode(v).unwrap(),
            )
        })
        .collect();
    let want: Vec<(u64, i64)> = (0..KEYS)
        .filter_map(|k| Some((k, expected[k as usize]?)))
        .collect();
    assert_eq!(have, want);
}
