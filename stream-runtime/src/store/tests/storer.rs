//! The storer's thread.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::store::Rounds;

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
    let storer = Flusher::start(store.clone()).unwrap();
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
    let storer = Flusher::start(store.clone()).unwrap();
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
    let storer = Flusher::start(store.clone()).unwrap();
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
    let storer = Flusher::start(store.clone()).unwrap();
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

/// A task's tree of partition 0, and a write to it.
fn task(store: &dyn Store, client: &StorerClient, offset: i64) -> (Arc<dyn Tree>, TreeWrite) {
    let mut write = write(store, 0, offset).remove(0);
    write.tree = client.own(write.tree);
    (Arc::clone(&write.tree), write)
}

#[test]
fn a_tree_is_written_for_its_last_owner_alone() {
    let store = flaky(0);
    let storer = Flusher::start(store.clone()).unwrap();
    let mut client = storer.client().unwrap();
    let (_, early) = task(&*store, &client, 9);
    let (_, late) = task(&*store, &client, 7);
    let mut writes = write(&*store, 1, 6);
    writes.insert(0, early);
    client.submit(writes);
    client.submit(vec![late]);
    let mut outcome = || client.wait_done(Duration::from_secs(10)).unwrap().result;
    let error = outcome().unwrap_err();
    assert!(error.is_superseded(), "{error}");
    outcome().unwrap();
    let checkpoint = |partition| store.tree("t", partition).unwrap().checkpoint().unwrap();
    assert_eq!(checkpoint(0).unwrap().changelog_offset, 7);
    assert_eq!(checkpoint(1).unwrap().changelog_offset, 6);
}

/// A partition moves from one stream thread of a worker to another while its last round waits for the disk: the new
/// task finds no checkpoint and empties the tree. A checkpoint that came after that would vouch for rows that are gone.
#[test]
fn a_round_that_outlives_its_task_leaves_no_checkpoint_in_an_emptied_tree() {
    let (mut emptied, mut found) = (0, 0);
    for turn in 0..300 {
        let store = Arc::new(Slow(MemoryStore::new()));
        let storer = Flusher::start(store.clone()).unwrap();
        let (mut client, other) = (storer.client().unwrap(), storer.client().unwrap());
        let (_, last) = task(&*store, &client, 5);
        client.submit(vec![last]);
        std::thread::sleep(Duration::from_micros(turn * 10));
        let tree = other.own(store.tree("t", 0).unwrap());
        let held = tree.checkpoint().unwrap();
        if held.is_none() {
            tree.clear().unwrap();
        }
        let stored = client.wait_done(Duration::from_secs(10)).unwrap();
        assert_eq!(stored.result.is_ok(), held.is_some());
        assert_eq!(tree.checkpoint().unwrap(), held);
        assert_eq!(tree.is_empty().unwrap(), held.is_none());
        *(if held.is_some() {
            &mut found
        } else {
            &mut emptied
        }) += 1;
    }
    assert!(emptied > 0 && found > 0, "{emptied} and {found}");
}

/// A store whose rounds take a while between rows and checkpoint, as one on a disk does.
struct Slow(MemoryStore);

impl Store for Slow {
    fn tree(&self, table: &str, partition: i32) -> Result<Arc<dyn Tree>, StoreError> {
        self.0.tree(table, partition)
    }

    fn round(&self, writes: &mut [TreeWrite]) -> Result<(), StoreError> {
        for write in writes.iter_mut() {
            self.0.rows(write)?;
        }
        std::thread::sleep(Duration::from_millis(1));
        writes.iter().try_for_each(|write| self.0.checkpoint(write))
    }

    fn trees(&self) -> Result<Vec<(String, i32)>, StoreError> {
        self.0.trees()
    }
}
