//! Programs that must not compile, with what the compiler says of each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn attributes() {
    lend_libraries();
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}

/// Libraries in C, by the key of their crate's `links`, that take longer to compile than all the cases.
const LENT: [(&str, &str, &str, &str); 2] = [
    ("rdkafka", "rdkafka-sys-", "out/src", "librdkafka.a"),
    ("zstd", "zstd-sys-", "out", "libzstd.a"),
];

/// Trybuild has a target directory of its own: its cargo is told to take what was built for this program.
fn lend_libraries() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut config = String::new();
    for (links, package, place, archive) in LENT {
        if let Some(dir) = built(package, place, archive) {
            config += &format!(
                "[target.{}.{links}]\nrustc-link-search = [{:?}]\nrustc-link-lib = [\"static={links}\"]\nroot = {:?}\n",
                host(),
                format!("native={}", dir.display()),
                dir
            );
        }
    }
    let dir = target.join("tests/trybuild/.cargo");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("config.toml"), config).unwrap();
}

/// Where the archive lies; the newest, should several builds have left one.
fn built(package: &str, place: &str, archive: &str) -> Option<PathBuf> {
    let exe = std::env::current_exe().ok()?;
    let builds = fs::read_dir(exe.parent()?.parent()?.join("build")).ok()?;
    let ours = builds
        .flatten()
        .filter(|build| build.file_name().to_string_lossy().starts_with(package));
    let archives = ours.filter_map(|build| {
        let dir = build.path().join(place);
        let made = fs::metadata(dir.join(archive)).ok()?.modified().ok()?;
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
