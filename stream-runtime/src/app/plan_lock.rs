//! `plan.lock`: written by `plan --write`, compared by `plan --check` and by a worker that starts.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::App;
use super::ending::{CliError, CliResult};
use crate::topology::Plan;
use crate::topology::lock::{Difference, Lock, Weight, differences};

pub(crate) const ABOUT: &str = "What the apps of this directory must not change by accident. Written by `plan --write`, compared by \
                     `plan --check` and by every worker that starts here. Keep it under version control.";

pub(crate) const OWN: &str = "What the last worker on the development broker was. Kept by the worker, and compared at each start unless \
                   there is a plan.lock of your own; `reset` removes it.";

/// The file: the apps of a directory by their names.
#[derive(Serialize, Deserialize)]
pub(crate) struct LockFile {
    about: String,
    pub(crate) apps: BTreeMap<String, Lock>,
}

/// The file and its text; `None` when there is none.
pub(crate) fn read(path: &Path) -> CliResult<Option<(LockFile, String)>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        // Of a data directory that is a file, opening the store says what is wrong.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
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
            "{} is not a plan.lock of this version: {error}",
            path.display()
        ))
        .next("take back what was changed by hand, or remove the file and `plan --write`")),
    }
}

/// The file of the development broker's plan, beside the state of the app with this id.
pub(crate) fn own_file(data_dir: &Path, id: &str) -> PathBuf {
    data_dir.join(id).join("plan.lock")
}

/// Writes a file whole or not at all, with what it says of other apps.
pub(crate) fn keep(path: &Path, about: &str, app: &str, now: Lock) -> CliResult {
    let mut file = match read(path)? {
        Some((file, _)) => file,
        None => LockFile {
            about: String::new(),
            apps: BTreeMap::new(),
        },
    };
    if file.about == about && file.apps.get(app) == Some(&now) {
        return Ok(());
    }
    file.about = about.to_owned();
    file.apps.insert(app.to_owned(), now);
    let place = |error: std::io::Error| {
        CliError::failure(format_args!("cannot write {}: {error}", path.display()))
    };
    let mut text = serde_json::to_string_pretty(&file).map_err(CliError::failure)?;
    text.push('\n');
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(place)?;
    }
    // Two workers may start at once.
    let half = path.with_extension(format!("lock.{}", std::process::id()));
    fs::write(&half, text).map_err(place)?;
    fs::rename(&half, path).map_err(place)
}

/// Which broker a worker starts on, as far as its plan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// The development broker of the directory.
    Development,
    /// One that was named.
    Named,
}

/// Outcome of the comparison at a worker's start.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// A person kept a plan, and it fits.
    pub(crate) confirmed: bool,
    /// Where the plan is kept beside the state, the app's name, the plan.
    keeps: Option<(PathBuf, String, Box<Lock>)>,
}

impl Guard {
    /// The broker is there: brings the plan beside the state up to date.
    pub(crate) fn keep(self) -> CliResult {
        match self.keeps {
            Some((path, app, now)) => keep(&path, OWN, &app, *now),
            None => Ok(()),
        }
    }
}

/// Compares the plan at a worker's start: with the file, or, on the development broker, with what is kept beside the
/// state.
pub(crate) fn at_start(
    app: &App,
    plan: &Plan,
    path: &Path,
    data_dir: &Path,
    on: On,
) -> CliResult<Guard> {
    let now = Lock::of(plan);
    let own = own_file(data_dir, &app.id());
    let name = app.name.as_str();
    let mut guard = Guard::default();
    match read(path)? {
        Some((file, text)) => match file.apps.get(name) {
            Some(then) => {
                let found = differences(then, &now);
                refuse(&found, Weight::Gone, name, path, &text)?;
                warn(found.iter().filter(|found| found.in_flight));
                guard.confirmed = true;
            }
            None => tracing::warn!(
                "{} has no app `{name}`; `plan --write` adds it",
                path.display()
            ),
        },
        None if on == On::Development => {
            if let Some((file, text)) = read(&own)?
                && let Some(then) = file.apps.get(name)
            {
                let found = differences(then, &now);
                // In development agents come and go.
                refuse(&found, Weight::Doubtful, name, &own, &text)?;
                warn(
                    found
                        .iter()
                        .filter(|found| found.in_flight || found.breaks()),
                );
            }
        }
        None => tracing::info!(
            "there is no {}: `plan --write` makes it, and with it a renamed agent or table, another key, window or row is \
             refused at start",
            path.display()
        ),
    }
    if on == On::Development {
        guard.keeps = Some((own, name.to_owned(), Box::new(now)));
    }
    Ok(guard)
}

fn warn<'a>(found: impl Iterator<Item = &'a Difference>) {
    for difference in found {
        tracing::warn!("since the last plan: {}", difference.message);
    }
}

/// The state starts again, and with it what the development broker keeps of the plan.
pub(crate) fn forget(data_dir: &Path, id: &str) -> CliResult {
    let path = own_file(data_dir, id);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(CliError::failure(format_args!(
            "cannot delete {}: {error}",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// Fails with everything that weighs so much.
pub(crate) fn refuse(
    found: &[Difference],
    from: Weight,
    app: &str,
    path: &Path,
    text: &str,
) -> CliResult {
    let refused = || found.iter().filter(|difference| difference.weight >= from);
    let told: Vec<String> = refused()
        .map(|difference| told(difference, app, path, text))
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    let next = match refused().all(|difference| difference.weight == Weight::Doubtful) {
        true => "add the alias, or, when nothing was renamed, `plan --write` confirms it",
        false => {
            "undo the change, or, when it is meant, `plan --write`, and `reset` where the state is to start again"
        }
    };
    Err(CliError::failure(format_args!(
        "the app is not what {} says:\n  {}",
        path.display(),
        told.join("\n  ")
    ))
    .next(next))
}

/// A difference with both places.
pub(crate) fn told(difference: &Difference, app: &str, path: &Path, text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    mod shop {
        use crate::prelude::*;

        #[record]
        #[allow(dead_code)]
        struct Sale {
            price: f64,
            shop: Option<String>,
        }

        #[table(key = u64, tumbling = "1h")]
        #[derive(Clone, Default)]
        #[allow(dead_code)]
        struct Sold {
            n: u64,
            #[serde(default)]
            total: f64,
        }

        #[agent(topic = "sales")]
        async fn count(_: Sale, _: &mut Table<Sold>) {}
    }

    /// An app in a directory of its own, on the development broker or another.
    struct Bed {
        dir: tempfile::TempDir,
        app: App,
        plan: Plan,
    }

    impl Bed {
        fn new() -> Self {
            let app = App::new("shop").scope(concat!(module_path!(), "::shop"));
            let plan = app.plan().unwrap_or_else(|problems| panic!("{problems:?}"));
            Bed {
                dir: tempfile::tempdir().unwrap(),
                app,
                plan,
            }
        }

        fn own(&self) -> PathBuf {
            own_file(&self.dir.path().join(".stream"), "shop")
        }

        fn lock(&self) -> PathBuf {
            self.dir.path().join("plan.lock")
        }

        fn start(&self, on: On) -> CliResult<bool> {
            let data_dir = self.dir.path().join(".stream");
            let guard = at_start(&self.app, &self.plan, &self.lock(), &data_dir, on)?;
            let confirmed = guard.confirmed;
            guard.keep()?;
            Ok(confirmed)
        }

        /// Changes a plan that was kept to what another version of the app was.
        fn edit(&self, path: &Path, change: impl FnOnce(&mut Lock)) {
            let (mut file, _) = read(path).unwrap().unwrap();
            change(file.apps.get_mut("shop").unwrap());
            fs::write(path, serde_json::to_string_pretty(&file).unwrap()).unwrap();
        }

        fn kept(&self, path: &Path) -> Lock {
            read(path).unwrap().unwrap().0.apps.remove("shop").unwrap()
        }

        #[track_caller]
        fn refused(&self, texts: &[&str]) {
            let before = fs::read_to_string(self.own()).unwrap_or_default();
            let error = self.start(On::Development).expect_err("refused");
            let said = format!("{error} {}", error.next_step().unwrap_or_default());
            for text in texts {
                assert!(said.contains(text), "no {text} in {said}");
            }
            let after = fs::read_to_string(self.own()).unwrap_or_default();
            assert_eq!(before, after, "what is kept stays");
        }
    }

    fn renamed(lock: &mut Lock) {
        let row = &mut lock.tables.get_mut("sold").unwrap().row;
        let total = row.fields.remove("total").unwrap();
        row.fields.insert("sum".to_owned(), total);
        row.fingerprint = String::new();
    }

    #[test]
    fn on_the_development_broker_the_plan_is_kept_beside_the_state_and_compared_at_each_start() {
        let bed = Bed::new();
        assert!(!bed.start(On::Development).unwrap(), "no person kept it");
        assert_eq!(bed.kept(&bed.own()), Lock::of(&bed.plan));
        bed.edit(&bed.own(), |lock| {
            lock.tables.get_mut("sold").unwrap().windows = None;
        });
        bed.refused(&[
            "the windows of table `sold` were none and are Tumbling",
            ".stream/shop/plan.lock",
            "`plan --write`",
            "`reset`",
        ]);
        forget(&bed.dir.path().join(".stream"), "shop").unwrap();
        bed.start(On::Development).unwrap();
        forget(&bed.dir.path().join("nowhere"), "shop").unwrap();
    }

    #[test]
    fn in_development_what_vanished_is_said_and_what_is_new_is_kept() {
        let bed = Bed::new();
        bed.start(On::Development).unwrap();
        bed.edit(&bed.own(), |lock| {
            let mut gone = lock.agents["count"].clone();
            gone.place = "src/gone.rs:7".to_owned();
            lock.agents.insert("gone".to_owned(), gone);
            let mut gone = lock.tables["sold"].clone();
            (gone.place, gone.key) = ("src/gone.rs:9".to_owned(), "i8".to_owned());
            lock.tables.insert("gone".to_owned(), gone);
            lock.agents.remove("count");
        });
        bed.start(On::Development).unwrap();
        assert_eq!(bed.kept(&bed.own()), Lock::of(&bed.plan));
        // A table that begins empty because its name is another one is not.
        bed.edit(&bed.own(), |lock| {
            let sold = lock.tables.remove("sold").unwrap();
            lock.tables.insert("hours".to_owned(), sold);
        });
        bed.refused(&["table `hours` was renamed to `sold`", "`name = \"hours\"`"]);
    }

    #[test]
    fn a_field_that_may_have_been_renamed_is_refused_beside_the_state_too() {
        let bed = Bed::new();
        bed.start(On::Development).unwrap();
        bed.edit(&bed.own(), renamed);
        bed.refused(&[
            "if `total` is what was `sum`: `#[serde(alias = \"sum\")]`",
            "when nothing was renamed, `plan --write` confirms it",
        ]);
    }

    #[test]
    fn a_plan_of_the_directory_wins_and_confirms() {
        let bed = Bed::new();
        bed.start(On::Development).unwrap();
        bed.edit(&bed.own(), renamed);
        keep(&bed.lock(), ABOUT, "shop", Lock::of(&bed.plan)).unwrap();
        assert!(bed.start(On::Development).unwrap(), "a person kept it");
        assert_eq!(bed.kept(&bed.own()), Lock::of(&bed.plan));
        bed.edit(&bed.lock(), renamed);
        bed.refused(&["says", "alias"]);
    }

    #[test]
    fn on_a_named_broker_nothing_is_kept() {
        let bed = Bed::new();
        assert!(!bed.start(On::Named).unwrap());
        assert!(!bed.dir.path().join(".stream").exists());
    }

    #[test]
    fn a_key_s_line_is_found_by_its_path() {
        let text = "{\n  \"apps\": {\n    \"a\": {\n      \"tables\": {\n        \"b\": 1\n      }\n    },\n    \"b\": {\n      \"agents\": {},\n      \"tables\": {\n        \"b\": 2\n      }\n    }\n  }\n}";
        assert_eq!(line_of(text, &["apps", "b", "tables", "b"]), Some(11));
        assert_eq!(line_of(text, &["apps", "a", "tables", "b"]), Some(5));
        assert_eq!(line_of(text, &["apps", "c"]), None);
        assert_eq!(line_of("{\"apps\":{}}", &["apps"]), None);
    }
}
