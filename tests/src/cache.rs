//! What tests fetch once and keep: in the target directory, outside the source tree.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names another version of Apache Kafka than the usual one; the measurements beside peers need an older one.
const VERSION: &str = "TEST_KAFKA_VERSION";
/// The usual version, that of `kafka/pom.xml`; part of the cache's name, so that a new version is fetched again.
const KAFKA_VERSION: &str = "4.1.1";

/// Cargo's target directory of this test run.
pub fn target_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("CARGO_TARGET_DIR") {
        return std::path::absolute(dir).expect("a path");
    }
    let exe = std::env::current_exe().expect("this program's path");
    // target/<profile>/deps/name-hash, or target/<profile>/name for a bin.
    let profile = profile_dir_of(&exe);
    profile.parent().expect("target/<profile>").to_path_buf()
}

/// The directory of the profile this program was built with, such as `target/release`.
pub fn profile_dir() -> PathBuf {
    profile_dir_of(&std::env::current_exe().expect("this program's path"))
}

fn profile_dir_of(exe: &Path) -> PathBuf {
    let dir = exe.parent().expect("a directory");
    let in_deps = dir.file_name().is_some_and(|name| name == "deps");
    if in_deps {
        dir.parent().expect("target/<profile>").to_path_buf()
    } else {
        dir.to_path_buf()
    }
}

/// Makes `name` in the cache once, however many processes ask at the same time, and returns its path.
/// `fill` works in a directory beside it that takes the name only when it succeeded.
pub fn once(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = target_dir().join("tests-cache");
    fs::create_dir_all(&cache)?;
    let done = cache.join(name);
    let lock = File::create(cache.join(format!("{name}.lock")))?;
    lock.lock()?;
    if !done.exists() {
        let half = cache.join(format!("{name}.half"));
        let _ = fs::remove_dir_all(&half);
        fs::create_dir_all(&half)?;
        fill(&half)?;
        fs::rename(&half, &done)?;
    }
    Ok(done)
}

/// Why Apache Kafka cannot run here, if so.
pub fn java_missing() -> Option<&'static str> {
    let runs = |program: &str, arg: &str| {
        Command::new(program)
            .arg(arg)
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if !runs("java", "-version") {
        return Some("no java");
    }
    if !kafka_dir().exists() && !runs("mvn", "-version") {
        return Some("no mvn, which fetches Apache Kafka");
    }
    None
}

fn kafka_version() -> String {
    std::env::var(VERSION).unwrap_or_else(|_| KAFKA_VERSION.to_owned())
}

fn kafka_name() -> String {
    format!("kafka-{}", kafka_version())
}

fn kafka_dir() -> PathBuf {
    target_dir().join("tests-cache").join(kafka_name())
}

/// Java's class path of Apache Kafka, fetched from Maven Central on first use (about 60 MB).
pub fn kafka_classpath() -> Result<String> {
    let dir = once(&kafka_name(), |dir| {
        let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/pom.xml");
        let output = Command::new("mvn")
            .args(["-q", "-B", "dependency:copy-dependencies", "-f"])
            .arg(pom)
            .arg(format!("-DoutputDirectory={}", dir.display()))
            .arg(format!("-Dkafka.version={}", kafka_version()))
            .output()
            .context("mvn")?;
        if !output.status.success() {
            bail!(
                "mvn could not fetch Apache Kafka:\n{}",
                String::from_utf8_lossy(&output.stdout)
            );
        }
        Ok(())
    })?;
    Ok(format!("{}/*", dir.display()))
}
