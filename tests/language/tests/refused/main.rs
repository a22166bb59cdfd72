//! Programs that must not compile, with what the compiler says of each: a case is `tests/ui/fail/NAME.rs` with
//! `NAME.stderr` beside it, and a test of its own.
//!
//! `cargo test --workspace --locked --test refused agent_group_by` runs the cases with that in their names; with
//! `BLESS=1` before it what the compiler says becomes what is expected.

mod libraries;
mod words;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, LazyLock};

use libraries::Libraries;
use libtest_mimic::{Arguments, Failed, Trial};
use words::Places;

/// How the compiler ends when a program is wrong.
const WRONG: i32 = 1;

/// What all cases share.
struct Bench {
    cases: PathBuf,
    places: Places,
    bless: bool,
    scratch: tempfile::TempDir,
    /// Cargo is asked once, by the first case that needs them.
    libraries: LazyLock<Result<Libraries, String>>,
}

fn main() -> ExitCode {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.ancestors().nth(2).expect("the workspace's root");
    let bench = Arc::new(Bench {
        cases: package.join("tests/ui/fail"),
        places: Places::of(workspace, package),
        bless: std::env::var_os("BLESS").is_some(),
        scratch: tempfile::tempdir().expect("a directory for what the compiler writes"),
        libraries: LazyLock::new(|| Libraries::built().map_err(|error| format!("{error:#}"))),
    });
    let programs = names(&bench.cases, "rs");
    let expected = names(&bench.cases, "stderr");
    let mut trials: Vec<Trial> = programs
        .iter()
        .map(|name| {
            let (bench, case) = (Arc::clone(&bench), name.clone());
            Trial::test(name, move || bench.refuses(&case).map_err(Failed::from))
        })
        .collect();
    trials.push(Trial::test(
        "every_expectation_has_its_program",
        move || {
            let mut alone = expected.iter().filter(|name| !programs.contains(name));
            alone.next().map_or(Ok(()), |name| {
                Err(format!("{name}.stderr is there, {name}.rs is not").into())
            })
        },
    ));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Returns the names of the files with an extension, in order.
fn names(dir: &Path, extension: &str) -> Vec<String> {
    let files = fs::read_dir(dir).expect("the directory of the cases");
    let mut names: Vec<String> = files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|is| is == extension))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort_unstable();
    names
}

impl Bench {
    fn refuses(&self, name: &str) -> Result<(), String> {
        let libraries = self.libraries.as_ref().map_err(Clone::clone)?;
        let program = self.cases.join(name).with_extension("rs");
        let done = self
            .compiler(libraries, &program)
            .output()
            .map_err(|error| format!("cannot run rustc: {error}"))?;
        let raw = String::from_utf8_lossy(&done.stderr);
        if done.status.success() {
            return Err(format!("it compiles, and must not\n{raw}"));
        }
        if done.status.code() != Some(WRONG) {
            return Err(format!("rustc ended with {}:\n{raw}", done.status));
        }
        let said = words::portable(&raw, &self.places, &program);
        let kept = program.with_extension("stderr");
        if self.bless {
            return fs::write(&kept, said)
                .map_err(|error| format!("cannot write {}: {error}", kept.display()));
        }
        let expected = fs::read_to_string(&kept).map_err(|error| {
            format!(
                "cannot read {}: {error}; keep this with BLESS=1:\n{said}",
                kept.display()
            )
        })?;
        // A checkout may have put other line ends.
        let expected = expected.replace("\r\n", "\n");
        if expected == said {
            return Ok(());
        }
        Err(format!(
            "the compiler says something else; keep it with BLESS=1\n{}\n--- expected\n{expected}\n--- said\n{said}",
            first_difference(&expected, &said)
        ))
    }

    /// Checks a program as cargo would, without linking it.
    fn compiler(&self, libraries: &Libraries, program: &Path) -> Command {
        let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        command
            .arg(program)
            .args(["--edition", "2024", "--crate-type", "bin"])
            .args(["--emit", "metadata", "--out-dir"])
            .arg(self.scratch.path())
            // The whole names of types and all that implement a trait: what is left out is the same everywhere then.
            .args(["--verbose", "--color", "never", "--diagnostic-width", "140"])
            .args(libraries.args())
            .current_dir(self.places.workspace());
        command
    }
}

fn first_difference(expected: &str, said: &str) -> String {
    let differ = |(expected, said): &(&str, &str)| expected != said;
    let same = expected
        .lines()
        .zip(said.lines())
        .position(|pair| differ(&pair));
    let line = same.unwrap_or(expected.lines().count().min(said.lines().count()));
    let of = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_owned();
    format!(
        "first in line {}:\n- {}\n+ {}",
        line + 1,
        of(expected),
        of(said)
    )
}
