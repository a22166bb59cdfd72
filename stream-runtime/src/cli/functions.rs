//! What runs beside the agents, as it is shown: timers, crontabs, tasks, pages.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::args::Output;
use super::context::Context;
use super::error::CliResult;
use super::print::{Columns, field, json, line};
use crate::app::App;
use crate::background::{JobDescriptor, When};
use crate::duration;
use crate::topology::{Edge, SourceLocation};
use crate::web::PageDescriptor;

/// A function beside the agents.
#[derive(Serialize)]
pub(super) struct FunctionView {
    pub(super) name: String,
    /// `timer`, `crontab`, `task` or `page`.
    pub(super) kind: &'static str,
    /// What calls it.
    pub(super) called: String,
    /// When it is called next, of a crontab.
    pub(super) next: Option<DateTime<Utc>>,
    /// Called on one worker of all.
    pub(super) on_leader: bool,
    pub(super) tables_read: Vec<String>,
    pub(super) states: Vec<String>,
    pub(super) sends: Vec<String>,
    pub(super) place: String,
}

/// Those of the app, as they stand in its source; pages last.
pub(super) fn of(app: &App) -> Vec<FunctionView> {
    let now = Utc::now();
    let beside = app.beside().into_iter().map(|one| beside(one, now));
    let pages = app.pages().into_iter().map(page);
    beside.chain(pages).collect()
}

fn beside(one: &JobDescriptor, now: DateTime<Utc>) -> FunctionView {
    FunctionView {
        called: one.when.called(),
        next: one.when.next(now),
        on_leader: one.on_leader,
        ..view(one.name, one.when.what(), one.place, one.edges)
    }
}

fn page(page: &PageDescriptor) -> FunctionView {
    FunctionView {
        called: format!("{} {}", page.method, page.path),
        ..view(page.name, "page", page.place, page.edges)
    }
}

fn view(
    name: &str,
    kind: &'static str,
    place: SourceLocation,
    edges: &[fn() -> Option<Edge>],
) -> FunctionView {
    let mut view = FunctionView {
        name: name.to_owned(),
        kind,
        called: String::new(),
        next: None,
        on_leader: false,
        tables_read: Vec::new(),
        states: Vec::new(),
        sends: Vec::new(),
        place: place.to_string(),
    };
    for edge in edges.iter().filter_map(|edge| edge()) {
        match edge {
            Edge::Table { table, .. } | Edge::Global(table) => {
                view.tables_read.push(table.name.to_owned());
            }
            Edge::Sends(topic) => view.sends.push(topic.name.to_owned()),
            Edge::State { name, .. } => view.states.push(name().to_owned()),
            Edge::Key { .. } => {}
        }
    }
    view
}

impl When {
    /// What calls it.
    pub(super) fn called(self) -> String {
        match self {
            When::Every { ms } => every(ms),
            When::Crontab {
                expression,
                timezone,
            } => format!("{expression} in {timezone}"),
            When::Start => "once, at the start".to_owned(),
            When::Stop => "once, at the end".to_owned(),
        }
    }
}

/// What calls a timer.
pub(super) fn every(ms: u64) -> String {
    let interval = duration::format(i64::try_from(ms).unwrap_or(i64::MAX));
    format!("every {interval}")
}

impl FunctionView {
    fn next(&self) -> String {
        let next = self
            .next
            .map(|next| next.to_rfc3339_opts(SecondsFormat::Secs, true));
        next.unwrap_or_default()
    }

    fn who(&self) -> &'static str {
        match (self.kind, self.on_leader) {
            ("page", _) => "any worker",
            (_, true) => "the leader",
            (_, false) => "every worker",
        }
    }

    /// One line of `plan`.
    pub(super) fn line(&self) -> String {
        let mut text = format!("{}, {}, on {}", self.kind, self.called, self.who());
        if self.next.is_some() {
            text += &format!(", next {}", self.next());
        }
        if !self.tables_read.is_empty() {
            text += &format!(" [reads {}]", self.tables_read.join(", "));
        }
        if !self.sends.is_empty() {
            text += &format!(" -> {}", self.sends.join(", "));
        }
        text
    }

    /// Its lines of `describe`.
    pub(super) fn describe(&self) -> CliResult {
        field("called", &self.called)?;
        field("next", &self.next())?;
        field("on", self.who())?;
        field("reads tables", &self.tables_read.join(", "))?;
        field("uses", &self.states.join(", "))?;
        field("sends to", &self.sends.join(", "))
    }
}

/// `functions`.
pub(super) fn run(cx: &Context<'_>) -> CliResult {
    let functions = of(cx.app());
    if cx.output() == Output::Json {
        return json(&functions);
    }
    if functions.is_empty() {
        return line("The app has no timers, crontabs, tasks or pages.");
    }
    let heading = [
        "function", "kind", "called", "next", "on", "tables", "sends to", "place",
    ];
    let mut columns = Columns::new(cx.style(), &heading);
    for one in &functions {
        columns.row([
            one.name.clone(),
            one.kind.to_owned(),
            one.called.clone(),
            one.next(),
            one.who().to_owned(),
            one.tables_read.join(", "),
            one.sends.join(", "),
            one.place.clone(),
        ]);
    }
    columns.print()
}
