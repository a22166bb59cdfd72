//! A worker of the framework, as the benchmarks start it.

use super::bed::THREADS;
use crate::cache;
use std::path::Path;
use std::process::Command;
use std::sync::Once;
use std::time::{SystemTime, UNIX_EPOCH};

/// `PROGRAM worker` on this broker, of this build or of the one in `programs`; its name in the group is `app`. Its
/// tables lie under `data_dir`.
pub fn command(
    programs: Option<&Path>,
    program: &str,
    app: &str,
    bootstrap: &str,
    data_dir: &Path,
) -> Command {
    let own = cache::profile_dir();
    let mut command = Command::new(programs.unwrap_or(&own).join(program));
    command
        .env("BENCH_APP", app)
        .args(["worker", "--broker", bootstrap, "--threads", THREADS])
        .arg("--data-dir")
        .arg(data_dir);
    command
}

/// Prints the time of the first record, in microseconds since the epoch; the benchmark looks for it.
pub fn mark_start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock past 1970");
        println!("@started {}", now.as_micros());
    });
}
