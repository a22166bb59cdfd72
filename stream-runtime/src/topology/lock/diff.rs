//! How an app differs from what was kept of it.

use super::types::{Changes, changes};
use super::{Lock, TableLock};

/// How much a difference matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Nothing is lost.
    Told,
    /// Something vanished, or only its name did: what it had is in Kafka, and nobody looks there any more.
    Gone,
    /// A field may have been renamed, and what it held be lost: a person has to say.
    Doubtful,
    /// State or topics in Kafka would be lost, or not be read any more.
    Breaks,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs, and what to do.
    pub message: String,
    /// How much it matters.
    pub weight: Weight,
    /// What is on its way between agents of the app would be bad.
    pub in_flight: bool,
    /// Where it stands in the lock: `["tables", "hours"]`.
    pub path: Vec<String>,
    /// File and line as they were.
    pub then: String,
    /// File and line as they are, where there is anything left.
    pub now: Option<String>,
}

impl Difference {
    /// Whether the app is not to start like this.
    pub fn breaks(&self) -> bool {
        self.weight > Weight::Told
    }
}

/// Everything that differs; first what breaks.
pub fn differences(then: &Lock, now: &Lock) -> Vec<Difference> {
    if then.id != now.id {
        return vec![Difference {
            message: format!(
                "it was `{}` and is `{}`, which starts again, with tables and offsets of its own",
                then.id, now.id
            ),
            weight: Weight::Told,
            in_flight: false,
            path: vec!["id".to_owned()],
            then: String::new(),
            now: None,
        }];
    }
    let mut found = Vec::new();
    agents(then, now, &mut found);
    tables(then, now, &mut found);
    topics(then, now, &mut found);
    found.sort_by_key(|difference| std::cmp::Reverse(difference.weight));
    found
}

fn path(kind: &str, name: &str) -> Vec<String> {
    vec![kind.to_owned(), name.to_owned()]
}

fn agents(then: &Lock, now: &Lock, found: &mut Vec<Difference>) {
    for (name, was) in &then.agents {
        if now.agents.contains_key(name) {
            continue;
        }
        let new = now
            .agents
            .iter()
            .filter(|(name, _)| !then.agents.contains_key(*name));
        let renamed = new
            .clone()
            .find(|(_, is)| is.place == was.place)
            .or_else(|| {
                new.clone()
                    .find(|(_, is)| is.reads == was.reads && is.sink == was.sink)
            });
        let library = was.module.split("::").next().unwrap_or_default();
        let linked = now
            .agents
            .values()
            .any(|is| is.module.split("::").next() == Some(library));
        let message = match renamed {
            Some((new, _)) => format!(
                "agent `{name}` vanished; if it is `{new}` now, `name = \"{name}\"` keeps its dead letters and \
                 repartition topics"
            ),
            None if !linked => format!(
                "agent `{name}` vanished, and so did all others of the crate `{library}`; a crate that the binary \
                 does not name is not linked: `use {library} as _;`"
            ),
            None => format!(
                "agent `{name}` vanished; nobody reads {} in its place",
                was.reads.join(", ")
            ),
        };
        found.push(Difference {
            message,
            weight: Weight::Gone,
            in_flight: false,
            path: path("agents", name),
            then: was.place.clone(),
            now: renamed.map(|(_, is)| is.place.clone()),
        });
    }
}

fn tables(then: &Lock, now: &Lock, found: &mut Vec<Difference>) {
    for (name, was) in &then.tables {
        let mut say = |message: String, weight: Weight, place: Option<&String>| {
            found.push(Difference {
                message,
                weight,
                in_flight: false,
                path: path("tables", name),
                then: was.place.clone(),
                now: place.cloned(),
            });
        };
        let rows = match &was.changelog {
            Some(changelog) => format!("its rows are in {changelog}"),
            None => "its rows were in memory".to_owned(),
        };
        let Some(is) = now.tables.get(name) else {
            let new = now
                .tables
                .iter()
                .filter(|(name, _)| !then.tables.contains_key(*name));
            let renamed = new
                .clone()
                .find(|(_, is)| is.place == was.place)
                .or_else(|| {
                    new.clone().find(|(_, is)| {
                        is.key == was.key
                            && is.windows == was.windows
                            && is.row.fields == was.row.fields
                    })
                });
            match renamed {
                Some((new, is)) => say(
                    format!(
                        "table `{name}` was renamed to `{new}`, which begins empty: {rows}; `name = \"{name}\"` keeps them"
                    ),
                    kept(was, Weight::Breaks),
                    Some(&is.place),
                ),
                None => say(
                    format!("table `{name}` vanished; {rows}"),
                    kept(was, Weight::Gone),
                    None,
                ),
            }
            continue;
        };
        let place = Some(&is.place);
        if is.key != was.key {
            say(
                format!(
                    "the keys of table `{name}` were {} and are {}: {rows}, under keys that would not be found; give the \
                     table another name, or `reset` the app",
                    was.key, is.key
                ),
                Weight::Breaks,
                place,
            );
        }
        if is.windows != was.windows {
            let text =
                |windows: &Option<String>| windows.clone().unwrap_or_else(|| "none".to_owned());
            say(
                format!(
                    "the windows of table `{name}` were {} and are {}: {rows}, of the old windows; give the table another \
                     name, or `reset` the app",
                    text(&was.windows),
                    text(&is.windows)
                ),
                Weight::Breaks,
                place,
            );
        }
        if was.changelog.is_some() && is.changelog.is_none() {
            say(
                format!("table `{name}` keeps its rows in memory only now; {rows}"),
                Weight::Breaks,
                place,
            );
        }
        let row =
            |text: &str| format!("the row `{}` of table `{name}` changed {text}", is.row.name);
        match said(&changes(&was.row, &is.row)) {
            Some((Weight::Breaks, why)) => say(
                row(&format!("so that old rows cannot be read: {why}; {rows}")),
                Weight::Breaks,
                place,
            ),
            Some((weight, why)) => say(
                row(&format!(
                    "so that what old rows hold may be lost: {why}; {rows}"
                )),
                weight,
                place,
            ),
            None if is.row.fingerprint != was.row.fingerprint && !is.row.name.is_empty() => {
                let message = format!(
                    "the row `{}` of table `{name}` changed, and old rows can be read",
                    is.row.name
                );
                say(message, Weight::Told, place);
            }
            None => {}
        }
    }
}

/// The weight of what happens to a table's rows: those in memory are lost with every restart.
fn kept(was: &TableLock, weight: Weight) -> Weight {
    match was.changelog {
        Some(_) => weight,
        None => Weight::Told,
    }
}

/// What is to be said of a type's change, unless old values are read as before.
fn said(changes: &Changes) -> Option<(Weight, String)> {
    if !changes.breaking.is_empty() {
        return Some((Weight::Breaks, changes.breaking.join("; ")));
    }
    (!changes.doubtful.is_empty()).then(|| (Weight::Doubtful, changes.doubtful.join("; ")))
}

fn topics(then: &Lock, now: &Lock, found: &mut Vec<Difference>) {
    for (name, was) in &then.topics {
        let Some(is) = now.topics.get(name) else {
            continue; // who read it has vanished, or reads another on purpose
        };
        let mut say = |message: String, weight: Weight, in_flight: bool| {
            found.push(Difference {
                message,
                weight,
                in_flight,
                path: path("topics", name),
                then: was.place.clone(),
                now: Some(is.place.clone()),
            });
        };
        if let (Some(old), Some(new)) = (&was.key, &is.key)
            && old != new
        {
            say(
                format!(
                    "the keys of topic `{name}` were {old} and are {new}: those that are there would not be read"
                ),
                Weight::Breaks,
                false,
            );
        }
        let codec = (was.codec.as_deref(), is.codec.as_deref());
        let recoded = matches!(codec, (Some(then), Some(now)) if then != now);
        if is.record.fingerprint == was.record.fingerprint && !recoded {
            continue;
        }
        let between = was.between || is.between;
        let mut in_flight = false;
        let mut changed = changes(&was.record, &is.record);
        if let (true, (Some(then), Some(now))) = (recoded, codec) {
            let text = |codec: &str| match codec {
                "" => "a codec of its own".to_owned(),
                codec => codec.to_owned(),
            };
            let why = format!(
                "they were written as {} and are read as {}",
                text(then),
                text(now)
            );
            changed.breaking.push(why);
        } else if is.codec.as_deref() == Some("binary") && changed.breaking.is_empty() {
            // Neither names nor defaults are in it.
            changed
                .breaking
                .push("`binary` knows fields by their places alone".to_owned());
        }
        let (weight, text) = match said(&changed) {
            None => (Weight::Told, "old records can be read".to_owned()),
            Some((Weight::Breaks, why)) => {
                in_flight = between;
                (Weight::Told, format!("old records would be bad: {why}"))
            }
            // Nobody here reads what it sends only.
            Some((_, why)) if is.only_sent => (Weight::Told, format!("for who reads it: {why}")),
            Some((weight, why)) => (weight, format!("what old records hold may be lost: {why}")),
        };
        let contract = match between {
            true => {
                "; it lies between agents of this app, so its record is a contract like a table's row: what is in flight \
                 during a deploy was written by the old form, and workers not yet replaced read the new one"
            }
            false => "",
        };
        say(
            format!(
                "the record `{}` of topic `{name}` changed; {text}{contract}",
                is.record.name
            ),
            weight,
            in_flight,
        );
    }
}
