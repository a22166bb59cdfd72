//! Skips that can be seen and counted: each is one line `skipped: …` on the real standard error.

use std::io::Write as _;

/// Says that something optional is missing. The test returns without having shown anything.
pub fn skip(reason: &str) {
    // Past libtest's capture (which takes `eprintln!`), in one write so that lines of parallel tests stay whole.
    let _ = std::io::stderr().write_all(format!("skipped: {reason}\n").as_bytes());
}

/// Like [`skip`], for what continuous integration must have: with `CI=true` it fails the test.
pub fn skip_or_fail(reason: &str) {
    assert!(!in_ci(), "skipped with CI=true: {reason}");
    skip(reason);
}

/// Whether this runs under continuous integration.
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true")
}
