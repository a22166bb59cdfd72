//! Without the feature `inventory` there is no registry: an app is what it lists.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const PROGRAM: &str = r#"
use stream_runtime::{agents, prelude::*};

mod counting {
    use stream_runtime::prelude::*;

    #[record(key = word)]
    pub struct Word {
        pub word: String,
    }

    #[topic("listed_words", value = Word, partitions = 7)]
    pub struct Words;

    #[table]
    #[derive(Clone, Default)]
    pub struct Count {
        n: u64,
    }

    #[agent(topic = Words)]
    pub async fn count(word: Word, factor: State<u64>, mut counts: Table<Count>) {
        counts.update(&word.word, |row| row.n += *factor);
    }
}

use counting::count;

#[agent(topic = "listed_shouts", sink = "listed_out")]
async fn shout(word: String) -> String {
    word
}

#[agent(topic = "left_out")]
async fn left_out(_: String) {}

#[state]
async fn factor() -> u64 {
    2
}

fn main() -> ExitCode {
    let app = App::new("listed");
    if std::env::var_os("NOTHING").is_some() {
        return app.main();
    }
    app.agents(agents![count, shout, factor]).main()
}
"#;

/// Compiles the program above in a package of its own, and runs it.
fn run(dir: &Path, nothing: bool) -> Output {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--offline", "--quiet", "--target-dir"]);
    command.arg(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap());
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    if nothing {
        command.env("NOTHING", "1");
    }
    command.args(["--", "plan", "-o", "json"]);
    command.current_dir(dir).output().unwrap()
}

#[test]
fn an_app_is_what_it_lists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let workspace = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    // The same profiles, so that the dependencies need not be built again.
    let profiles = &workspace[workspace.find("[profile").unwrap()..];
    let package = format!(
        "[workspace]\n[package]\nname = \"listed\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [dependencies]\nstream-runtime = {{ path = {:?}, default-features = false, features = [\"cli\"] }}\n{profiles}",
        root.join("stream-runtime")
    );
    fs::create_dir(dir.path().join("src")).unwrap();
    fs::write(dir.path().join("Cargo.toml"), package).unwrap();
    fs::write(dir.path().join("src/main.rs"), PROGRAM).unwrap();
    fs::copy(root.join("Cargo.lock"), dir.path().join("Cargo.lock")).unwrap();

    let done = run(dir.path(), false);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{errors}");
    let plan: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let tasks = plan["tasks"].as_array().unwrap();
    let mut agents: Vec<&str> = tasks
        .iter()
        .flat_map(|task| task["agents"].as_array().unwrap())
        .map(|agent| agent["name"].as_str().unwrap())
        .collect();
    agents.sort_unstable();
    assert_eq!(agents, ["count", "shout"]);
    let text = plan.to_string();
    // The table and the topic come with the agent that names them.
    for part in ["listed-count-changelog", "listed_words", "src/main.rs:"] {
        assert!(text.contains(part), "no {part} in {text}");
    }

    let done = run(dir.path(), true);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success());
    assert!(
        errors.contains("App::agents(agents![collect, average])"),
        "{errors}"
    );
}
