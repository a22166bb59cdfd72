//! `plan.lock`: written by `plan --write`, compared by `plan --check` and by a worker that starts.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::args::Output;
use super::context::Context;
use super::error::{CliError, CliResult};
use super::print::{json, line};
use crate::topology::Plan;
use crate::topology::lock::{Difference, Lock, differences};

const ABOUT: &str = "What the apps of this directory must not change by accident. Written by `plan --write`, compared by \
                     `plan --check` and by every worker that starts here. Keep it under version control.";

/// The file: the apps of a directory by their names.
#[derive(Serialize, Deserialize)]
struct LockFile {
    about: String,
    apps: BTreeMap<String, Lock>,
}

/// The file and its text; `None` when there is none.
fn read(path: &Path) -> CliResult<Option<(LockFile, String)>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(CliError::failure(format_args!(
                "cannot read {}: {error}",
                path.display()
            )));
        }
    };
    match serde_json::from_str(&text) {
        Ok(file) => Ok(Some((file, text))),
        Err(error) => Err(CliError::failure(format_args!(
            "{} is no plan.lock of this version: {error}",
            path.display()
        ))
        .next("take back what was changed by hand, or remove the file and `plan --write`")),
    }
}

/// `plan --write`.
pub(super) fn write(cx: &Context<'_>, plan: &Plan, path: &Path) -> CliResult {
    let mut file = match read(path)? {
        Some((file, _)) => file,
        None => LockFile {
            about: String::new(),
            apps: BTreeMap::new(),
        },
    };
    file.about = ABOUT.to_owned();
    file.apps.insert(cx.app().name.clone(), Lock::of(plan));
    let place = |error: std::io::Error| {
        CliError::failure(format_args!("cannot write {}: {error}", path.display()))
    };
    let mut text = serde_json::to_string_pretty(&file).map_err(CliError::failure)?;
    text.push('\n');
    // Whole or not at all.
    let half = path.with_extension("lock.half");
    fs::write(&half, text).map_err(place)?;
    fs::rename(&half, path).map_err(place)?;
    line(format_args!(
        "{} keeps the plan of {}",
        path.display(),
        cx.app().name
    ))
}

/// `plan --check`.
pub(super) fn check(cx: &Context<'_>, plan: &Plan, path: &Path) -> CliResult {
    let Some((file, text)) = read(path)? else {
        return Err(
            CliError::failure(format_args!("there is no {}", path.display()))
                .next("`plan --write` makes it"),
        );
    };
    let name = &cx.app().name;
    let Some(then) = file.apps.get(name) else {
        let others: Vec<&str> = file.apps.keys().map(String::as_str).collect();
        return Err(CliError::failure(format_args!(
            "{} has no app `{name}`; it has {}",
            path.display(),
            others.join(", ")
        ))
        .next("`plan --write` adds it; an app that was renamed begins anew"));
    };
    let now = Lock::of(plan);
    let found = differences(then, &now);
    if cx.output() == Output::Json {
        json(&found.iter().map(View::of).collect::<Vec<_>>())?;
    } else {
        for difference in found.iter().filter(|difference| !difference.breaks) {
            line(told(difference, name, path, &text))?;
        }
    }
    refuse(&found, name, path, &text)?;
    if cx.output() == Output::Text {
        line(match *then == now {
            true => format!("{} is up to date", path.display()),
            false => format!(
                "{} fits; `plan --write` brings it up to date",
                path.display()
            ),
        })?;
    }
    Ok(())
}

/// What a worker does at its start, when the file is there.
pub(super) fn at_start(app: &str, plan: &Plan, path: &Path) -> CliResult {
    let Some((file, text)) = read(path)? else {
        return Ok(());
    };
    let Some(then) = file.apps.get(app) else {
        tracing::warn!(
            "{} has no app `{app}`; `plan --write` adds it",
            path.display()
        );
        return Ok(());
    };
    refuse(&differences(then, &Lock::of(plan)), app, path, &text)
}

/// Fails with everything that breaks.
fn refuse(found: &[Difference], app: &str, path: &Path, text: &str) -> CliResult {
    let breaking: Vec<String> = found
        .iter()
        .filter(|difference| difference.breaks)
        .map(|difference| told(difference, app, path, text))
        .collect();
    if breaking.is_empty() {
        return Ok(());
    }
    Err(CliError::failure(format_args!(
        "the app is not what {} says:\n  {}",
        path.display(),
        breaking.join("\n  ")
    ))
    .next("undo the change, or, when it is meant, `plan --write`"))
}

/// A difference with both places.
fn told(difference: &Difference, app: &str, path: &Path, text: &str) -> String {
    let mut keys = vec!["apps", app];
    keys.extend(difference.path.iter().map(String::as_str));
    let mut said = difference.message.clone();
    let line = line_of(text, &keys).map_or_else(String::new, |line| format!(":{line}"));
    said += &format!("\n    then: {}{line}", path.display());
    if !difference.then.is_empty() {
        said += &format!(", from {}", difference.then);
    }
    if let Some(now) = &difference.now {
        said += &format!("\n    now:  {now}");
    }
    said
}

/// The line of a key in pretty JSON; `None` in one that was written otherwise.
fn line_of(text: &str, keys: &[&str]) -> Option<usize> {
    let mut depth = 0;
    for (number, line) in text.lines().enumerate() {
        let key = line.trim_start();
        let level = (line.len() - key.len()) / 2;
        let wanted = keys.get(depth)?;
        if level == depth + 1 && key.starts_with(&format!("\"{wanted}\":")) {
            depth += 1;
            if depth == keys.len() {
                return Some(number + 1);
            }
        }
    }
    None
}

/// A difference as JSON.
#[derive(Serialize)]
struct View<'a> {
    message: &'a str,
    breaks: bool,
    then: &'a str,
    now: Option<&'a str>,
}

impl<'a> View<'a> {
    fn of(difference: &'a Difference) -> Self {
        View {
            message: &difference.message,
            breaks: difference.breaks,
            then: &difference.then,
            now: difference.now.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::line_of;

    #[test]
    fn a_key_s_line_is_found_by_its_path() {
        let text = "{\n  \"apps\": {\n    \"a\": {\n      \"tables\": {\n        \"b\": 1\n      }\n    },\n    \"b\": {\n      \"agents\": {},\n      \"tables\": {\n        \"b\": 2\n      }\n    }\n  }\n}";
        assert_eq!(line_of(text, &["apps", "b", "tables", "b"]), Some(11));
        assert_eq!(line_of(text, &["apps", "a", "tables", "b"]), Some(5));
        assert_eq!(line_of(text, &["apps", "c"]), None);
        assert_eq!(line_of("{\"apps\":{}}", &["apps"]), None);
    }
}
