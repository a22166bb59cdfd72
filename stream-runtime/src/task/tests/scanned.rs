//! Committed rows of one key, or of all, as others ask for them.

use super::driver::{Driver, Input};
use super::specs::{Retained, topology};
use crate::StreamKey;
use crate::table::{Chunk, Scan, window_and_key};

/// Ends of windows and keys, in the order in which they are found, so many rows at a time.
fn found(d: &Driver, key: Option<&str>, rows: usize) -> Vec<(i64, String)> {
    let (mut from, mut all) = (Vec::new(), Vec::new());
    loop {
        let scan = Scan {
            from,
            key: key.map(|key| {
                let mut ordered = Vec::new();
                key.to_owned().encode_ordered(&mut ordered);
                ordered
            }),
            rows,
            bytes: usize::MAX,
        };
        let Chunk { rows, next } = d.task.scan_committed(0, &scan).unwrap();
        all.extend(rows.iter().map(|(layout_key, _)| {
            let (end, key) = window_and_key(layout_key).unwrap();
            (end, String::decode_ordered(key).unwrap())
        }));
        match next {
            Some(next) => from = next,
            None => return all,
        }
    }
}

#[test]
fn the_windows_of_one_key_are_found_in_store_and_memory_among_those_of_others() {
    let mut d = Driver::new(topology::<Retained>());
    let send = |d: &mut Driver, keys: &[&str], time: i64| {
        keys.iter()
            .for_each(|key| d.send(Input::reading(key, time, 1)));
        d.run_all();
        d.commit();
    };
    let keys = ["", "a", "aa", "b", "c"];
    send(&mut d, &keys, 1);
    send(&mut d, &["aa", "c"], 11);
    d.store();
    // Of a window that is stored, and of one that is not.
    send(&mut d, &["b", "aa", ""], 12);
    send(&mut d, &["a", "aa"], 21);
    let all = found(&d, None, usize::MAX);
    assert_eq!(
        all.iter().filter(|(end, _)| *end == 10).count(),
        5,
        "{all:?}"
    );
    for key in keys {
        let own: Vec<_> = all
            .iter()
            .filter(|(_, other)| other == key)
            .cloned()
            .collect();
        for rows in [1, 2, 3, 100] {
            assert_eq!(found(&d, Some(key), rows), own, "{key:?}, {rows} at a time");
            assert_eq!(found(&d, None, rows), all);
        }
    }
    let ends = |d: &Driver, key| -> Vec<i64> {
        let found = found(d, Some(key), 2);
        found.into_iter().map(|(end, _)| end).collect()
    };
    assert_eq!(ends(&d, "aa"), [10, 20, 30]);
    assert_eq!(ends(&d, "a"), [10, 30]);
    assert!(ends(&d, "none").is_empty());
    // Their retention is over: what is stored of them is not what is committed.
    send(&mut d, &["z"], 60);
    assert_eq!(ends(&d, "aa"), [30]);
    d.store();
    assert_eq!(ends(&d, "aa"), [30]);
}
