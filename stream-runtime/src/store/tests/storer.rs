//! The storer's thread.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;

/// Fails the first `failures` rounds.
struct Flaky {
    inner: MemoryStore,
    failures: AtomicU32,
    rounds: AtomicU32,
}

impl Store for Flaky {
    fn tree(&self, table: &str, partition: i32) -> Result<Arc<dyn Tree>, StoreError> {
        self.inner.tree(table, partition)
    }

    fn round(&self, writes: &mut [TreeWrite]) -> Result<(), StoreError> {
        self.rounds.fetch_add(1, Ordering::SeqCst);
        if self.failures.load(Ordering::SeqCst) > 0 {
            self.failures.fetch_sub(1, Ordering::SeqCst);
            return Err(StoreError::io(
                "write",
                Path::new("x"),
                &std::io::ErrorKind::StorageFull.into(),
            ));
        }
        self.inner.round(writes)
    }

    fn trees(&self) -> Result<Vec<(String, i32)>, StoreError> {
        self.inner.trees()
    }
}

fn flaky(failures: u32) -> Arc<Flaky> {
    Arc::new(Flaky {
        inner: MemoryStore::new(),
        failures: failures.into(),
        rounds: 0.into(),
    })
}

fn write(store: &dyn Store, partition: i32, offset: i64) -> Vec<TreeWrite> {
    let tree = store.tree("t", partition).unwrap();
    let rows = vec![row("k", offset.to_be_bytes())];
    vec![TreeWrite {
        tree,
        rows,
        checkpoint: checkpoint(offset),
    }]
}

#[test]
fn what_several_threads_submit_is_written_in_order() {
    let store = flaky(0);
    let storer = Storer::start(store.clone()).unwrap();
    std::thread::scope(|scope| {
        for partition in 0..3 {
            let (store, mut client) = (&store, storer.client().unwrap());
            scope.spawn(move || {
                for offset in 0..200 {
                    assert_eq!(
                        client.submit(write(&**store, partition, offset)),
                        offset as u64
                    );
                }
                for ticket in 0..200 {
                    let stored = client.wait_done(Duration::from_secs(10)).unwrap();
                    assert_eq!(stored.ticket, ticket);
                    stored.result.unwrap();
                }
                assert_eq!(client.pending(), 0);
            });
        }
    });
    for partition in 0..3 {
        let tree = store.tree("t", partition).unwrap();
        assert_eq!(tree.checkpoint().unwrap().unwrap().changelog_offset, 199);
        assert_eq!(tree.get(b"k").unwrap().unwrap(), 199i64.to_be_bytes());
    }
    assert!(store.rounds.load(Ordering::SeqCst) <= 600);
}

#[test]
fn a_failed_round_is_tried_again() {
    let store = flaky(3);
    let storer = Storer::start(store.clone()).unwrap();
    let mut client = storer.client().unwrap();
    client.submit(write(&*store, 0, 5));
    client
        .wait_done(Duration::from_secs(10))
        .unwrap()
        .result
        .unwrap();
    assert_eq!(store.rounds.load(Ordering::SeqCst), 4);
    assert_eq!((storer.rounds(), storer.trouble().is_none()), (1, true));
}

#[test]
fn stopping_does_not_wait_for_a_disk_that_stays_full() {
    let store = flaky(u32::MAX);
    let storer = Storer::start(store.clone()).unwrap();
    let mut client = storer.client().unwrap();
    client.submit(write(&*store, 0, 5));
    while storer.trouble().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    storer.stop();
    let error = client.try_done().unwrap().result.unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    client.submit(write(&*store, 0, 6));
    assert!(
        client.try_done().unwrap().result.is_err(),
        "refused after the stop"
    );
}

#[test]
fn what_was_handed_over_is_written_before_the_stop() {
    let store = flaky(0);
    let storer = Storer::start(store.clone()).unwrap();
    let mut client = storer.client().unwrap();
    for offset in 0..50 {
        client.submit(write(&*store, 0, offset));
    }
    drop(storer);
    assert_eq!(
        store
            .tree("t", 0)
            .unwrap()
            .checkpoint()
            .unwrap()
            .unwrap()
            .changelog_offset,
        49
    );
    assert_eq!(
        std::iter::from_fn(|| client.try_done())
            .filter(|s| s.result.is_ok())
            .count(),
        50
    );
}
