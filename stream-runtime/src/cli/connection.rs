//! Which broker a process talks to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::error::{CliError, CliResult};
use crate::app::local_broker::{BrokerDir, Host};
use crate::kafka::Properties;

/// Settings to talk to the configured broker, else to the one that runs for this directory.
pub(super) fn client(configured: &Properties, data_dir: &Path) -> CliResult<Properties> {
    let mut properties = configured.clone();
    if properties.bootstrap().is_some() {
        return Ok(properties);
    }
    match BrokerDir::new(data_dir).running() {
        Some(address) => {
            properties.set_broker(&address.to_string());
            Ok(properties)
        }
        None => {
            Err(CliError::failure(format_args!("no broker runs for this directory ({})", data_dir.display())).next(
                "start one with `worker` or `broker` in another terminal, or name one with --broker HOST:PORT",
            ))
        }
    }
}

/// A broker in a directory that goes away with it.
pub(super) struct Scratch {
    host: Option<Host>,
    dir: PathBuf,
}

impl Scratch {
    pub(super) fn start() -> CliResult<Scratch> {
        let dir = std::env::temp_dir().join(format!("stream-{}", uuid::Uuid::new_v4()));
        let mut scratch = Scratch { host: None, dir };
        scratch.host = BrokerDir::new(&scratch.dir).host(Some(0))?;
        if scratch.host.is_none() {
            return Err(CliError::failure(format_args!(
                "{} is in use",
                scratch.dir.display()
            )));
        }
        Ok(scratch)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.host
            .as_ref()
            .map_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)), Host::address)
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn stop(self) {}
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(host) = self.host.take() {
            host.stop();
        }
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            tracing::debug!("cannot remove {}: {error}", self.dir.display());
        }
    }
}
