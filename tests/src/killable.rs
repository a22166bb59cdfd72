//! The embedded broker as a process to be killed.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::leash::Leashed;
use crate::net;

const LONG: Duration = Duration::from_secs(30);

/// The embedded broker in a process that can be killed.
pub struct Killable {
    directory: tempfile::TempDir,
    port: u16,
    command: Command,
    process: Option<Leashed>,
}

impl Killable {
    /// Starts the program at this path, `env!("CARGO_BIN_EXE_embedded-broker")`.
    pub fn start(program: &str) -> Self {
        Self::start_as(Command::new(program))
    }

    /// Starts it by another command, to which directory and port are added.
    pub fn start_as(mut command: Command) -> Self {
        let [port] = net::free_ports();
        let directory = tempfile::tempdir().expect("a directory");
        command
            .arg(directory.path().join("data"))
            .arg(port.to_string());
        let mut broker = Self {
            directory,
            port,
            command,
            process: None,
        };
        broker.restart();
        broker
    }

    /// `host:port`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").pid()
    }

    /// SIGKILL; the data stays.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again, same port, same data.
    pub fn restart(&mut self) {
        let log = self.directory.path().join("log");
        let mut process = Leashed::start(&self.command, log).expect("the broker starts");
        let until = Instant::now() + LONG;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                process.ended().is_none() && Instant::now() < until,
                "{}",
                process.output()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        self.process = Some(process);
    }
}
