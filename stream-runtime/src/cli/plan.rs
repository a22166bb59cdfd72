//! `plan`, `describe`, `agents`, `tables`: what the app is, without a broker.

use super::args::{DescribeArgs, Output, PlanArgs};
use super::context::Context;
use super::error::{CliError, CliResult};
use super::plan_lock;
use super::plan_view::{AgentView, AppView, TableView, TopicView};
use super::print::{Columns, field, json, line};
use super::style::Style;
use crate::duration;
use crate::error::meant;

/// `plan`: which agent feeds what.
pub(super) fn plan(cx: &Context<'_>, args: &PlanArgs) -> CliResult {
    if args.write {
        return plan_lock::write(cx, &cx.plan()?, &args.plan_lock, args.yes);
    }
    if args.check {
        return plan_lock::check(cx, &cx.plan()?, &args.plan_lock);
    }
    let view = AppView::of(cx.app(), &cx.found_plan()?);
    if cx.output() == Output::Json {
        return json(&view);
    }
    let style = cx.style();
    line(format_args!("{} {}", style.bold("app"), view.app))?;
    for (number, task) in view.tasks.iter().enumerate() {
        line("")?;
        line(format_args!(
            "{} {number}: one for each partition of {}",
            style.bold("task"),
            task.inputs.join(", ")
        ))?;
        for agent in &task.agents {
            line(format_args!("  {}", flow(agent, style)))?;
        }
    }
    if !view.functions.is_empty() {
        line("")?;
        line(style.bold("beside the agents"))?;
        for one in &view.functions {
            line(format_args!("  {}: {}", style.bold(&one.name), one.line()))?;
        }
    }
    line("")?;
    line(style.bold("topics"))?;
    for topic in &view.topics {
        let record = topic.record.as_deref().map_or_else(String::new, |record| {
            format!(
                "  {} by {}",
                record,
                topic
                    .key
                    .as_deref()
                    .filter(|key| !key.is_empty())
                    .unwrap_or("String")
            )
        });
        let must = match topic.settings.is_empty() {
            true => String::new(),
            false => format!("  must have {}", topic.must_have()),
        };
        line(format_args!(
            "  {} ({}){}{}",
            style.cyan(&topic.name),
            topic.roles.join(", "),
            style.dim(record),
            style.dim(must)
        ))?;
    }
    if !view.stages.is_empty() {
        line("")?;
        line(style.bold("time from agent to agent"))?;
        for stage in &view.stages {
            line(format_args!(
                "  {}: {}",
                style.cyan(&stage.topic),
                stage.text()
            ))?;
        }
    }
    Ok(())
}

/// `topic -> agent [table] -> sink`.
fn flow(agent: &AgentView, style: Style) -> String {
    let source = match (&agent.closes, agent.called()) {
        (Some(table), _) => format!("closed windows of {table}"),
        (None, Some(called)) => called,
        (None, None) => read_by(agent, " + "),
    };
    let mut text = match agent.feeds {
        None => format!("{source} -> {}", style.bold(&agent.name)),
        Some(_) => format!("{source} -> by another key"),
    };
    let written = agent
        .uses
        .tables_written
        .iter()
        .map(|table| format!("writes {table}"));
    let read = agent
        .uses
        .tables_read
        .iter()
        .map(|table| format!("reads {table}"));
    let tables: Vec<String> = written.chain(read).collect();
    if !tables.is_empty() {
        text += &format!(" [{}]", tables.join(", "));
    }
    let targets: Vec<&str> = agent
        .uses
        .sink
        .iter()
        .chain(&agent.uses.sends)
        .map(String::as_str)
        .collect();
    if !targets.is_empty() {
        text += &format!(" -> {}", targets.join(", "));
    }
    let order = order(agent);
    if !order.is_empty() {
        text += &style.dim(format!("  ({order})")).to_string();
    }
    text
}

/// Whom it follows, of those that get the same events.
fn order(agent: &AgentView) -> String {
    let after = match agent.uses.after.is_empty() {
        true => String::new(),
        false => format!("after {}", agent.uses.after.join(", ")),
    };
    if agent.uses.circle.is_empty() {
        return after;
    }
    let first = if after.is_empty() { "first" } else { &after };
    format!(
        "{first}, by file and line: a circle by way of {}",
        agent.uses.circle.join(", ")
    )
}

/// Its topics, after its pattern if it has one.
fn read_by(agent: &AgentView, between: &str) -> String {
    let topics = agent.reads.join(between);
    match agent.pattern {
        None => topics,
        Some(pattern) if topics.is_empty() => format!("/{pattern}/ (no topic yet)"),
        Some(pattern) => format!("/{pattern}/ ({topics})"),
    }
}

/// `agents`.
pub(super) fn agents(cx: &Context<'_>) -> CliResult {
    let view = AppView::of(cx.app(), &cx.found_plan()?);
    if cx.output() == Output::Json {
        return json(&view.agents().collect::<Vec<_>>());
    }
    let mut columns = Columns::new(
        cx.style(),
        &["agent", "reads", "tables", "sends to", "place"],
    );
    for agent in view.agents() {
        let reads = match (&agent.closes, agent.called()) {
            (Some(table), _) => format!("{table} (closed)"),
            (None, Some(called)) => called,
            (None, None) => read_by(agent, ", "),
        };
        let tables = [&agent.uses.tables_written[..], &agent.uses.tables_read]
            .concat()
            .join(", ");
        let sends: Vec<&str> = agent
            .uses
            .sink
            .iter()
            .chain(&agent.uses.sends)
            .map(String::as_str)
            .collect();
        columns.row([
            agent.name.clone(),
            reads,
            tables,
            sends.join(", "),
            agent.place.clone(),
        ]);
    }
    columns.print()
}

/// `tables`.
pub(super) fn tables(cx: &Context<'_>) -> CliResult {
    let view = AppView::of(cx.app(), &cx.plan()?);
    if cx.output() == Output::Json {
        return json(&view.tables().collect::<Vec<_>>());
    }
    let heading = [
        "table",
        "kind",
        "key",
        "value",
        "grace",
        "idle",
        "ttl",
        "changelog",
        "place",
    ];
    let mut columns = Columns::new(cx.style(), &heading);
    for table in view.tables() {
        columns.row([
            table.name.clone(),
            match table.global {
                true => format!("{}, global", table.kind),
                false => table.kind.clone(),
            },
            table.key.clone(),
            table.value.clone(),
            duration::format(table.grace_ms),
            idle(table).unwrap_or_default(),
            table.ttl_ms.map(duration::format).unwrap_or_default(),
            table.kept(),
            table.place.clone(),
        ]);
    }
    columns.print()
}

fn idle(table: &TableView) -> Option<String> {
    table
        .idle_ms
        .map(|ms| duration::format(i64::try_from(ms).unwrap_or(i64::MAX)))
}

/// `tables NAME`: all there is to say about a table.
pub(super) fn describe_table(cx: &Context<'_>, name: &str) -> CliResult {
    let view = AppView::of(cx.app(), &cx.plan()?);
    let Some(table) = view.tables().find(|table| table.name == name) else {
        let error = CliError::failure(format_args!("there is no table `{name}`"));
        let list = "`tables` lists those there are";
        let names = view.tables().map(|table| table.name.as_str());
        return Err(match meant(name, names) {
            Some(other) => error.next(format_args!("did you mean `{other}`? {list}")),
            None => error.next(list),
        });
    };
    if cx.output() == Output::Json {
        return json(table);
    }
    let (style, place) = (cx.style(), &table.place);
    let (what, name) = (style.bold("table"), style.cyan(name));
    line(format_args!("{what} {name}  {}", style.dim(place)))?;
    self::table(table)
}

/// `describe`: all there is to say about one thing, or about everything.
pub(super) fn describe(cx: &Context<'_>, args: &DescribeArgs) -> CliResult {
    let view = AppView::of(cx.app(), &cx.found_plan()?);
    let wanted = |name: &str| args.name.as_deref().is_none_or(|wanted| wanted == name);
    let agents: Vec<&AgentView> = view.agents().filter(|agent| wanted(&agent.name)).collect();
    let tables: Vec<&TableView> = view.tables().filter(|table| wanted(&table.name)).collect();
    let topics: Vec<&TopicView> = view
        .topics
        .iter()
        .filter(|topic| wanted(&topic.name))
        .collect();
    let functions: Vec<_> = view
        .functions
        .iter()
        .filter(|one| wanted(&one.name))
        .collect();
    if agents.is_empty() && tables.is_empty() && topics.is_empty() && functions.is_empty() {
        let name = args.name.as_deref().unwrap_or_default();
        let error = CliError::failure(format_args!(
            "there is no agent, table, function or topic named {name}"
        ));
        let list = "`agents`, `tables`, `functions` and `topics` list those there are";
        return Err(match meant(name, view.names()) {
            Some(other) => error.next(format_args!("did you mean `{other}`? {list}")),
            None => error.next(list),
        });
    }
    if cx.output() == Output::Json {
        return json(
            &serde_json::json!({ "app": view.app, "agents": agents, "tables": tables, "functions": functions, "topics": topics }),
        );
    }
    let style = cx.style();
    let mut first = true;
    let mut heading = |what: &str, name: &str, place: &str| {
        if !std::mem::take(&mut first) {
            line("")?;
        }
        line(format_args!(
            "{} {}  {}",
            style.bold(what),
            style.cyan(name),
            style.dim(place)
        ))
    };
    for agent in agents {
        heading("agent", &agent.name, &agent.place)?;
        self::agent(agent)?;
    }
    for table in tables {
        heading("table", &table.name, &table.place)?;
        self::table(table)?;
    }
    for one in functions {
        heading(one.kind, &one.name, &one.place)?;
        one.describe()?;
    }
    for topic in topics {
        heading(
            "topic",
            &topic.name,
            topic.place.as_deref().unwrap_or_default(),
        )?;
        field("is", &topic.roles.join(", "))?;
        field("records", topic.record.as_deref().unwrap_or_default())?;
        field("keys", topic.key.as_deref().unwrap_or_default())?;
        field("must have", &topic.must_have())?;
        field(
            "made by",
            if topic.external {
                "someone else; waited for"
            } else {
                ""
            },
        )?;
    }
    Ok(())
}

fn agent(agent: &AgentView) -> CliResult {
    field("pattern", agent.pattern.unwrap_or_default())?;
    field("reads", &agent.reads.join(", "))?;
    field("grouped by", &agent.group_by.join(", "))?;
    field("joins", agent.joins.as_deref().unwrap_or_default())?;
    field("records", agent.record.as_deref().unwrap_or_default())?;
    field(
        "closed windows of",
        agent.closes.as_deref().unwrap_or_default(),
    )?;
    field("called", &agent.called().unwrap_or_default())?;
    let next = agent.call.next;
    let next = next.map(|next| next.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    field("next", &next.unwrap_or_default())?;
    field("writes tables", &agent.uses.tables_written.join(", "))?;
    field("reads tables", &agent.uses.tables_read.join(", "))?;
    field("order", &order(agent))?;
    field("uses", &agent.uses.states.join(", "))?;
    let sends: Vec<&str> = agent
        .uses
        .sink
        .iter()
        .chain(&agent.uses.sends)
        .map(String::as_str)
        .collect();
    field("sends to", &sends.join(", "))?;
    let backoff = duration::format(i64::try_from(agent.failure.backoff_ms).unwrap_or(i64::MAX));
    field(
        "retries",
        &format!("{}, the first after {backoff}", agent.failure.retries),
    )?;
    let timeout = agent
        .failure
        .timeout_ms
        .and_then(|ms| i64::try_from(ms).ok())
        .map(duration::format);
    field("timeout", timeout.as_deref().unwrap_or_default())?;
    let at_once = match agent.concurrency {
        1 => String::new(),
        several => format!("{several} events"),
    };
    field("at once", &at_once)?;
    field("then", agent.failure.on_error)?;
    field("bad records", agent.failure.on_decode_error)?;
    if agent.failure.on_tombstone != agent.failure.on_decode_error {
        field("tombstones", agent.failure.on_tombstone)?;
    }
    field("dead letters", &agent.failure.dead_letter_topic)
}

fn table(table: &TableView) -> CliResult {
    field("kind", &table.kind)?;
    let everywhere = if table.global {
        "all rows, on every worker"
    } else {
        ""
    };
    field("global", everywhere)?;
    field("key", &table.key)?;
    field("value", &table.value)?;
    if table.kind != "plain" {
        field("grace", &duration::format(table.grace_ms))?;
        field("idle", idle(table).as_deref().unwrap_or("off"))?;
        field("retention", &duration::format(table.retention_ms))?;
    }
    let ttl = table.ttl_ms.map(duration::format).unwrap_or_default();
    field("ttl", &ttl)?;
    field("written by", &table.written_by.join(", "))?;
    let read_by = table.read_by.join(", ");
    match table.written_by.is_empty() && table.read_by.is_empty() {
        true => field("used by", "nobody")?,
        false => field("read by", &read_by)?,
    }
    match &table.source {
        Some(source) => field("rows of topic", source)?,
        None => field("changelog", &table.kept())?,
    }
    field(
        "rows",
        if table.local {
            "one a partition, by intention"
        } else {
            ""
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::style::ColorChoice;

    mod ordered {
        use crate::prelude::*;

        #[table]
        #[derive(Clone, Default)]
        struct PlanTotals {
            n: u64,
        }

        #[table]
        #[derive(Clone, Default)]
        struct PlanSeen {
            n: u64,
        }

        #[agent(topic = "plan-words")]
        async fn a_reader(word: Event<String>, totals: Table<PlanTotals>) {
            let _ = totals.get(word.key());
        }

        #[agent(topic = "plan-words", name = "z_writer")]
        async fn writer(word: Event<String>, mut totals: Table<PlanTotals>, seen: Table<PlanSeen>) {
            let n = seen.get(word.key()).map_or(0, |row| row.n);
            totals.update(word.key(), |row| row.n += n);
        }

        #[agent(topic = "plan-words", name = "b_other")]
        async fn other(word: Event<String>, mut seen: Table<PlanSeen>, totals: Table<PlanTotals>) {
            let n = totals.get(word.key()).map_or(1, |row| row.n);
            seen.update(word.key(), |row| row.n += n);
        }
    }

    #[test]
    fn a_plan_says_which_agent_waits_for_which() {
        let scope = format!("{}::ordered", module_path!());
        let app = crate::App::new("a").scope(scope);
        let view = AppView::of(&app, &app.plan().unwrap());
        let style = Style::stdout(ColorChoice::Never);
        let lines: Vec<String> = view.agents().map(|agent| flow(agent, style)).collect();
        let circle = "by file and line: a circle by way of plan_seen, plan_totals)";
        let expected = [
            ("z_writer", format!("(first, {circle}")),
            ("b_other", format!("(after z_writer, {circle}")),
            ("a_reader", "(after z_writer)".to_owned()),
        ];
        assert_eq!(lines.len(), expected.len());
        for (line, (name, end)) in lines.iter().zip(expected) {
            assert!(line.contains(name) && line.ends_with(&end), "{line}");
        }
    }
}
