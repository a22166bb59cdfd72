//! SIGKILL at any moment: in a round, between two, while opening.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::*;

const DIR: &str = "STORE_CRASH_DIR";
const TABLES: [(&str, i32); 3] = [("sums", 0), ("sums", 1), ("words", 0)];
const KEYS: u64 = 3_000;

/// A small generator (splitmix64), so that parent and child agree on the rows of every round.
fn random(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::from_fn(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(z ^ (z >> 31))
    })
}

/// The keys that round `offset` sets to `offset` in table `number`.
fn keys_of(number: usize, offset: i64) -> Vec<u64> {
    random(offset as u64 * 31 + number as u64)
        .take(400)
        .map(|r| r % KEYS)
        .collect()
}

#[test]
#[ignore = "the child of `a_killed_process_leaves_what_its_checkpoint_says`"]
fn rounds_until_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = open(Path::new(&dir));
    assert!(store.set_aside().is_none(), "set aside after a kill");
    let trees: Vec<_> = TABLES
        .iter()
        .map(|(t, p)| store.tree(t, *p).unwrap())
        .collect();
    let done = trees[0]
        .checkpoint()
        .unwrap()
        .map_or(0, |c| c.changelog_offset);
    println!("opened");
    for offset in done + 1.. {
        let mut writes: Vec<_> = (0..)
            .zip(&trees)
            .map(|(number, tree)| TreeWrite {
                tree: Arc::clone(tree),
                rows: keys_of(number, offset)
                    .into_iter()
                    .map(|k| row(k.to_be_bytes(), offset.to_be_bytes()))
                    .collect(),
                checkpoint: checkpoint(offset),
            })
            .collect();
        store.round(&mut writes).unwrap();
        println!("round {offset}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn a_killed_process_leaves_what_its_checkpoint_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut delays = random(20_061_216);
    let mut killed_in_rounds = 0;
    let mut kills = 0;
    // In ms, so that most kills hit rounds; a machine that is slow at opening gets more.
    let mut longest = 400;
    while killed_in_rounds < 12 {
        kills += 1;
        assert!(
            kills < 60,
            "only {killed_in_rounds} of {kills} kills hit a process at work"
        );
        let mut process = child("crash::rounds_until_killed")
            .env(DIR, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = process.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            lines
                .filter_map(|l| l.strip_prefix("round ").and_then(|n| n.parse::<i64>().ok()))
                .last()
        });
        // From in the middle of opening to some rounds later.
        let delay = Duration::from_millis(delays.next().unwrap() % longest);
        let started = Instant::now();
        while started.elapsed() < delay {
            std::thread::sleep(Duration::from_millis(1));
        }
        process.kill().unwrap(); // SIGKILL
        process.wait().unwrap();
        let reported = reader.join().unwrap();
        match reported {
            Some(_) => killed_in_rounds += 1,
            None => longest += 100,
        }

        let store = open(&path);
        assert!(store.set_aside().is_none());
        for (number, (table, partition)) in TABLES.iter().enumerate() {
            let tree = store.tree(table, *partition).unwrap();
            let Some(held) = tree.checkpoint().unwrap() else {
                assert_eq!(reported, None);
                continue;
            };
            assert!(
                held.changelog_offset >= reported.unwrap_or(0),
                "a finished round is gone"
            );
            assert_eq!(held, checkpoint(held.changelog_offset));
            let mut expected = BTreeMap::new();
            for offset in 1..=held.changelog_offset {
                expected.extend(keys_of(number, offset).into_iter().map(|k| (k, offset)));
            }
            let next = keys_of(number, held.changelog_offset + 1);
            for (key, offset) in expected {
                let found = tree
                    .get(&key.to_be_bytes())
                    .unwrap()
                    .expect("a row the checkpoint covers");
                let found = i64::from_be_bytes(found.try_into().unwrap());
                let newer = found == held.changelog_offset + 1 && next.contains(&key);
                assert!(
                    found == offset || newer,
                    "{table}/{partition} key {key}: {found}, expected {offset}"
                );
            }
        }
    }
}
