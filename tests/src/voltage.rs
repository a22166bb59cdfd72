//! The example `voltage`, run from its command line as a user runs it, each command a process of its own.

use crate::bins;
use crate::data::{Hours, Mean};
use crate::leash::{Leashed, tail};
use anyhow::{Context, Result, bail, ensure};
use chrono::DateTime;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// What keeps fault tests short: a dead worker is missed after two seconds, its transaction aborted after three.
pub const IMPATIENT: &str =
    "session.timeout.ms=2000\nheartbeat.interval.ms=500\ntransaction.timeout.ms=3000\n";

/// One line of `tail -o json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Option<i64>,
    #[serde(deserialize_with = "text")]
    pub key: Option<String>,
    pub value: serde_json::Value,
}

/// Keys that are text as they are, others as their JSON.
fn text<'de, D: serde::Deserializer<'de>>(key: D) -> Result<Option<String>, D::Error> {
    Ok(match Deserialize::deserialize(key)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    })
}

/// An app's program in a directory of its own, pointed at a broker.
pub struct App {
    program: PathBuf,
    dir: TempDir,
    broker: String,
    started: AtomicUsize,
}

impl App {
    /// The example `voltage`.
    pub fn voltage(broker: &str) -> Self {
        Self::of(bins::voltage().expect("the example is built"), broker)
    }

    /// Another program.
    pub fn of(program: PathBuf, broker: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("app-")
            .tempdir()
            .expect("a directory");
        Self {
            program,
            dir,
            broker: broker.to_owned(),
            started: AtomicUsize::new(0),
        }
    }

    /// Where it runs; `.stream` is below it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Leaves the directory there, to be looked at, and says where it is.
    pub fn keep(self) -> PathBuf {
        self.dir.keep()
    }

    /// Writes a file there and returns its path, for `--config`.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir().join(name);
        fs::write(&path, text).expect("a file in our own directory");
        path.display().to_string()
    }

    /// The arguments of an impatient worker, see [`IMPATIENT`].
    pub fn impatient(&self) -> Vec<String> {
        vec![
            "worker".into(),
            "--config".into(),
            self.file("impatient.properties", IMPATIENT),
        ]
    }

    /// The same of one that ends when nothing is left.
    pub fn until_caught_up(&self) -> Vec<String> {
        let mut args = self.impatient();
        args.push("--until-caught-up".into());
        args
    }

    /// The command `args` with `--broker`.
    pub fn command<A: AsRef<str>>(&self, args: &[A]) -> Command {
        let mut command = self.bare(args);
        command.args(["--broker", &self.broker]);
        command
    }

    /// The command `args` as it is.
    pub fn bare<A: AsRef<str>>(&self, args: &[A]) -> Command {
        self.bare_of(&self.program, args)
    }

    /// The same of another build of the program.
    pub fn bare_of<A: AsRef<str>>(&self, program: &Path, args: &[A]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args.iter().map(AsRef::as_ref))
            .current_dir(self.dir());
        // Nothing of the surroundings of the test decides what it shows.
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("STREAM_") || name == "RUST_LOG")
            {
                command.env_remove(name);
            }
        }
        command
    }

    /// Starts a command that goes on.
    pub fn start<A: AsRef<str>>(&self, args: &[A]) -> Leashed {
        self.start_command(&self.command(args))
    }

    pub fn start_command(&self, command: &Command) -> Leashed {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        Leashed::start(command, self.dir().join(format!("run-{number}.out")))
            .expect("the app starts")
    }

    /// Runs a command to its end, which must be a good one.
    pub fn run<A: AsRef<str>>(&self, args: &[A], within: Duration) -> Result<Leashed> {
        let mut process = self.start(args);
        let status = process.wait(within)?;
        ensure!(
            status.success(),
            "ended with {status}:\n{}",
            tail(&process.output())
        );
        Ok(process)
    }

    /// Runs a command to its end, which must be a bad one, and returns what it printed.
    pub fn fails(&self, command: &Command, within: Duration) -> Result<String> {
        let mut process = self.start_command(command);
        let status = process.wait(within)?;
        let output = process.output();
        ensure!(!status.success(), "ended well:\n{}", tail(&output));
        ensure!(!output.contains("panicked"), "panicked:\n{}", tail(&output));
        Ok(output)
    }

    /// The committed records of a topic, by `tail`.
    pub fn tail(&self, topic: &str) -> Result<Vec<Line>> {
        let args = [
            "tail",
            topic,
            "--from-beginning",
            "--until-end",
            "-o",
            "json",
        ];
        let process = self.run(&args, Duration::from_secs(60))?;
        let line = |line: &str| {
            serde_json::from_str(line).with_context(|| format!("not a record as JSON: {line}"))
        };
        process.stdout().lines().map(line).collect()
    }

    /// The hours of every meter in `voltage_avg`; none may be there twice.
    pub fn averages(&self) -> Result<BTreeMap<String, Hours>> {
        let mut meters: BTreeMap<String, Hours> = BTreeMap::new();
        for line in self.tail("voltage_avg")? {
            let meter = line.key.clone().context("an average without key")?;
            let (start, mean) = average(&line)?;
            if meters
                .entry(meter)
                .or_default()
                .insert(start, mean)
                .is_some()
            {
                bail!("this hour was emitted before: {line:?}");
            }
        }
        Ok(meters)
    }
}

/// The hour and mean of a record of `voltage_avg`.
pub fn average(line: &Line) -> Result<(i64, Mean)> {
    #[derive(Deserialize)]
    struct Value {
        start_time: String,
        count: u64,
        mean: f64,
    }
    let value =
        Value::deserialize(&line.value).with_context(|| format!("not an average: {line:?}"))?;
    let start = DateTime::parse_from_rfc3339(&value.start_time)?.timestamp_millis();
    ensure!(
        line.timestamp == Some(start + 3_600_000 - 1),
        "stamped with the last millisecond of its hour: {line:?}"
    );
    Ok((
        start,
        Mean {
            count: value.count,
            mean: value.mean,
        },
    ))
}
