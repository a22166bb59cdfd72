//! `tables`: what they are, and of one of them a row, asked for from the worker that has it or read from its topic.

use std::sync::Arc;

use super::args::{Output, TablesArgs};
use super::context::Context;
use super::error::{CliError, CliResult};
use super::plan;
use super::print::{json, line, time};
use super::readers::{self, Readers};
use crate::background::lookup::{FoundRow, Home, Key, LookedUp, OfTopic, Tables, look_up};
use crate::topology::{GlobalPlan, TableDescriptor};

pub(super) fn run(cx: &Context<'_>, args: &TablesArgs) -> CliResult {
    let Some(name) = &args.name else {
        return plan::tables(cx);
    };
    let Some(key) = &args.key else {
        return plan::describe_table(cx, name);
    };
    let plan = cx.plan()?;
    let tables = Tables::of(&plan, cx.app().all_tables());
    let home = tables
        .find(name)
        .map_err(|why| CliError::failure(why.text).next(why.next))?;
    let key = Key::read(home.table(), key).map_err(CliError::usage)?;
    let table = match &home {
        Home::Partitions(table) => table,
        Home::Topic { global, .. } => return of_topic(cx, global, &key),
    };
    let found = ask(cx, table, &key)?;
    if let Some(text) = found.nothing(table, &key) {
        return Err(CliError::failure(text));
    }
    if cx.output() == Output::Json {
        return json(&found.to_json(table, &key));
    }
    show(cx, name, args.key.as_deref().unwrap_or_default(), &found)
}

/// Reads a topic, of which a table's rows are made: that needs no worker.
fn of_topic(cx: &Context<'_>, global: &GlobalPlan, key: &Key) -> CliResult {
    let followed = readers::global(cx.app(), &cx.client()?, global.table)?;
    let found = OfTopic::look_up(global, &*followed.replica(), key)?;
    if let Some(text) = found.nothing(key) {
        return Err(CliError::failure(text));
    }
    let shown = found.to_json(key);
    if cx.output() == Output::Json {
        return json(&shown);
    }
    let (style, name) = (cx.style(), global.table.name);
    let (name, place) = (style.cyan(name), format!("topic {}", global.topic));
    let key = match &shown["key"] {
        serde_json::Value::String(key) => key.clone(),
        key => key.to_string(),
    };
    line(format_args!("{name} {key}  {}", style.dim(place)))?;
    if let Some(row) = found.row {
        line(format_args!("  {row}"))?;
    }
    Ok(())
}

/// Asks the workers of the app.
fn ask(cx: &Context<'_>, table: &'static TableDescriptor, key: &Key) -> CliResult<LookedUp> {
    let no_worker = |error: CliError| {
        // The development broker of a directory may be a worker's.
        let text = format!("no worker of {} is running: {error}", cx.id());
        let next = error.next_step().map(str::to_owned);
        next.into_iter()
            .fold(CliError::failure(text), CliError::next)
    };
    let readers = Readers::start(cx.app(), &cx.client().map_err(no_worker)?, cx.token()?)?;
    // Its questions to the broker may block a thread.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| CliError::failure(format_args!("cannot start: {error}")))?;
    let (router, key) = (Arc::clone(&readers.router), key.clone());
    let asked = runtime.spawn(async move { look_up(router, table, &key).await });
    let found = runtime.block_on(asked).map_err(CliError::failure)?;
    Ok(found?)
}

/// A heading for each partition, and below it the rows.
fn show(cx: &Context<'_>, name: &str, key: &str, found: &LookedUp) -> CliResult {
    let style = cx.style();
    let mut at = None;
    for FoundRow {
        partition,
        worker,
        row,
    } in &found.rows
    {
        if at.replace(*partition) != Some(*partition) {
            let place = format!("partition {partition}, worker {worker}");
            let name = style.cyan(name);
            line(format_args!("{name} {key}  {}", style.dim(place)))?;
        }
        let window = row.window.map_or_else(String::new, |(start, end)| {
            format!("{} .. {}  ", time(start), time(end))
        });
        line(format_args!("  {window}{}", row.value))?;
    }
    Ok(())
}
