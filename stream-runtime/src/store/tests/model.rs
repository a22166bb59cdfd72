//! Both stores against a `BTreeMap`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Model = BTreeMap<(String, i32), (BTreeMap<Vec<u8>, Vec<u8>>, Option<Checkpoint>)>;

type Rows = Vec<(Vec<u8>, Option<Vec<u8>>)>;

#[derive(Clone, Debug)]
enum Step {
    Round(Vec<(u8, Rows)>),
    Clear(u8),
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    // Few different keys, some that are prefixes of others, and the bytes next to our tags.
    prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 97, 255]), 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop::collection::vec(any::<u8>(), 0..6);
    let row = (key(), prop::option::weighted(0.8, value));
    let write = (0..4u8, prop::collection::vec(row, 0..12));
    prop_oneof![
        8 => prop::collection::vec(write, 1..4).prop_map(Step::Round),
        1 => (0..4u8).prop_map(Step::Clear),
        1 => Just(Step::Reopen),
    ]
}

fn tree_id(number: u8) -> (String, i32) {
    (
        ["a", "a/b", "Ünicode"][usize::from(number % 3)].to_owned(),
        i32::from(number / 2),
    )
}

fn check(store: &dyn Store, model: &Model, from: &[u8], to: &[u8]) {
    for ((table, partition), (rows, checkpoint)) in model {
        let tree = store.tree(table, *partition).unwrap();
        let expected: Vec<Row> = rows.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_eq!(all(&*tree), expected);
        assert_eq!(tree.checkpoint().unwrap(), *checkpoint);
        assert_eq!(tree.is_empty().unwrap(), rows.is_empty());
        assert_eq!(tree.get(from).unwrap().as_ref(), rows.get(from));
        let part: Vec<Row> = tree.scan(from, Some(to)).map(Result::unwrap).collect();
        let expected: Vec<Row> = expected
            .into_iter()
            .filter(|(k, _)| from <= &k[..] && &k[..] < to)
            .collect();
        assert_eq!(part, expected);
    }
    let ids: Vec<_> = model.keys().cloned().collect();
    assert_eq!(store.trees().unwrap(), ids);
}

fn apply(store: &dyn Store, model: &mut Model, step: &Step, offset: i64) {
    match step {
        Step::Round(writes) => {
            let mut round = Vec::new();
            for (number, rows) in writes {
                let id = tree_id(*number);
                let tree = store.tree(&id.0, id.1).unwrap();
                let checkpoint = checkpoint(offset);
                let held = model.entry(id).or_default();
                for (key, value) in rows {
                    match value {
                        Some(value) => held.0.insert(key.clone(), value.clone()),
                        None => held.0.remove(key),
                    };
                }
                held.1 = Some(checkpoint.clone());
                let rows = rows
                    .iter()
                    .map(|(k, v)| (k[..].into(), v.as_deref().map(Into::into)))
                    .collect();
                round.push(TreeWrite {
                    tree,
                    rows,
                    checkpoint,
                });
            }
            store.round(&mut round).unwrap();
        }
        Step::Clear(number) => {
            let id = tree_id(*number);
            store.tree(&id.0, id.1).unwrap().clear().unwrap();
            model.insert(id, Default::default());
        }
        Step::Reopen => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stores_do_what_a_map_does(steps in prop::collection::vec(step(), 1..12), from in key(), to in key()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let mut disk = open(&path);
        let memory = MemoryStore::new();
        let (mut on_disk, mut in_memory) = (Model::new(), Model::new());
        for (offset, step) in (1..).zip(&steps) {
            if matches!(step, Step::Reopen) {
                drop(disk);
                disk = open(&path);
                prop_assert!(disk.set_aside().is_none());
            }
            apply(&disk, &mut on_disk, step, offset);
            apply(&memory, &mut in_memory, step, offset);
        }
        check(&disk, &on_disk, &from, &to);
        check(&memory, &in_memory, &from, &to);
        prop_assert_eq!(on_disk, in_memory);
    }
}

#[test]
fn a_tree_may_outlive_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store"));
    let tree = store.tree("words", 0).unwrap();
    drop(store);
    assert!(tree.get(b"a").unwrap_err().to_string().contains("closed"));
    open(&dir.path().join("store"));
}

#[test]
fn the_page_cache_is_smaller_than_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(
        &dir.path().join("store"),
        SledOptions {
            cache_bytes: 1 << 20,
        },
    )
    .unwrap();
    let tree = store.tree("large", 3).unwrap();
    let value = |n: u32| vec![n as u8; 400];
    for part in 0..10u32 {
        let rows = (0..2_000)
            .map(|n| n * 10 + part)
            .map(|n| row(n.to_be_bytes(), value(n)))
            .collect();
        store
            .round(&mut [TreeWrite {
                tree: Arc::clone(&tree),
                rows,
                checkpoint: checkpoint(i64::from(part)),
            }])
            .unwrap();
    }
    let mut count = 0;
    for (n, row) in (0u32..).zip(tree.scan(&[], None)) {
        let (key, held) = row.unwrap();
        assert_eq!((key, held), (n.to_be_bytes().to_vec(), value(n)));
        count += 1;
    }
    assert_eq!(count, 20_000);
    assert_eq!(tree.get(&777u32.to_be_bytes()).unwrap(), Some(value(777)));
}
