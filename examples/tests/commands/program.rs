//! A program in a directory of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Three days of readings, as the project keeps them.
pub const SAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/data/household_power_consumption_sample.txt"
);
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Program {
    path: &'static str,
    dir: TempDir,
}

/// A command that goes on; killed when dropped.
pub struct Running {
    child: Child,
    errors: PathBuf,
}

/// What a command that ended printed.
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Program {
    pub fn voltage() -> Self {
        Self::of(env!("CARGO_BIN_EXE_voltage"))
    }

    pub fn word_count() -> Self {
        Self::of(env!("CARGO_BIN_EXE_word_count"))
    }

    pub fn of(path: &'static str) -> Self {
        Program {
            path,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path);
        command
            .args(args)
            .current_dir(self.dir())
            .stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("STREAM_"))
            {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Done {
        Done::from(self.command(args).output().unwrap())
    }

    /// Runs a command that must end well; returns its output.
    pub fn ok(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.code, Some(0), "{args:?}:\n{}{}", done.out, done.err);
        done.out
    }

    /// Starts a command that goes on.
    pub fn start(&self, args: &[&str]) -> Running {
        let errors = self.dir().join(format!(
            "{}.{}.err",
            args[0],
            Instant::now().elapsed().as_nanos()
        ));
        let errors = (0..)
            .map(|n| errors.with_extension(n.to_string()))
            .find(|path| !path.exists())
            .unwrap();
        let child = self
            .command(args)
            .stdout(Stdio::null())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        Running { child, errors }
    }

    /// Starts the broker of the directory on a free port and waits until it answers.
    pub fn broker(&self) -> Running {
        let running = self.start(&["broker", "--port", "0"]);
        eventually("the broker answers", || self.address().is_some());
        running
    }

    /// Where the broker of the directory says it listens, if it answers there.
    pub fn address(&self) -> Option<String> {
        let address = fs::read_to_string(self.dir().join(".stream/broker.address")).ok()?;
        std::net::TcpStream::connect(address.trim()).ok()?;
        Some(address.trim().to_owned())
    }

    /// The values of a topic, key and value, sorted.
    pub fn values(&self, topic: &str) -> Vec<(Option<String>, serde_json::Value)> {
        let out = self.ok(&[
            "tail",
            topic,
            "--from-beginning",
            "--until-end",
            "-o",
            "json",
        ]);
        let mut values: Vec<_> = out
            .lines()
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                (
                    line["key"].as_str().map(str::to_owned),
                    line["value"].clone(),
                )
            })
            .collect();
        values.sort_by_key(|(key, value)| (key.clone(), value.to_string()));
        values
    }
}

impl Running {
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGINT, as Ctrl-C sends it; returns the exit code.
    pub fn interrupt(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(
                start.elapsed() < PATIENCE,
                "does not end:\n{}",
                self.errors()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn errors(&self) -> String {
        fs::read_to_string(&self.errors).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Done {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Waits until something is true.
pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
