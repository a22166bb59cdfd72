//! How an app differs from what was kept of it.

use super::{Lock, OPTIONAL, TypeLock};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs, and what to do.
    pub message: String,
    /// Whether state or topics in Kafka would be lost or not be read any more.
    pub breaks: bool,
    /// Where it stands in the lock: `["tables", "hours"]`.
    pub path: Vec<String>,
    /// File and line as they were.
    pub then: String,
    /// File and line as they are, where there is anything left.
    pub now: Option<String>,
}

/// Everything that differs; first what breaks.
pub fn differences(then: &Lock, now: &Lock) -> Vec<Difference> {
    if then.id != now.id {
        return vec![Difference {
            message: format!(
                "it was `{}` and is `{}`, which begins anew, with tables and offsets of its own",
                then.id, now.id
            ),
            breaks: false,
            path: vec!["id".to_owned()],
            then: String::new(),
            now: None,
        }];
    }
    let mut found = Vec::new();
    agents(then, now, &mut found);
    tables(then, now, &mut found);
    topics(then, now, &mut found);
    found.sort_by_key(|difference| !difference.breaks);
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
            breaks: true,
            path: path("agents", name),
            then: was.place.clone(),
            now: renamed.map(|(_, is)| is.place.clone()),
        });
    }
}

fn tables(then: &Lock, now: &Lock, found: &mut Vec<Difference>) {
    for (name, was) in &then.tables {
        let mut say = |message: String, breaks: bool, place: Option<&String>| {
            found.push(Difference {
                message,
                breaks,
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
                    was.changelog.is_some(),
                    Some(&is.place),
                ),
                None => say(
                    format!("table `{name}` vanished; {rows}"),
                    was.changelog.is_some(),
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
                true,
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
                true,
                place,
            );
        }
        if was.changelog.is_some() && is.changelog.is_none() {
            say(
                format!("table `{name}` keeps its rows in memory only now; {rows}"),
                true,
                place,
            );
        }
        let changes = of_type(&was.row, &is.row);
        let breaking: Vec<String> = changes.iter().map(|change| change.to_string()).collect();
        if !breaking.is_empty() {
            say(
                format!(
                    "the row `{}` of table `{name}` changed so that old rows cannot be read: {}; {rows}",
                    is.row.name,
                    breaking.join("; ")
                ),
                true,
                place,
            );
        } else if is.row.fingerprint != was.row.fingerprint {
            say(
                format!(
                    "the row `{}` of table `{name}` changed, and old rows can be read",
                    is.row.name
                ),
                false,
                place,
            );
        }
    }
}

fn topics(then: &Lock, now: &Lock, found: &mut Vec<Difference>) {
    for (name, was) in &then.topics {
        let Some(is) = now.topics.get(name) else {
            continue; // who read it has vanished, or reads another on purpose
        };
        let mut say = |message: String, breaks: bool| {
            found.push(Difference {
                message,
                breaks,
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
                true,
            );
        }
        if is.record.fingerprint != was.record.fingerprint {
            let changes = of_type(&was.record, &is.record);
            let text = match changes.is_empty() {
                true => "old records can be read".to_owned(),
                false => format!("old records would be bad: {}", changes.join("; ")),
            };
            say(
                format!(
                    "the record `{}` of topic `{name}` changed; {text}",
                    is.record.name
                ),
                false,
            );
        }
    }
}

/// What of a type's change keeps old values from being read.
fn of_type(was: &TypeLock, is: &TypeLock) -> Vec<String> {
    // Nothing is known of it but its name.
    if was.fields.is_empty() && is.fields.is_empty() {
        return match was.name == is.name || was.name.is_empty() {
            true => Vec::new(),
            false => vec![format!("it was `{}`", was.name)],
        };
    }
    let mut changes = Vec::new();
    for (name, new) in &is.fields {
        match was.fields.get(name) {
            None if is.variants || new.ends_with(OPTIONAL) => {}
            None => changes.push(format!(
                "field `{name}` is new and has no `#[serde(default)]`"
            )),
            Some(old) if bare(old) != bare(new) => {
                let part = if is.variants { "variant" } else { "field" };
                changes.push(format!(
                    "{part} `{name}` was `{}` and is `{}`",
                    bare(old),
                    bare(new)
                ));
            }
            Some(_) => {}
        }
    }
    if was.variants {
        let gone = was
            .fields
            .keys()
            .filter(|name| !is.fields.contains_key(*name));
        changes.extend(gone.map(|name| format!("variant `{name}` has gone")));
    }
    changes
}

fn bare(field: &str) -> &str {
    field.strip_suffix(OPTIONAL).unwrap_or(field)
}
