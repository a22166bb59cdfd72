//! A full disk, here a limit on the size of files: reported, tried again, written once there is room.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

const DIR: &str = "STORE_FULL_DIR";

#[test]
#[ignore = "the child of `a_full_disk_is_waited_out`"]
fn fills_the_disk() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store: Arc<dyn Store> = Arc::new(open(Path::new(&dir)));
    let tree = store.tree("large", 0).unwrap();
    let storer = Flusher::start(Arc::clone(&store)).unwrap();
    let mut client = storer.client().unwrap();
    for offset in 1..=8i64 {
        let rows = (0..2_000u32)
            .map(|n| row(n.to_be_bytes(), vec![offset as u8; 500]))
            .collect();
        client.submit(vec![TreeWrite {
            tree: Arc::clone(&tree),
            rows,
            checkpoint: checkpoint(offset),
        }]);
        let mut said = false;
        loop {
            if let Some(stored) = client.wait_done(Duration::from_millis(50)) {
                stored.result.unwrap();
                println!("stored {offset}");
                break;
            }
            if let Some(trouble) = storer.trouble()
                && !said
            {
                println!("trouble {trouble}");
                said = true;
            }
        }
    }
    storer.stop();
    drop(store);
    println!("end");
}

#[test]
fn a_full_disk_is_waited_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let plain = child("full::fills_the_disk");
    let mut limited = Command::new("prlimit");
    // SIGXFSZ ignored, so that a write fails as on a full disk instead of killing.
    limited.args([
        "--fsize=4000000:unlimited",
        "--",
        "sh",
        "-c",
        "trap '' XFSZ; exec \"$@\"",
        "sh",
    ]);
    limited.arg(plain.get_program()).args(plain.get_args());
    limited
        .env(DIR, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut process = match limited.spawn() {
        Ok(process) => process,
        Err(error) => {
            println!("skipped: prlimit does not run here ({error})");
            return;
        }
    };
    let mut lines = Vec::new();
    for line in BufReader::new(process.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.starts_with("trouble") {
            let pid = format!("{}", process.id());
            let status = Command::new("prlimit")
                .args(["--pid", &pid, "--fsize=unlimited:unlimited"])
                .status();
            assert!(status.unwrap().success());
        }
        lines.push(line);
    }
    assert!(process.wait().unwrap().success(), "{lines:?}");
    let trouble = lines
        .iter()
        .find(|l| l.starts_with("trouble"))
        .expect("the limit was reached");
    assert!(
        trouble.contains("cannot") && trouble.contains("store"),
        "{trouble}"
    );
    assert!(lines.contains(&"end".to_owned()), "{lines:?}");
    let store = open(&path);
    assert!(store.set_aside().is_none());
    let tree = store.tree("large", 0).unwrap();
    assert_eq!(tree.checkpoint().unwrap(), Some(checkpoint(8)));
    let rows = all(&*tree);
    assert_eq!(rows.len(), 2_000);
    assert!(rows.iter().all(|(_, value)| *value == vec![8; 500]));
}
