//! The libraries that the cases name: those that cargo built for this workspace's tests.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// What a case may name, as the dependencies in this package's `Cargo.toml`.
const NAMED: [&str; 6] = [
    "anyhow",
    "bytes",
    "clap",
    "serde",
    "serde_json",
    "stream_runtime",
];

pub struct Libraries(BTreeMap<&'static str, PathBuf>);

impl Libraries {
    /// Asks cargo, which builds what is not there or not of today's sources: under README's test command, nothing.
    pub fn built() -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
        let mut command = Command::new(cargo);
        // The whole workspace and a test: the features that README's test command gives the libraries.
        command
            .args(["test", "--workspace", "--locked", "--no-run", "--quiet"])
            .args(["--test", "refused", "--message-format"])
            .args(["json-render-diagnostics", "--target-dir"])
            .arg(target.context("a target directory")?)
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        let done = command.output().context("cannot run cargo")?;
        if !done.status.success() {
            bail!(
                "cargo cannot build the libraries of the cases:\n{}",
                String::from_utf8_lossy(&done.stderr)
            );
        }
        Self::of(&String::from_utf8(done.stdout)?)
    }

    /// Reads cargo's messages: a line of JSON for each library.
    fn of(messages: &str) -> Result<Self> {
        let mut found: BTreeMap<&str, BTreeSet<PathBuf>> = BTreeMap::new();
        for line in messages.lines() {
            let message: Value = serde_json::from_str(line).context("a message of cargo")?;
            let name = message["target"]["name"].as_str().unwrap_or_default();
            let Some(name) = NAMED.iter().find(|named| **named == name) else {
                continue;
            };
            let files = message["filenames"].as_array();
            let files = files.into_iter().flatten().filter_map(Value::as_str);
            let library = files.map(Path::new).find(|file| ends(file, "rlib"));
            found
                .entry(name)
                .or_default()
                .extend(library.map(Path::to_path_buf));
        }
        let runtime = found.get("stream_runtime").into_iter().flatten().next();
        let runtime = std::fs::read(runtime.context("cargo built no stream_runtime")?)?;
        let one = |name: &'static str| {
            let mut files = found.remove(name).unwrap_or_default();
            // Another build of it is for the programs that run while others are compiled.
            if files.len() > 1 {
                files.retain(|file| names(&runtime, file));
            }
            match (files.pop_first(), files.first()) {
                (Some(file), None) => Ok((name, file)),
                (None, _) => bail!("cargo built no library `{name}` that stream_runtime uses"),
                (Some(one), Some(another)) => bail!(
                    "stream_runtime uses two libraries `{name}`, {} and {}: which one the cases mean is not known",
                    one.display(),
                    another.display()
                ),
            }
        };
        NAMED.into_iter().map(one).collect::<Result<_>>().map(Self)
    }

    /// Returns what the compiler is told of them.
    pub fn args(&self) -> Vec<OsString> {
        let mut args = Vec::new();
        for (name, file) in &self.0 {
            args.extend(["--extern".into(), pair(&format!("{name}="), file)]);
        }
        let dirs: BTreeSet<&Path> = self.0.values().filter_map(|file| file.parent()).collect();
        for dir in dirs {
            args.extend(["-L".into(), pair("dependency=", dir)]);
        }
        args
    }
}

/// Looks in a library for another one: the compiler notes those it uses by the ends of their names.
fn names(library: &[u8], other: &Path) -> bool {
    let stem = other.file_stem().and_then(|stem| stem.to_str());
    let hash = stem.and_then(|stem| Some(&stem.as_bytes()[stem.rfind('-')?..]));
    hash.is_some_and(|hash| library.windows(hash.len()).any(|part| part == hash))
}

fn ends(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|is| is == extension)
}

fn pair(before: &str, path: &Path) -> OsString {
    let mut pair = OsString::from(before);
    pair.push(path);
    pair
}
