//! A stop between two commits of one closing: what a worker does there next is a commit without any new offset.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The variable that names the file which asks for the stop.
pub const STOP: &str = "STOP_AMID";
/// Windows with the same end that have closed before a process stops amid them, with [`COMMIT_EVENTS`] more than one
/// commit takes: so a commit of this closing is behind it, and one without any new offset before it.
const AMID: u32 = 250;
/// The worker's `--commit-events`.
pub const COMMIT_EVENTS: &str = "200";

thread_local! {
    /// The end of the windows that are closing, and how many of them have closed.
    static CLOSING: Cell<(i64, u32)> = const { Cell::new((0, 0)) };
}

/// Counts a window that closes. When the file that [`STOP`] names is there, takes it away and stops this process amid
/// the closing, as SIGSTOP does.
pub fn stop(end: i64) {
    static ASKED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let (last, closed) = CLOSING.get();
    let closed = if last == end { closed + 1 } else { 1 };
    CLOSING.set((end, closed));
    if closed != AMID {
        return;
    }
    let asked = ASKED.get_or_init(|| std::env::var_os(STOP).map(PathBuf::from));
    if let Some(file) = asked
        && fs::remove_file(file).is_ok()
    {
        let pid = std::process::id().to_string();
        let stopped = Command::new("kill").args(["-s", "STOP", &pid]).status();
        assert!(stopped.is_ok_and(|status| status.success()));
    }
}
