//! Programs of other packages that tests run: built once a test process, with the profile of the tests.

use crate::cache;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The example `voltage`.
pub fn voltage() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    once(&BUILT, "examples", "voltage")
}

/// Another example.
pub fn example(name: &'static str) -> Result<PathBuf> {
    build("examples", name)
}

/// The hand-written loops of the benchmark.
pub fn contender(name: &'static str) -> Result<PathBuf> {
    build("contenders", name)
}

fn once(built: &OnceLock<Result<PathBuf, String>>, package: &str, bin: &str) -> Result<PathBuf> {
    let built = built.get_or_init(|| build(package, bin).map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

/// Runs cargo, which does nothing when the program is there and fresh.
fn build(package: &str, bin: &str) -> Result<PathBuf> {
    let dir = cache::profile_dir();
    let profile = match dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--locked",
            "--package",
            package,
            "--bin",
            bin,
            "--profile",
            profile,
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!(
            "cannot build {bin} of {package}:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(dir.join(bin))
}
