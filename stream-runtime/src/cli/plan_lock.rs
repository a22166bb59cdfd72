//! `plan --write` and `plan --check`.

use std::path::Path;

use serde::Serialize;

use super::args::Output;
use super::confirm::confirmed;
use super::context::Context;
use super::error::{CliError, CliResult};
use super::print::{json, line};
use crate::app::plan_lock::{ABOUT, OWN, keep, own_file, read, refuse, told};
use crate::topology::Plan;
use crate::topology::lock::{Difference, Lock, Weight, differences};

/// `plan --write`.
pub(super) fn write(cx: &Context<'_>, plan: &Plan, path: &Path, yes: bool) -> CliResult {
    let name = &cx.app().name;
    let now = Lock::of(plan);
    let own = own_file(cx.data_dir(), cx.id());
    // What is kept here, else what the last worker on the development broker was.
    let mut asks = false;
    for file in [path, &own] {
        let Some((kept, text)) = read(file)? else {
            continue;
        };
        let Some(then) = kept.apps.get(name) else {
            continue;
        };
        for difference in differences(then, &now) {
            if difference.weight == Weight::Doubtful {
                cx.note(format_args!("{}", told(&difference, name, file, &text)));
                asks = true;
            }
        }
        break;
    }
    if asks && !yes && !confirmed("confirm that nothing of this was renamed")? {
        return Err(CliError::failure("not confirmed: nothing was written"));
    }
    keep(path, ABOUT, name, now.clone())?;
    if own.exists() {
        keep(&own, OWN, name, now)?;
    }
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
        .next("`plan --write` adds it; an app that was renamed starts again"));
    };
    let now = Lock::of(plan);
    let found = differences(then, &now);
    if cx.output() == Output::Json {
        json(&found.iter().map(View::of).collect::<Vec<_>>())?;
    } else {
        for difference in found.iter().filter(|difference| !difference.breaks()) {
            line(told(difference, name, path, &text))?;
        }
    }
    refuse(&found, Weight::Gone, name, path, &text)?;
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

/// A difference as JSON.
#[derive(Serialize)]
struct View<'a> {
    message: &'a str,
    breaks: bool,
    /// A person has to say whether something was renamed.
    confirm: bool,
    then: &'a str,
    now: Option<&'a str>,
}

impl<'a> View<'a> {
    fn of(difference: &'a Difference) -> Self {
        View {
            message: &difference.message,
            breaks: difference.breaks(),
            confirm: difference.weight == Weight::Doubtful,
            then: &difference.then,
            now: difference.now.as_deref(),
        }
    }
}
