//! A node of Apache Kafka: a directory that is formatted once, and a process that comes and goes.

use crate::cache;
use crate::leash::{Leashed, tail};
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qk";
/// How long a node may take to start beside others, on a machine that is busy.
const START: Duration = Duration::from_secs(90);
/// What it prints when it serves.
const STARTED: &str = "Kafka Server started";

/// Starts fast and stays small on two cores: the first compiler tier, the serial collector.
pub const SMALL: &[&str] = &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/// The same for one of three.
pub const SMALLER: &[&str] = &["-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/// For measurements.
pub const LARGE: &[&str] = &["-Xmx1g", "-XX:+UseG1GC"];

/// What every node is told, whatever a test adds.
pub struct Basics<'a> {
    /// From 1.
    pub id: usize,
    /// All nodes' ids and controllers, as `controller.quorum.voters` has them.
    pub voters: &'a str,
    /// Copies of every partition.
    pub replicas: usize,
    /// Copies that must be there when a record is acknowledged.
    pub in_sync: usize,
}

impl Basics<'_> {
    /// The lines of server.properties that do not depend on listeners.
    pub fn properties(&self, dir: &Path) -> String {
        include_str!("../kafka/server.properties")
            .replace("{node}", &self.id.to_string())
            .replace("{voters}", self.voters)
            .replace("{replicas}", &self.replicas.to_string())
            .replace("{in_sync}", &self.in_sync.to_string())
            .replace("{data_dir}", &dir.join("data").display().to_string())
    }
}

/// One of them. Dropping it kills it and removes its data.
pub struct Node {
    process: Option<Leashed>,
    dir: TempDir,
    port: u16,
    jvm: &'static [&'static str],
}

impl Node {
    /// A directory for a node.
    pub fn dir() -> Result<TempDir> {
        Ok(tempfile::Builder::new().prefix("apache-kafka-").tempdir()?)
    }

    /// Formats the directory; `port` is that of the listener without encryption.
    pub fn format(
        dir: TempDir,
        properties: &str,
        more: &[String],
        port: u16,
        jvm: &'static [&'static str],
    ) -> Result<Self> {
        let file = dir.path().join("server.properties");
        fs::write(&file, properties)?;
        let mut format = java("kafka.tools.StorageTool", SMALL)?;
        format.args(["format", "-t", CLUSTER_ID, "-c"]).arg(file);
        let output = format.args(more).output().context("java")?;
        if !output.status.success() {
            bail!(
                "StorageTool format: {}",
                tail(&String::from_utf8_lossy(&output.stderr))
            );
        }
        Ok(Self {
            process: None,
            dir,
            port,
            jvm,
        })
    }

    /// `host:port` without encryption.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn process(&mut self) -> &mut Leashed {
        self.process.as_mut().expect("the broker runs")
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the broker runs").pid()
    }

    /// Whether its process still runs.
    pub fn runs(&mut self) -> bool {
        let process = self.process.as_mut();
        process.is_some_and(|process| process.ended().is_none())
    }

    /// SIGKILL. The data stays.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it on the same ports with the same data; what still runs of it is killed before. It serves later.
    pub fn begin(&mut self) -> Result<()> {
        self.process = None;
        let (dir, mut command) = (self.dir.path(), java("kafka.Kafka", self.jvm)?);
        command.arg(dir.join("server.properties")).current_dir(dir);
        self.process = Some(Leashed::start_in(&command, dir.join("server.log"), dir)?);
        Ok(())
    }

    /// Whether it serves.
    ///
    /// # Errors
    /// Its process has ended.
    pub fn serves(&mut self) -> Result<bool> {
        let process = self.process.as_mut().context("it was not started")?;
        let ended = process.ended();
        if process.output().contains(STARTED) {
            return Ok(TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        }
        match ended {
            Some(status) => bail!("the broker ended ({status}):\n{}", tail(&process.output())),
            None => Ok(false),
        }
    }

    /// Waits until it serves.
    pub fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + START;
        while !self.serves()? {
            if Instant::now() > until {
                let said = self.process().output();
                bail!(
                    "the broker does not serve after {START:?}:\n{}",
                    tail(&said)
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// One of Kafka's programs by its class.
pub fn java(class: &str, options: &[&str]) -> Result<Command> {
    let mut command = Command::new("java");
    command
        .args(options)
        .args(["-Xshare:auto", "-cp", &cache::kafka_classpath()?, class]);
    Ok(command)
}
