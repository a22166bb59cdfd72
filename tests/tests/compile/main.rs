//! What the attributes take and refuse, and in which words.

mod listed;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tests::cache;

#[test]
fn attributes() {
    lend_librdkafka();
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}

/// The cases are built in a target directory of their own. Librdkafka alone would take longer there than all of them,
/// so cargo is told to link the one this program was built with instead.
fn lend_librdkafka() {
    let Some(library) = librdkafka() else {
        return;
    };
    let config = format!(
        "[target.{}.rdkafka]\nrustc-link-search = [{:?}]\nrustc-link-lib = [\"static=rdkafka\"]\n",
        host(),
        format!("native={}", library.display())
    );
    let dir = cache::target_dir().join("tests/trybuild/.cargo");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("config.toml"), config).unwrap();
}

/// Where the archive lies; the newest, should several builds have left one.
fn librdkafka() -> Option<PathBuf> {
    let builds = fs::read_dir(cache::profile_dir().join("build")).ok()?;
    let archives = builds.flatten().filter_map(|build| {
        let dir = build.path().join("out/src");
        let made = fs::metadata(dir.join("librdkafka.a"))
            .ok()?
            .modified()
            .ok()?;
        Some((made, dir))
    });
    archives.max().map(|(_, dir)| dir)
}

fn host() -> String {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let said = String::from_utf8(rustc.stdout).unwrap();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc names its host").to_owned()
}
