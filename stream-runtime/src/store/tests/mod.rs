//! Tests of both stores.

mod crash;
mod full;
mod garbage;
mod model;
mod storer;

use std::path::Path;

use super::*;

fn open(dir: &Path) -> SledStore {
    SledStore::open(dir, SledOptions::default()).expect("opens")
}

fn checkpoint(offset: i64) -> Checkpoint {
    Checkpoint {
        changelog_offset: offset,
        mark: vec![7; 3],
        written_at: 1,
        incarnation: [9; 16],
    }
}

fn row(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> (Box<[u8]>, Option<Box<[u8]>>) {
    (key.as_ref().into(), Some(value.as_ref().into()))
}

fn all(tree: &dyn Tree) -> Vec<Row> {
    tree.scan(&[], None)
        .collect::<Result<_, _>>()
        .expect("scans")
}

/// Runs one test of this binary in a process of its own, as its child.
fn child(test: &str) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().expect("own path"));
    command.args([
        &format!("store::tests::{test}"),
        "--exact",
        "--nocapture",
        "--ignored",
    ]);
    command
}
