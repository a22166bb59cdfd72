//! A table larger than its cache, over sled.

use std::any::{Any, TypeId};
use std::sync::Arc;

use super::by_hand::{shape, start};
use super::driver::settings;
use super::specs::*;
use crate::record::Record;
use crate::store::{Checkpoint, SledOptions, SledStore, Store, TreeWrite};
use crate::table::{Plain, Table, TableSpec, open};
use crate::task::{Event, Now, Pulse, RawRecord, Task, TaskParts, TaskSettings};
use crate::topology::{AgentFuture, AgentOptions, Place, TableDescriptor};

#[derive(Debug)]
struct Sums;

impl TableSpec for Sums {
    type Key = u64;
    type Value = i64;
    type Kind = Plain;
    const DESCRIPTOR: &'static TableDescriptor = &TableDescriptor {
        name: "sums",
        place: Place {
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

const KEYS: u64 = 20_000;

#[test]
fn a_table_larger_than_its_cache_works_over_sled() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
    let topology = one_agent(
        AgentOptions::DEFAULT,
        || shape::<Event<In>, _, (Table<Sums>,), ()>(&[true]),
        sum,
    );
    // Room for a few hundred rows.
    let settings = TaskSettings {
        cache_bytes: 64 << 10,
        ..settings()
    };
    let tree = store.tree("sums", 0).unwrap();
    let mut task = Task::new(TaskParts {
        topology,
        partition: 0,
        partitions: 1,
        settings,
        trees: vec![Some(tree.clone())],
        states: Arc::default(),
        wake: Arc::new(|| {}),
        pulse: Arc::new(Pulse::default()),
    })
    .unwrap();
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
                let (rows, commit, _) = task.take_round(0).unwrap();
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
