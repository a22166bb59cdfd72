//! Apache Kafka in a process of its own: no Docker, jars from Maven Central, free ports, a directory that goes away.

use crate::leash::{Leashed, tail};
use crate::sasl::Tls;
use crate::{cache, net};
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qk";

/// What a test wants otherwise than usual.
#[derive(Clone, Default)]
pub struct Options {
    /// A second listener with TLS and SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512).
    pub secure: bool,
    /// Java's optimizing compiler and a larger heap: for measurements. Without, it starts faster and stays small.
    pub throughput: bool,
    /// Lines added to server.properties.
    pub properties: Vec<(String, String)>,
}

/// A running broker. Dropping it kills it and removes its data.
pub struct ApacheKafka {
    process: Option<Leashed>,
    dir: TempDir,
    port: u16,
    secure_port: u16,
    tls: Option<Tls>,
    throughput: bool,
}

impl ApacheKafka {
    pub fn start() -> Result<Self> {
        Self::start_with(&Options::default())
    }

    /// Formats a directory, starts the broker on ports that are free, and waits until it serves.
    pub fn start_with(options: &Options) -> Result<Self> {
        let classpath = cache::kafka_classpath()?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            match Self::try_start(&classpath, options) {
                // Another process took the port between our look and the broker's bind.
                Err(error) if attempts < 3 && format!("{error:#}").contains("in use") => continue,
                outcome => return outcome,
            }
        }
    }

    fn try_start(classpath: &str, options: &Options) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("apache-kafka-").tempdir()?;
        let [port, controller_port, secure_port] = net::free_ports();
        let tls = options.secure.then(|| Tls::make(dir.path())).transpose()?;
        let properties = properties(
            dir.path(),
            port,
            controller_port,
            secure_port,
            tls.as_ref(),
            options,
        );
        fs::write(dir.path().join("server.properties"), properties)?;
        let mut format = java(classpath, "kafka.tools.StorageTool", SMALL);
        format
            .args(["format", "-t", CLUSTER_ID, "-c"])
            .arg(dir.path().join("server.properties"));
        if options.secure {
            format.args(Tls::format_args());
        }
        let output = format.output().context("java")?;
        if !output.status.success() {
            bail!(
                "StorageTool format: {}",
                tail(&String::from_utf8_lossy(&output.stderr))
            );
        }
        let mut kafka = Self {
            process: None,
            dir,
            port,
            secure_port,
            tls,
            throughput: options.throughput,
        };
        kafka.restart()?;
        Ok(kafka)
    }

    /// `host:port` without encryption.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` of the TLS and SASL listener, and the certificate to trust. Only with [`Options::secure`].
    pub fn secure(&self) -> (String, &Path) {
        let tls = self.tls.as_ref().expect("started with `secure`");
        (format!("localhost:{}", self.secure_port), &tls.certificate)
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

    /// Starts it again on the same ports with the same data, and waits until it serves.
    pub fn restart(&mut self) -> Result<()> {
        self.process = None;
        let log = self.dir.path().join("server.log");
        let mut command = java(
            &cache::kafka_classpath()?,
            "kafka.Kafka",
            if self.throughput { LARGE } else { SMALL },
        );
        command
            .arg(self.dir.path().join("server.properties"))
            .current_dir(self.dir.path());
        let mut process = Leashed::start_in(&command, log, self.dir.path())?;
        process.line_with("Kafka Server started", Duration::from_secs(60))?;
        wait_for_port(self.port)?;
        self.process = Some(process);
        Ok(())
    }

    /// Runs one of Kafka's own tools by its class, such as `org.apache.kafka.tools.TopicCommand`.
    pub fn tool(class: &str) -> Result<Command> {
        Ok(java(&cache::kafka_classpath()?, class, SMALL))
    }
}

/// Starts fast and stays small on two cores: the first compiler tier, the serial collector.
const SMALL: &[&str] = &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
const LARGE: &[&str] = &["-Xmx1g", "-XX:+UseG1GC"];

fn java(classpath: &str, class: &str, options: &[&str]) -> Command {
    let mut command = Command::new("java");
    command
        .args(options)
        .args(["-Xshare:auto", "-cp", classpath, class]);
    command
}

fn properties(
    dir: &Path,
    port: u16,
    controller_port: u16,
    secure_port: u16,
    tls: Option<&Tls>,
    options: &Options,
) -> String {
    let mut text = include_str!("../kafka/server.properties")
        .replace("{controller_port}", &controller_port.to_string())
        .replace("{data_dir}", &dir.join("data").display().to_string());
    let plain = format!("PLAINTEXT://127.0.0.1:{port}");
    let controller = format!("CONTROLLER://127.0.0.1:{controller_port}");
    match tls {
        None => text += &format!("listeners={plain},{controller}\nadvertised.listeners={plain}\n"),
        Some(tls) => {
            text += &format!("listeners={plain},{controller},SASL_SSL://127.0.0.1:{secure_port}\n");
            text += &format!("advertised.listeners={plain},SASL_SSL://localhost:{secure_port}\n");
            text += "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL\n";
            text += &tls.server_properties();
        }
    }
    options
        .properties
        .iter()
        .fold(text, |text, (name, value)| text + name + "=" + value + "\n")
}

fn wait_for_port(port: u16) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(10);
    while let Err(error) = TcpStream::connect(("127.0.0.1", port)) {
        if Instant::now() > until {
            return Err(error)
                .context("the broker says that it started, but does not accept connections");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
