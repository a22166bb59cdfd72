//! The embedded broker, in a process of its own as a user runs it: `voltage broker`.

use crate::leash::Leashed;
use crate::{bins, net};
use anyhow::{Context, Result, bail};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running broker. Dropping it kills it and removes its data.
pub struct Embedded {
    program: PathBuf,
    process: Option<Leashed>,
    dir: TempDir,
    port: u16,
}

impl Embedded {
    /// Starts it on a port that is free, and waits until it serves.
    pub fn start() -> Result<Self> {
        Self::of(bins::voltage()?)
    }

    /// The same by another app's program: each has the command.
    pub fn of(program: PathBuf) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("embedded-broker-")
            .tempdir()?;
        let [port] = net::free_ports();
        let mut broker = Self {
            program,
            process: None,
            dir,
            port,
        };
        broker.restart()?;
        Ok(broker)
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn process(&mut self) -> &mut Leashed {
        self.process.as_mut().expect("the broker runs")
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the broker runs").pid()
    }

    /// Whether its process still runs.
    pub fn runs(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.ended().is_none())
    }

    /// SIGKILL. The data stays.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port with the same data, and waits until it serves.
    pub fn restart(&mut self) -> Result<()> {
        self.process = None;
        let command = command(&self.program, self.dir.path(), self.port);
        let mut process = Leashed::start_in(
            &command,
            self.dir.path().join("broker.log"),
            self.dir.path(),
        )?;
        let until = Instant::now() + Duration::from_secs(20);
        while let Err(error) = TcpStream::connect(("127.0.0.1", self.port)) {
            if let Some(status) = process.ended() {
                bail!(
                    "the embedded broker ended ({status}):\n{}",
                    process.output()
                );
            }
            if Instant::now() > until {
                return Err(error).with_context(|| {
                    format!("the embedded broker does not serve:\n{}", process.output())
                });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.process = Some(process);
        Ok(())
    }
}

fn command(program: &Path, dir: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command
        .args(["broker", "--port", &port.to_string(), "--data-dir"])
        .arg(dir.join("data"))
        .current_dir(dir);
    command
}
