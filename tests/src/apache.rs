//! Apache Kafka in a process of its own: no Docker, jars from Maven Central, free ports, a directory that goes away.

use crate::leash::Leashed;
use crate::net;
use crate::node::{self, Basics, LARGE, Node, SMALL};
use crate::sasl::Tls;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

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
    node: Node,
    secure_port: u16,
    tls: Option<Tls>,
}

impl ApacheKafka {
    pub fn start() -> Result<Self> {
        Self::start_with(&Options::default())
    }

    /// Formats a directory, starts the broker on ports that are free, and waits until it serves.
    pub fn start_with(options: &Options) -> Result<Self> {
        net::until_ports_are_free(|| Self::try_start(options))
    }

    fn try_start(options: &Options) -> Result<Self> {
        let dir = Node::dir()?;
        let [port, controller_port, secure_port] = net::free_ports();
        let tls = options.secure.then(|| Tls::make(dir.path())).transpose()?;
        let basics = Basics {
            id: 1,
            voters: &format!("1@127.0.0.1:{controller_port}"),
            replicas: 1,
            in_sync: 1,
        };
        let mut properties = basics.properties(dir.path());
        properties += &listeners(port, controller_port, secure_port, tls.as_ref());
        for (name, value) in &options.properties {
            properties += &format!("{name}={value}\n");
        }
        let users = match options.secure {
            true => Tls::format_args(),
            false => Vec::new(),
        };
        let jvm = if options.throughput { LARGE } else { SMALL };
        let mut kafka = Self {
            node: Node::format(dir, &properties, &users, port, jvm)?,
            secure_port,
            tls,
        };
        kafka.restart()?;
        Ok(kafka)
    }

    /// `host:port` without encryption.
    pub fn bootstrap(&self) -> String {
        self.node.address()
    }

    /// `host:port` of the TLS and SASL listener, and the certificate to trust. Only with [`Options::secure`].
    pub fn secure(&self) -> (String, &Path) {
        let tls = self.tls.as_ref().expect("started with `secure`");
        (format!("localhost:{}", self.secure_port), &tls.certificate)
    }

    pub fn process(&mut self) -> &mut Leashed {
        self.node.process()
    }

    pub fn pid(&self) -> u32 {
        self.node.pid()
    }

    /// Whether its process still runs.
    pub fn runs(&mut self) -> bool {
        self.node.runs()
    }

    /// SIGKILL. The data stays.
    pub fn kill(&mut self) {
        self.node.kill();
    }

    /// Starts it again on the same ports with the same data, and waits until it serves.
    pub fn restart(&mut self) -> Result<()> {
        self.node.begin()?;
        self.node.wait()
    }

    /// Runs one of Kafka's own tools by its class, such as `org.apache.kafka.tools.TopicCommand`.
    pub fn tool(class: &str) -> Result<Command> {
        node::java(class, SMALL)
    }
}

fn listeners(port: u16, controller_port: u16, secure_port: u16, tls: Option<&Tls>) -> String {
    let plain = format!("PLAINTEXT://127.0.0.1:{port}");
    let controller = format!("CONTROLLER://127.0.0.1:{controller_port}");
    let Some(tls) = tls else {
        return format!("listeners={plain},{controller}\nadvertised.listeners={plain}\n");
    };
    format!(
        "listeners={plain},{controller},SASL_SSL://127.0.0.1:{secure_port}\n\
         advertised.listeners={plain},SASL_SSL://localhost:{secure_port}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL\n{}",
        tls.server_properties()
    )
}
