//! Commands of an app's own, from the command line to their end.

use std::process::ExitCode;
use std::sync::Mutex;

use crate::{App, AppHandle, Result, State};

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Made(&'static str);

#[stream_runtime::state]
async fn made() -> Result<Made> {
    tokio::task::yield_now().await;
    Ok(Made("by #[state]"))
}

#[derive(clap::Args)]
struct Words {
    word: String,
    #[arg(long, default_value_t = 1)]
    count: u32,
}

/// Remembers a word
#[stream_runtime::command]
async fn remember_word(
    words: Words,
    made: State<Made>,
    given: State<u64>,
    app: AppHandle,
) -> Result<()> {
    let Words { word, count } = words;
    let seen = format!("{word} {count} {} {} {}", made.0, *given, app.name());
    SEEN.lock().unwrap().push(seen);
    Ok(())
}

#[stream_runtime::command(name = "give-up")]
async fn fails() -> Result<ExitCode> {
    Err("no more")?
}

#[stream_runtime::command]
async fn seven() -> ExitCode {
    ExitCode::from(7)
}

/// Exit codes have no `PartialEq`.
fn run(words: &[&str]) -> String {
    let app = App::new("t").state(42u64);
    let words = ["t", "--log-level", "off"]
        .iter()
        .chain(words)
        .map(Into::into);
    format!("{:?}", super::main::main(&app, words))
}

fn code(code: u8) -> String {
    format!("{:?}", ExitCode::from(code))
}

#[test]
fn a_command_gets_what_it_asks_for() {
    assert_eq!(run(&["remember-word", "hello", "--count", "3"]), code(0));
    assert_eq!(*SEEN.lock().unwrap(), ["hello 3 by #[state] 42 t"]);
}

#[test]
fn its_end_is_the_exit_code() {
    assert_eq!(run(&["give-up"]), code(1));
    assert_eq!(run(&["seven"]), code(7));
    assert_eq!(run(&["remember-word"]), code(2), "an argument is missing");
    assert_eq!(run(&["no-such"]), code(2));
}

#[test]
fn a_state_that_nobody_makes_is_said() {
    let app = App::new("t");
    let words = ["t", "-l", "off", "remember-word", "x"].map(Into::into);
    assert_eq!(format!("{:?}", super::main::main(&app, words)), code(1));
    assert!(
        SEEN.lock()
            .unwrap()
            .iter()
            .all(|seen| !seen.starts_with("x "))
    );
}

#[test]
fn an_app_with_mistakes_does_not_start() {
    let app = App::new("not a name").version(0);
    assert_eq!(
        format!(
            "{:?}",
            super::main::main(&app, ["t", "-l", "off", "seven"].map(Into::into))
        ),
        code(2)
    );
}
