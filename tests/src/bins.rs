//! Programs of other packages that tests run: built once a test process, with the profile of the tests.

use crate::cache;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The example `voltage`.
pub fn voltage() -> Result<PathBuf> {
    example("voltage")
}

/// An example.
pub fn example(name: &str) -> Result<PathBuf> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let profile = profile();
    if profile != "dev" {
        return build("examples", name, profile);
    }
    // As README's test command builds them, for their own tests: cargo gives other selections of packages and targets
    // other features, with which the runtime would be compiled once more while tests wait.
    let args = ["test", "--workspace", "--no-run", "--test", "commands"];
    let built = BUILT.get_or_init(|| cargo(&args).map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)?;
    Ok(cache::profile_dir().join(name))
}

/// The hand-written loops of the benchmark.
pub fn contender(name: &str) -> Result<PathBuf> {
    build("contenders", name, profile())
}

/// The profile of this program.
fn profile() -> &'static str {
    static PROFILE: OnceLock<String> = OnceLock::new();
    PROFILE.get_or_init(|| {
        let dir = cache::profile_dir();
        match dir.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev".to_owned(),
            Some(profile) => profile.to_owned(),
        }
    })
}

fn build(package: &str, bin: &str, profile: &str) -> Result<PathBuf> {
    cargo(&[
        "build",
        "--package",
        package,
        "--bin",
        bin,
        "--profile",
        profile,
    ])?;
    Ok(cache::profile_dir().join(bin))
}

/// Runs cargo, which does nothing when the program is there and fresh.
fn cargo(args: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(args)
        .args(["--quiet", "--locked", "--target-dir"])
        .arg(cache::target_dir())
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!(
            "cargo {} failed:\n{}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
