//! Directories that are not a store: garbage, in use, read-only, a file.

use std::fs;
use std::os::unix::process::CommandExt;

use super::*;

fn filled(path: &Path) {
    let store = open(path);
    let tree = store.tree("words", 0).unwrap();
    for offset in 0..4 {
        let rows = (0..3_000u32)
            .map(|n| row(n.to_be_bytes(), format!("{n} {offset}")))
            .collect();
        let write = TreeWrite {
            tree: Arc::clone(&tree),
            rows,
            checkpoint: checkpoint(offset),
        };
        store.round(&mut [write]).unwrap();
    }
}

fn bad_ones(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.starts_with("store.bad-"))
        .collect()
}

fn snapshot(path: &Path) -> std::path::PathBuf {
    let names = fs::read_dir(path).unwrap().map(|e| e.unwrap().path());
    names
        .into_iter()
        .find(|p| {
            p.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("snap.")
        })
        .unwrap()
}

#[test]
fn garbage_is_set_aside_and_only_the_newest_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    for spoil in ["conf", "snapshot", "db"] {
        filled(&path);
        drop(open(&path)); // writes a snapshot of all
        let victim = if spoil == "snapshot" {
            snapshot(&path)
        } else {
            path.join(spoil)
        };
        let length = fs::metadata(&victim).unwrap().len() as usize;
        let garbage: Vec<u8> = (0..length).map(|n| (n * 7919 % 251) as u8).collect();
        fs::write(&victim, garbage).unwrap();

        let store = open(&path);
        assert!(store.set_aside().is_some(), "{spoil}: not set aside");
        assert_eq!(store.trees().unwrap(), vec![], "{spoil}: not empty");
        drop(store);
        assert_eq!(bad_ones(dir.path()).len(), 1, "{spoil}");
    }
    filled(&path);
    let store = open(&path);
    assert!(store.set_aside().is_none(), "a good store is not touched");
    assert_eq!(all(&*store.tree("words", 0).unwrap()).len(), 3_000);
}

#[test]
fn a_directory_of_someone_elses_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    fs::create_dir_all(path.join("blobs")).unwrap();
    for name in ["db", "conf", "snap.00000000DEADBEEF", "blobs/x"] {
        fs::write(path.join(name), [b'x'; 4_000]).unwrap();
    }
    let store = open(&path);
    assert!(
        store
            .set_aside()
            .is_some_and(|aside| aside.join("blobs/x").is_file())
    );
}

#[test]
fn spoilt_bytes_never_make_a_checkpoint_lie() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (mut noticed, mut older) = (0, 0);
    for case in 0..30usize {
        filled(&path);
        if case % 3 > 0 {
            drop(open(&path)); // with a snapshot, which vouches for every page
        }
        let db = path.join("db");
        let mut bytes = fs::read(&db).unwrap();
        let used = bytes.iter().rposition(|b| *b != 0).unwrap();
        for n in 0..[1, 8, 200][case % 3] {
            let at = (case * 7_727 + n * 131_071) * 97 % used;
            bytes[at] ^= 0x5a;
        }
        fs::write(&db, bytes).unwrap();
        let store = open(&path);
        let tree = store.tree("words", 0).unwrap();
        let read = || -> Result<_, StoreError> {
            Ok((
                tree.checkpoint()?,
                tree.scan(&[], None).collect::<Result<Vec<_>, _>>()?,
            ))
        };
        match read() {
            Ok((Some(held), rows)) => {
                older += usize::from(held.changelog_offset < 3);
                assert_eq!(rows.len(), 3_000, "case {case}");
                for (n, (_, value)) in rows.iter().enumerate() {
                    let (row, offset) =
                        std::str::from_utf8(value).unwrap().split_once(' ').unwrap();
                    assert_eq!(row, n.to_string());
                    let offset: i64 = offset.parse().unwrap();
                    assert!(
                        offset >= held.changelog_offset,
                        "case {case}: row {n} of {offset}, {held:?}"
                    );
                }
            }
            Ok((None, _)) => noticed += 1,
            Err(error) => {
                assert!(error.is_corrupt(), "{error}");
                drop(store);
                assert!(open(&path).set_aside().is_some(), "case {case}: {error}");
                noticed += 1;
            }
        }
        fs::remove_dir_all(&path).unwrap();
    }
    assert!(noticed > 0, "no case was noticed ({older} went back)");
}

#[test]
fn an_interrupted_snapshot_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    filled(&path);
    fs::write(path.join("snap.00000000000ABCDE.generating"), b"half").unwrap();
    let store = open(&path);
    assert!(store.set_aside().is_none());
    assert_eq!(all(&*store.tree("words", 0).unwrap()).len(), 3_000);
}

#[test]
fn in_use_is_said_and_nothing_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let first = open(&path);
    let leftover = path.join("snap.00000000000ABCDE.generating");
    fs::write(&leftover, b"the first one is at it").unwrap();
    let error = SledStore::open(&path, SledOptions::default())
        .err()
        .expect("refused");
    assert!(
        error.is_in_use() && error.to_string().contains("--data-dir"),
        "{error}"
    );
    assert!(leftover.exists());
    drop(first);
    open(&path);
}

#[test]
fn a_file_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    fs::write(&path, b"mine").unwrap();
    let error = SledStore::open(&path, SledOptions::default())
        .err()
        .expect("refused");
    assert!(error.to_string().contains("in the way"), "{error}");
    let error = SledStore::open(&path.join("deeper/store"), SledOptions::default())
        .err()
        .expect("refused");
    assert!(error.to_string().contains("in the way"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert_eq!(bad_ones(dir.path()).len(), 0);
}

const READ_ONLY: &str = "STORE_READ_ONLY_DIR";

#[test]
#[ignore = "the child of `a_read_only_directory_is_said`"]
fn opens_read_only() {
    let Ok(dir) = std::env::var(READ_ONLY) else {
        return;
    };
    match SledStore::open(Path::new(&dir), SledOptions::default()) {
        Ok(_) => println!("opened"),
        Err(error) => println!("refused: {error}"),
    }
}

#[test]
fn a_read_only_directory_is_said() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let dir = tempfile::tempdir().unwrap();
    let root = fs::metadata(dir.path()).unwrap().uid() == 0;
    let path = dir.path().join("store");
    filled(&path);
    let before = fs::read(path.join("db")).unwrap();
    let lock = dir.path().join("store.lock");
    for (what, mode) in [
        (&path.join("db"), 0o444),
        (&path, 0o555),
        (&lock, 0o666),
        (&dir.path().to_owned(), 0o555),
    ] {
        fs::set_permissions(what, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = child("garbage::opens_read_only");
    command.env(READ_ONLY, &path);
    if root {
        command.uid(65_534).gid(65_534); // root may write anywhere
    }
    let out = command.output();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let out = match out {
        Ok(out) if !out.stdout.is_empty() => String::from_utf8(out.stdout).unwrap(),
        other => {
            println!("skipped: the test binary does not run as another user ({other:?})");
            return;
        }
    };
    assert!(
        out.contains("refused: cannot") && out.contains("writable for this user"),
        "{out}"
    );
    assert_eq!(fs::read(path.join("db")).unwrap(), before);
    assert_eq!(bad_ones(dir.path()).len(), 0);
}
