//! Windows with more rows than the cache holds, closed amid rounds of the store.

use super::driver::{Driver, Input, settings};
use super::specs::*;
use crate::task::TaskSettings;

/// Rows of the window: more than the store is asked for at a time.
const ROWS: i64 = 10_000;

/// Closes a window of that many rows in commits of 300 events; after each, `between` is done. Most of the rows are in
/// the store only when it begins.
fn close_with(cache_bytes: usize, mut between: impl FnMut(&mut Driver, usize)) -> Vec<Out> {
    let settings = TaskSettings {
        cache_bytes,
        commit_events: 300,
        ..settings()
    };
    let mut d = Driver::with(topology::<Tumbling7Grace3>(), settings);
    for i in 0..ROWS {
        // In no order, and so that the last ones stay in the cache.
        let key = i * 7_919 % ROWS;
        d.send(Input::reading(&format!("{key:05}"), 1, key + 1));
        if i % 1_000 == 999 {
            d.run_all();
            d.commit();
            d.store();
        }
    }
    d.send(Input::reading("later", 20, 1));
    d.fetch(1);
    let mut commits = 0;
    loop {
        let turn = d.task.run(d.now).unwrap();
        if turn.commit_due {
            between(&mut d, commits);
            commits += 1;
        } else if !turn.more {
            break;
        }
    }
    d.commit();
    assert!(commits > 20, "{commits} commits");
    d.cluster.out("out")
}

/// Each row once, in the order of the keys, with its value.
fn are_whole(closed: &[Out]) {
    assert_eq!(closed.len() as i64, ROWS);
    for (i, out) in closed.iter().enumerate() {
        assert_eq!(
            (out.key.as_str(), out.sum),
            (&*format!("{i:05}"), i as i64 + 1)
        );
    }
}

#[test]
fn a_window_that_is_mostly_in_the_store_closes_whole_and_in_order() {
    for cache_bytes in [8 << 10, 256 << 10, 64 << 20] {
        are_whole(&close_with(cache_bytes, |d, _| {
            d.commit();
        }));
    }
}

#[test]
fn rounds_of_the_store_amid_a_closing_change_nothing() {
    for cache_bytes in [8 << 10, 256 << 10, 64 << 20] {
        are_whole(&close_with(cache_bytes, |d, commits| {
            d.commit();
            if commits % 3 == 1 {
                d.store();
            }
        }));
    }
}

#[test]
fn commits_that_fail_amid_a_closing_close_nothing_twice() {
    for cache_bytes in [8 << 10, 256 << 10, 64 << 20] {
        are_whole(&close_with(cache_bytes, |d, commits| match commits % 4 {
            1 => {
                d.abort();
                d.fetch(1);
            }
            2 => {
                d.commit();
                d.store();
            }
            _ => {
                d.commit();
            }
        }));
    }
}
