//! `dead-letters show`.

use std::ops::ControlFlow;

use super::{Desk, ShowArgs};
use crate::cli::args::Output;
use crate::cli::context::Context;
use crate::cli::error::{CliError, CliResult};
use crate::cli::print::{json, json_or_text, line, readable, time};
use crate::task::letter::{Letter, Origin};

pub(super) fn run(cx: &Context<'_>, args: &ShowArgs) -> CliResult {
    let desk = Desk::open(cx)?;
    let mut found: Option<(Letter, bool, String)> = None;
    for tray in desk.trays(Some(&args.agent))? {
        desk.read(&tray, &mut |letter| {
            if letter.place != args.place || letter.agent != args.agent {
                return Ok(ControlFlow::Continue(()));
            }
            let resent = tray.resent.contains(letter.place) && desk.refusal(&letter).is_none();
            found = Some((letter, resent, tray.topic.clone()));
            Ok(ControlFlow::Break(()))
        })?;
    }
    let Some((letter, resent, topic)) = found else {
        return Err(CliError::failure(format_args!(
            "agent {} has no dead letter at {}",
            args.agent, args.place
        ))
        .next(format_args!(
            "`dead-letters list {} --all` lists them",
            args.agent
        )));
    };
    let headers = letter.headers.iter();
    let headers = headers.map(|(name, value)| (name.clone(), value.as_deref().map(readable)));
    if cx.output() == Output::Json {
        let source = match &letter.origin {
            Origin::Record {
                topic,
                partition,
                offset,
                timestamp,
                before,
            } => serde_json::json!({
                "topic": topic, "partition": partition, "offset": offset, "timestamp": timestamp,
                "before": before.as_ref().map(|(topic, partition, offset)| serde_json::json!({
                    "topic": topic, "partition": partition, "offset": offset,
                })),
            }),
            Origin::Window {
                table,
                partition,
                start,
                end,
                ..
            } => serde_json::json!({
                "table": table, "partition": partition, "start": start, "end": end,
            }),
            Origin::Unknown => serde_json::Value::Null,
        };
        return json(&serde_json::json!({
            "agent": letter.agent,
            "topic": topic,
            "partition": letter.place.partition,
            "offset": letter.place.offset,
            "timestamp": letter.timestamp,
            "error": letter.error,
            "attempts": letter.attempts,
            "source": source,
            "headers": headers
                .map(|(name, value)| serde_json::json!({ "name": name, "value": value }))
                .collect::<Vec<_>>(),
            "key": letter.key.as_deref().map(readable),
            "value": letter.value.as_deref().map(json_or_text),
            "resent": resent,
            "refusal": desk.refusal(&letter),
        }));
    }
    let style = cx.style();
    let say = |name: &str, text: &str| line(format_args!("{:<10} {text}", style.bold(name)));
    say("agent", &letter.agent)?;
    say(
        "place",
        &format!(
            "{topic}[{}]@{}",
            letter.place.partition, letter.place.offset
        ),
    )?;
    say("failed", &time(letter.timestamp))?;
    say("attempts", &letter.attempts.to_string())?;
    say("error", &letter.error)?;
    say("source", &letter.origin.to_string())?;
    if let Origin::Record { timestamp, .. } = letter.origin {
        say("stamped", &time(timestamp))?;
    }
    for (name, value) in headers {
        let value = value.unwrap_or_else(|| "(none)".to_owned());
        say("header", &format!("{name}: {value}"))?;
    }
    say(
        "key",
        &letter.key.as_deref().map_or("(none)".to_owned(), readable),
    )?;
    match &letter.value {
        None => say("value", "(tombstone)")?,
        Some(value) => {
            let pretty = serde_json::from_slice::<serde_json::Value>(value)
                .ok()
                .and_then(|value| serde_json::to_string_pretty(&value).ok());
            say("value", &pretty.unwrap_or_else(|| readable(value)))?;
        }
    }
    if resent {
        say("note", "it was sent again")?;
    }
    if let Some(refusal) = desk.refusal(&letter) {
        say("note", &format!("it cannot be sent again: {refusal}"))?;
    }
    Ok(())
}
