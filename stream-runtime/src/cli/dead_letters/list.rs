//! `dead-letters list`.

use std::ops::ControlFlow;

use serde::Serialize;

use super::{Desk, ListArgs, count};
use crate::cli::args::Output;
use crate::cli::context::Context;
use crate::cli::error::CliResult;
use crate::cli::print::{Columns, json, readable, time};
use crate::task::letter::Letter;

/// Characters of an error in the table.
const ERROR: usize = 80;

/// A dead letter in a list.
#[derive(Serialize)]
struct Row {
    agent: String,
    topic: String,
    place: String,
    partition: i32,
    offset: i64,
    timestamp: i64,
    source: String,
    key: Option<String>,
    attempts: u32,
    error: String,
    /// It was sent again.
    resent: bool,
    /// Why it cannot be sent again.
    refusal: Option<String>,
}

impl Row {
    fn of(letter: &Letter, topic: &str, resent: bool, refusal: Option<String>) -> Self {
        Row {
            agent: letter.agent.clone(),
            topic: topic.to_owned(),
            place: letter.place.to_string(),
            partition: letter.place.partition,
            offset: letter.place.offset,
            timestamp: letter.timestamp,
            source: letter.origin.to_string(),
            key: letter.key.as_deref().map(readable),
            attempts: letter.attempts,
            error: letter.error.clone(),
            resent,
            refusal,
        }
    }
}

pub(super) fn run(cx: &Context<'_>, args: &ListArgs) -> CliResult {
    let desk = Desk::open(cx)?;
    let (mut rows, mut resent) = (Vec::new(), 0);
    for tray in desk.trays(args.agent.as_deref())? {
        desk.read(&tray, &mut |letter| {
            if !tray.agents.contains(&letter.agent) {
                return Ok(ControlFlow::Continue(()));
            }
            let refusal = desk.refusal(&letter);
            let again = tray.resent.contains(letter.place) && refusal.is_none();
            resent += usize::from(again);
            if args.all || !again {
                rows.push(Row::of(&letter, &tray.topic, again, refusal));
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    rows.sort_by(|a, b| {
        let order = |row: &Row| (row.timestamp, row.partition, row.offset);
        (&a.agent, order(a)).cmp(&(&b.agent, order(b)))
    });
    if cx.output() == Output::Json {
        return json(&rows);
    }
    if !rows.is_empty() {
        let heading = [
            "agent", "place", "failed", "source", "key", "tries", "error",
        ];
        let mut columns = Columns::new(cx.style(), &heading);
        for row in &rows {
            let mut error: String = row.error.chars().take(ERROR).collect();
            if error.len() < row.error.len() {
                error.push('…');
            }
            columns.row([
                row.agent.clone(),
                row.place.clone(),
                time(row.timestamp),
                row.source.clone(),
                row.key.clone().unwrap_or_default(),
                row.attempts.to_string(),
                if row.resent {
                    format!("(sent again) {error}")
                } else {
                    error
                },
            ]);
        }
        columns.print()?;
    }
    let waiting = rows.iter().filter(|row| !row.resent).count();
    let more = match resent {
        0 => String::new(),
        resent if args.all => format!(", {resent} sent again"),
        resent => format!(", {resent} sent again (--all lists them)"),
    };
    cx.note(format_args!("{} waiting{more}.", count(waiting)));
    Ok(())
}
